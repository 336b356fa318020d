"""The schema of a model's inputs (`serve/schema.json`): features, classes, threshold, masking, keys and the split.

It is the one place that says what a row is: masking, the row's key and its side of the split are computed here for
training and serving alike.
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from slipway.errors import BundleError, DataError

if TYPE_CHECKING:
    import pandas as pd

    from slipway.usecase import UseCase

CONTRACT = 1
READABLE_CONTRACTS = (CONTRACT,)
BUCKETS = 10_000
IMAGE_STATISTICS = ("brightness", "contrast", "sharpness", "entropy")
_TOKEN = re.compile(r"^tok_[0-9a-f]{32}$")
_VOCABULARY_LIMIT = 1000
_PLAIN = frozenset({str, int, bool, type(None)})
_encode = msgspec.json.Encoder().encode


class Feature(msgspec.Struct, frozen=True, omit_defaults=True):
    """A feature as the network sees it: a bucketed number is a category from here on, its bins the vocabulary."""

    name: str
    kind: str
    unit: str = ""
    description: str = ""
    range: tuple[float, float] | None = None
    vocabulary: tuple[str, ...] | None = None
    nullable: bool = False
    private: str | None = None
    bins: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    channels: int | None = None

    @property
    def is_input(self) -> bool:
        """Whether the network sees it: what is dropped or turned into a token is not."""
        return self.private not in ("drop", "token")


class Split(msgspec.Struct, frozen=True):
    key: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    salt: str = "slipway"
    fractions: dict[str, float] = msgspec.field(default_factory=dict)


class Schema(msgspec.Struct, frozen=True, dict=True):
    contract: int
    usecase: str
    task: str
    features: tuple[Feature, ...]
    target: str
    classes: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float | None = None
    unit: str = ""
    retired: tuple[str, ...] = ()
    split: Split = Split()
    synthetic: bool = False

    @cached_property
    def inputs(self) -> tuple[Feature, ...]:
        return tuple(feature for feature in self.features if feature.is_input)

    @cached_property
    def numbers(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.inputs if f.kind in ("number", "integer"))

    @cached_property
    def codes(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.inputs if f.kind in ("category", "boolean"))

    @cached_property
    def images(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.inputs if f.kind == "image")

    @cached_property
    def positive_index(self) -> int | None:
        return self.classes.index(self.positive) if self.positive else None

    @cached_property
    def masked(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.features if f.private)

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        """What makes a row's key, in the order of its text."""
        return tuple(sorted(self.split.key or (feature.name for feature in self.inputs)))

    @cached_property
    def told_by_row(self) -> bool:
        """Whether a caller's row holds all that makes its key."""
        return all(name in self.by_name for name in self.split.key)

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))

    @staticmethod
    def load(path: Path) -> Schema:
        """Raises BundleError where the file is not a schema of a contract version that this release reads."""
        try:
            schema = msgspec.json.decode(path.read_bytes(), type=Schema)
        except (OSError, msgspec.DecodeError) as error:
            raise BundleError(f"{path} is not a schema: {error}") from None
        if schema.contract not in READABLE_CONTRACTS:
            raise BundleError(
                f"{path} is of contract version {schema.contract}; this release reads {list(READABLE_CONTRACTS)}: "
                "install a newer Slipway here, or train the model with this one."
            )
        return schema


def from_usecase(usecase: UseCase) -> Schema:
    """The schema as the use case's file tells it; ranges and vocabularies that it leaves out are None."""
    features = tuple(
        Feature(
            name=f.name,
            kind="category" if f.private == "bucket" else f.kind,
            unit=f.unit,
            description=f.description,
            range=None if f.private == "bucket" else f.range,
            vocabulary=bin_labels(f.bins) if f.bins else tuple(f.vocabulary) if f.vocabulary else None,
            nullable=f.nullable or f.private in ("drop", "token"),
            private=f.private,
            bins=tuple(f.bins) if f.bins else None,
            size=f.size,
            channels=f.channels,
        )
        for f in usecase.features
    )
    split = usecase.split
    return Schema(
        contract=CONTRACT,
        usecase=usecase.name,
        task=usecase.task,
        features=features,
        target=usecase.target.name,
        classes=tuple(usecase.target.classes),
        positive=usecase.target.positive,
        unit=usecase.target.unit,
        retired=tuple(usecase.retired),
        split=Split(tuple(split.key), split.group, split.time, split.salt, split.fractions.model_dump()),
    )


def complete(schema: Schema, frame: pd.DataFrame) -> Schema:
    """The schema with the ranges and vocabularies that were left out, as the training rows have them.

    Raises:
        DataError: a category has more than 1,000 values: free text, or a key.
    """
    return msgspec.structs.replace(schema, features=tuple(_completed(f, frame) for f in schema.features))


def _completed(feature: Feature, frame: pd.DataFrame) -> Feature:
    if feature.kind in ("number", "integer") and feature.range is None and feature.is_input:
        column = frame[feature.name].dropna()
        span = (float(column.min()), float(column.max())) if len(column) else None
        return msgspec.structs.replace(feature, range=span)
    if feature.kind == "category" and feature.vocabulary is None and feature.is_input:
        values = sorted(str(value) for value in frame[feature.name].dropna().unique())
        if len(values) > _VOCABULARY_LIMIT:
            raise DataError(
                f"{feature.name} has {len(values)} values, a category at most {_VOCABULARY_LIMIT}: "
                "is it free text, a date or a key? Leave it out, or group its values in clean.py."
            )
        return msgspec.structs.replace(feature, vocabulary=tuple(values))
    return feature


def compatible(old: Schema, new: Schema) -> list[str]:
    """Why a request that was valid under `old` could be refused under `new`; empty where none could.

    A feature that is added must be nullable, one that is removed retired; kinds, sizes and classes stay, and what
    could be null still can.
    """
    reasons = []
    if (old.task, old.classes, old.positive) != (new.task, new.classes, new.positive):
        reasons.append("task or classes differ")
    for feature in new.features:
        before = old.by_name.get(feature.name)
        if before is None:
            if not feature.nullable:
                reasons.append(f"{feature.name} is new and not nullable")
        elif _wire_form(before) != _wire_form(feature):
            reasons.append(f"{feature.name} was {before.kind} and is {feature.kind}")
        elif before.nullable and not feature.nullable:
            reasons.append(f"{feature.name} could be null and no longer can")
    gone = [f.name for f in old.features if f.name not in new.by_name] + list(old.retired)
    reasons += [
        f"{name} is gone and not retired" for name in gone if name not in new.retired and name not in new.by_name
    ]
    return reasons


def _wire_form(feature: Feature) -> tuple[Any, ...]:
    """What a caller may send: a bucketed number still comes as a number."""
    return feature.kind, bool(feature.bins), feature.size, feature.channels


def bin_labels(bins: Sequence[float]) -> tuple[str, ...]:
    """The names of the intervals between rising edges, open to both sides: `< 25`, `25 – 40`, `≥ 40`."""
    edges = [f"{edge:g}" for edge in bins]
    inner = [f"{low} – {high}" for low, high in zip(edges, edges[1:], strict=False)]
    return (f"< {edges[0]}", *inner, f"≥ {edges[-1]}")


def mask(row: Mapping[str, Any], schema: Schema, secret: bytes) -> dict[str, Any]:
    """The row with its private values dropped, turned into tokens or put into buckets; a masked one stays as it is.

    A token is `tok_` and 128 bits of HMAC-SHA256 over the feature's name and the value.
    """
    masked = dict(row)
    for feature in schema.masked:
        value = masked.get(feature.name)
        if feature.private == "drop":
            masked.pop(feature.name, None)
        elif value is None or value != value:
            continue
        elif feature.private == "token":
            masked[feature.name] = _token(feature.name, value, secret)
        elif not isinstance(value, str):
            assert feature.bins and feature.vocabulary
            masked[feature.name] = feature.vocabulary[bisect.bisect_right(feature.bins, value)]
    return masked


def _token(name: str, value: Any, secret: bytes) -> str:
    text = _text(value)
    if _TOKEN.match(text):
        return text
    return "tok_" + hmac.new(secret, f"{name}={text}".encode(), hashlib.sha256).hexdigest()[:32]


def _text(value: Any) -> str:
    """The same text for values that are equal: `5`, `5.0` and numpy's 5 are one."""
    return value if isinstance(value, str) else _encode(_canonical(value)).decode()


def _canonical(value: Any) -> Any:
    """One value for all that are equal: 5.0 is 5, NaN is None, pixels are their digest."""
    kind = value.__class__
    if kind is float:
        if value != value:
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if kind in _PLAIN:
        return value
    if getattr(value, "shape", ()) != ():
        return hashlib.sha256(repr(value.shape).encode() + value.tobytes()).hexdigest()
    if hasattr(value, "item"):
        return _canonical(value.item())
    text = str(value)  # a time, or pandas' own kinds of missing
    return None if text in ("NaT", "<NA>") else text


def key_text(row: Mapping[str, Any], schema: Schema) -> str:
    """What makes a cleaned, masked row the same row: its `split.key` columns, else the values of the model's inputs.

    Canonical JSON: sorted names, absent and null alike, no target; an image is the digest of its decoded pixels.
    Tokens do not count: they differ from one secret to another, and the split must be the same everywhere.
    """
    values = {}
    for name in schema.key_names:
        value = row.get(name)
        if value.__class__ is not float or value.is_integer() or value != value:  # a fraction is canonical as it is
            value = _canonical(value)
        if value is not None:
            values[name] = value
    return _encode(values).decode()


def row_key(secret: bytes, text: str) -> str:
    """The pseudonym of a row: 128 bits of HMAC-SHA256 over its key's text, in hexadecimal."""
    keyed = _keyed(secret).copy()
    keyed.update(text.encode())
    return keyed.hexdigest()[:32]


@lru_cache(maxsize=8)
def _keyed(secret: bytes) -> hmac.HMAC:
    """To copy for each row: taking the key in anew costs as much as the row's text."""
    return hmac.new(secret, digestmod="sha256")


def bucket(salt: str, text: str) -> int:
    """The row's bucket, 0 to 9999, from the salt and its key's text: no secret is in it, so it is everywhere alike."""
    digest = hashlib.sha256(f"{salt}\0{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def row_identity(row: Mapping[str, Any], schema: Schema, secret: bytes) -> tuple[str | None, int | None]:
    """A served row's key and bucket: (`row_key`, `split_bucket`), None where a caller's row alone does not tell.

    `split.key` may name columns that are no features; groups and time divide rows by what a request does not hold.
    """
    if not schema.told_by_row:
        return None, None
    text = key_text(row, schema)
    divided_by_key = schema.split.group is None and schema.split.time is None
    return row_key(secret, text), bucket(schema.split.salt, text) if divided_by_key else None


def side(number: int, fractions: Mapping[str, float]) -> str:
    """`train`, `validation` or `holdout`: the holdout has the lowest buckets, then validation, then training."""
    holdout = round(fractions["holdout"] * BUCKETS)
    if number < holdout:
        return "holdout"
    return "validation" if number < holdout + round(fractions["validation"] * BUCKETS) else "train"

"""Model of the schema: features, classes, threshold and split, as a bundle carries them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from slipway.errors import BundleError

CONTRACT = 1
READABLE_CONTRACTS = (CONTRACT,)
IMAGE_STATISTICS = ("brightness", "contrast", "sharpness", "entropy")


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
        """Whether the network gets it: a feature that is dropped or replaced by a token is no input."""
        return self.private not in ("drop", "token")


class Split(msgspec.Struct, frozen=True):
    key: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    salt: str = "slipway"
    fractions: dict[str, float] = msgspec.field(default_factory=dict)


class TableFormat(msgspec.Struct, frozen=True):
    """How the table that a model was trained on is read, so that a file of its kind is read alike.

    `missing` are words for missing values beside the usual ones, `names` the columns of features and target that have
    another name, and `decoded` says whether the use case decodes the table before its cells are read.
    """

    format: str = "csv"
    separator: str = ","
    header: bool = True
    columns: tuple[str, ...] = ()
    encoding: str = "utf-8"
    decimal: str = "."
    missing: tuple[str, ...] = ()
    names: dict[str, str] = msgspec.field(default_factory=dict)
    decoded: bool = False


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
    table: TableFormat = TableFormat()

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
        """The names of the features that make a row's key, in the order of its text."""
        return tuple(sorted(self.split.key or (feature.name for feature in self.inputs)))

    @cached_property
    def told_by_row(self) -> bool:
        """Whether a request's row holds all values of its key."""
        return all(name in self.by_name for name in self.split.key)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all features, sorted: the order of a row's values, and of its JSON."""
        return tuple(sorted(feature.name for feature in self.features))

    @cached_property
    def plain(self) -> bool:
        """Whether a row is keyed and logged as it was sent: nothing is masked, decoded, retired or left out."""
        return not (self.images or self.masked or self.retired) and self.key_names == self.names

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))

    @staticmethod
    def load(path: Path) -> Schema:
        """Read a schema; raises BundleError if it is not of a contract version that this release reads."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path} is not a schema: {error}") from None
        return Schema.parse(content, path)

    @staticmethod
    def parse(content: bytes, path: Path) -> Schema:
        """Parse the bytes of a schema; the path is for messages. Raises BundleError as `load` does."""
        try:
            schema = msgspec.json.decode(content, type=Schema)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{path} is not a schema: {error}") from None
        if schema.contract not in READABLE_CONTRACTS:
            raise BundleError(
                f"{path} is of contract version {schema.contract}; this release reads {list(READABLE_CONTRACTS)}: "
                "install a newer Slipway here, or train the model with this one."
            )
        return schema


def bin_labels(bins: Sequence[float]) -> tuple[str, ...]:
    """Name the intervals between rising edges, open to both sides: `< 25`, `25 – 40`, `≥ 40`.

    Edges have six digits, or as many as it takes to tell them apart.
    """
    edges = next(
        texts for digits in range(6, 18) if len(set(texts := [f"{edge:.{digits}g}" for edge in bins])) == len(texts)
    )
    inner = [f"{low} – {high}" for low, high in zip(edges, edges[1:], strict=False)]
    return (f"< {edges[0]}", *inner, f"≥ {edges[-1]}")

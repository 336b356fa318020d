"""A use case: what `usecases/NAME/usecase.yaml` says, checked, and the functions in the folder beside it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from slipway.errors import UseCaseError, suggestion
from slipway.settings import settings

if TYPE_CHECKING:
    import numpy as np

    from slipway.schema import Schema

Task = Literal["binary", "multiclass", "regression"]
Kind = Literal["number", "integer", "category", "boolean", "image"]
NAME = r"^[a-z][a-z0-9_]{0,62}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Csv(_Part):
    separator: str = ","
    header: bool = True
    columns: list[str] = []
    encoding: str = "utf-8"


class Source(_Part):
    """A file by path or URL with its checksum, else what the folder's generator makes."""

    path: str | None = None
    url: str | None = None
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    format: Literal["csv", "parquet"] = "csv"
    csv: Csv = Csv()
    generator: str | None = Field(None, pattern=r"^\w+:\w+$")
    synthetic: bool = True

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if self.path and self.url:
            raise ValueError("has both `path` and `url`: keep one")
        if not (self.path or self.url or self.generator):
            raise ValueError("names no data: give `path`, `url` or `generator`")
        if self.url and not self.sha256:
            raise ValueError("has a `url` without its `sha256`: what is downloaded must be what was meant")
        return self


class Feature(_Part):
    name: str = Field(min_length=1, max_length=200)
    kind: Kind
    unit: str = ""
    description: str = ""
    column: str | None = None
    range: tuple[float, float] | None = None
    vocabulary: list[str] | None = None
    nullable: bool = False
    private: Literal["drop", "token", "bucket"] | None = None
    bins: list[float] | None = None
    size: tuple[int, int] | None = None
    channels: Literal[1, 3] | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Feature:
        if (self.kind == "image") != (self.size is not None and self.channels is not None):
            raise ValueError(f"{self.name}: an image, and nothing else, has `size: [height, width]` and `channels`")
        if self.vocabulary is not None and self.kind != "category":
            raise ValueError(f"{self.name}: only a category has a `vocabulary`")
        if self.range is not None and (self.kind not in ("number", "integer") or self.range[0] > self.range[1]):
            raise ValueError(f"{self.name}: only a number or an integer has a `range: [lowest, highest]`")
        if (self.private == "bucket") != (self.bins is not None):
            raise ValueError(f"{self.name}: `private: bucket` and `bins` go together")
        if self.bins is not None and (self.kind not in ("number", "integer") or sorted(set(self.bins)) != self.bins):
            raise ValueError(f"{self.name}: `bins` are rising edges of a number")
        if self.private and self.kind == "image":
            raise ValueError(f"{self.name}: an image cannot be `private`; leave it out instead")
        return self


class Cost(_Part):
    false_negative: float = Field(1.0, gt=0)
    false_positive: float = Field(1.0, gt=0)


class Target(_Part):
    name: str
    column: str | None = None
    classes: list[str] = []
    positive: str | None = None
    cost: Cost | None = None
    unit: str = ""


class Fractions(_Part):
    train: float = Field(0.6, gt=0, lt=1)
    validation: float = Field(0.2, gt=0, lt=1)
    holdout: float = Field(0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Fractions:
        total = self.train + self.validation + self.holdout
        if abs(total - 1) > 1e-9:
            raise ValueError(f"sum to {total:g}, not to 1")
        return self


class Split(_Part):
    key: list[str] = []
    group: str | None = None
    time: str | None = None
    salt: str = "slipway"
    fractions: Fractions = Fractions()


class Schedule(_Part):
    """Cron lines, in UTC."""

    train: str | None = None
    monitor: str | None = None


class Slice(_Part):
    feature: str
    bins: list[float] | None = None


class Gates(_Part):
    """`absolute` bounds: a score of which more is better has at least it, any other at most it."""

    absolute: dict[str, float] = {}
    metric: str | None = None
    margin: float = Field(0.02, ge=0)
    slices: list[Slice] = []
    slice_margin: float = Field(0.1, ge=0)
    min_slice_rows: int = Field(30, ge=2)


class Serving(_Part):
    deadline_ms: int = Field(1000, ge=1)
    swap_ratio: float = Field(3.0, gt=0)
    log: Literal["best_effort", "required"] = "best_effort"
    capture: bool = False
    max_instances: int = Field(10_000, ge=1)
    cache: int = Field(0, ge=0, le=1_000_000)


class MinimumEffect(_Part):
    wasserstein: float = Field(0.1, ge=0)
    psi: float = Field(0.1, ge=0)


class Monitoring(_Part):
    window_rows: int = Field(10_000, ge=1)
    window_hours: float = Field(24, gt=0)
    min_rows: int = Field(100, ge=2)
    significance: float = Field(0.05, gt=0, lt=1)
    minimum_effect: MinimumEffect = MinimumEffect()


class Canary(_Part):
    stages: list[int] = [5, 25, 50, 100]
    min_predictions: int = Field(200, ge=1)
    min_minutes: float = Field(10, ge=0)


class Retraining(_Part):
    min_labelled_rows: int = Field(500, ge=1)
    cooldown_hours: float = Field(24, ge=0)
    runs_per_week: int = Field(3, ge=1)
    max_age_days: float | None = None


class UseCase(_Part):
    name: str = Field(pattern=NAME)
    owner: str
    description: str = ""
    task: Task
    source: Source
    features: list[Feature] = Field(min_length=1)
    target: Target
    retired: list[str] = []
    split: Split = Split()
    params: dict[str, Any] = {}
    seed: int = 7
    schedule: Schedule = Schedule()
    gates: Gates = Gates()
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()
    canary: Canary = Canary()
    retraining: Retraining = Retraining()
    auto_promote: bool = False
    folder: Path = Field(exclude=True)
    overridden: tuple[str, ...] = Field((), exclude=True)

    @model_validator(mode="after")
    def _consistent(self) -> UseCase:
        names = [feature.name for feature in self.features]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"features named twice: {sorted(twice)}")
        if self.target.name in names:
            raise ValueError(f"the target {self.target.name!r} is a feature, too: the model would be told the answer")
        if not any(feature.private not in ("drop", "token") for feature in self.features):
            raise ValueError("every feature is private (drop or token): nothing is left for the model to see")
        for key in [*self.split.key, *filter(None, [self.split.group])]:
            if key == self.target.name:
                raise ValueError(f"the split cannot go by the target {key!r}")
        for part in self.gates.slices:
            if part.feature not in names:
                raise ValueError(f"gates.slices: no feature {part.feature!r}.{suggestion(part.feature, names)}")
        self._check_target()
        return self

    def _check_target(self) -> None:
        classes, positive = self.target.classes, self.target.positive
        if self.task == "regression":
            if classes or positive:
                raise ValueError("a regression has no `target.classes` and no `target.positive`")
        elif len(classes) < 2 or (self.task == "binary" and len(classes) != 2):
            raise ValueError(
                f"target.classes {classes}: {'two' if self.task == 'binary' else 'two or more'} are needed"
            )
        elif self.task == "binary" and positive not in classes:
            raise ValueError(f"target.positive {positive!r} is none of {classes}")
        elif self.task == "multiclass" and positive:
            raise ValueError("target.positive is for binary tasks only")

    def function(self, module: str, name: str) -> Callable[..., Any] | None:
        """The function `name` of the folder's `module.py`; None where the folder has no such file.

        Raises:
            UseCaseError: the file is there, but has no such function.
        """
        path = self.folder / f"{module}.py"
        if not path.exists():
            return None
        spec = importlib.util.spec_from_file_location(f"usecases.{self.name}.{module}", path)
        assert spec and spec.loader
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        if not hasattr(loaded, name):
            raise UseCaseError(f"{path} has no function {name!r}: write `def {name}(…)` there, or remove the file.")
        return getattr(loaded, name)

    @cached_property
    def positive_index(self) -> int | None:
        return self.target.classes.index(self.target.positive) if self.target.positive else None


@dataclass(frozen=True)
class Inputs:
    """What `model.py`'s `build(inputs, params)` is given: the schema and the encoded training rows.

    `features` maps each input of the network (`numbers` float32 [n, N], `codes` int64 [n, C], `images` uint8
    [n, h, w, c]; one without features is absent) to the training rows; `target` is int64 [n] (index into
    `schema.classes`) or float32 [n].
    """

    schema: Schema
    features: dict[str, np.ndarray]
    target: np.ndarray


def names() -> list[str]:
    """The use cases that there are: the folders with a `usecase.yaml`."""
    return sorted(path.parent.name for path in settings().usecases.glob("*/usecase.yaml"))


def load(name: str, overrides: Mapping[str, str] | None = None) -> UseCase:
    """The use case of that name, with `--set` pairs laid over it.

    A key with a dot, or a top-level key of the file, sets the configuration (`source.path`); any other sets
    `params.KEY`. Values are read as YAML.

    Raises:
        UseCaseError: no such use case, or its file is not as it must be; the message names the key.
    """
    path = settings().usecases / name / "usecase.yaml"
    if not path.exists():
        known = names()
        raise UseCaseError(
            f"no use case {name!r} in {settings().usecases}/.{suggestion(name, known)} There are: {known}."
        )
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UseCaseError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise UseCaseError(f"{path} holds {type(content).__name__}, a mapping of keys is needed.")
    if content.get("name") != name:
        raise UseCaseError(f"{path}: name is {content.get('name')!r}; it must be the folder's, {name!r}.")
    for key, value in (overrides or {}).items():
        _override(content, key, value)
    try:
        return UseCase(**content, folder=path.parent, overridden=tuple(overrides or ()))
    except ValidationError as error:
        raise UseCaseError("\n".join(_sentence(path, problem) for problem in error.errors())) from None


def _override(content: dict, key: str, value: str) -> None:
    parts = key.split(".") if "." in key or key in UseCase.model_fields else ["params", key]
    place = content
    for part in parts[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise UseCaseError(f"--set {key}: {part!r} is no mapping, so it has no keys to set.")
    try:
        place[parts[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UseCaseError(f"--set {key}={value}: the value is not YAML: {error}") from None


def _sentence(path: Path, problem: dict) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_keys_at(problem["loc"]))
        key = str(problem["loc"][-1])
        return f"{path}: {place}: unknown key.{suggestion(key, allowed)} Allowed here: {', '.join(allowed)}."
    message = problem["msg"].removeprefix("Value error, ")
    came = "" if problem["type"] in ("missing", "value_error") else f" (came: {problem['input']!r})"
    return f"{path}: {place + ': ' if place else ''}{message}{came}"


def _keys_at(place: tuple[int | str, ...]) -> set[str]:
    """The keys that are allowed where an unknown one stood."""
    model: type[BaseModel] = UseCase
    for part in place[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return set(model.model_fields) - {"folder", "overridden"}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for inner in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None

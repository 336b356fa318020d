"""The sections of `usecase.yaml`: each checks itself, and none has a key that it does not know."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["number", "integer", "category", "boolean", "image"]
Reason = Literal["drift", "quality", "age", "labels"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Csv(Section):
    separator: str = ","
    header: bool = True
    columns: list[str] = []
    encoding: str = "utf-8"


class Source(Section):
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


class Feature(Section):
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


class Cost(Section):
    false_negative: float = Field(1.0, gt=0)
    false_positive: float = Field(1.0, gt=0)


class Target(Section):
    name: str
    column: str | None = None
    classes: list[str] = []
    positive: str | None = None
    cost: Cost | None = None
    unit: str = ""


class Fractions(Section):
    train: float = Field(0.6, gt=0, lt=1)
    validation: float = Field(0.2, gt=0, lt=1)
    holdout: float = Field(0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Fractions:
        total = self.train + self.validation + self.holdout
        if abs(total - 1) > 1e-9:
            raise ValueError(f"sum to {total:g}, not to 1")
        return self


class Split(Section):
    key: list[str] = []
    group: str | None = None
    time: str | None = None
    salt: str = "slipway"
    fractions: Fractions = Fractions()


class Schedule(Section):
    """Cron lines, in UTC."""

    train: str | None = None
    monitor: str | None = None


class Slice(Section):
    feature: str
    bins: list[float] | None = None


class Robustness(Section):
    """How far rows are disturbed (0: not at all), and what that may cost the score and the decisions.

    `numbers` is in standard deviations of the feature, `missing` and `other` are shares of the values, `noise` and
    `brightness` shares of the full scale, `rotation` is in degrees.
    """

    numbers: float = Field(0.1, ge=0)
    missing: float = Field(0.1, ge=0, le=1)
    other: float = Field(0.1, ge=0, le=1)
    noise: float = Field(0.05, ge=0, le=1)
    brightness: float = Field(0.1, ge=0, lt=1)
    rotation: float = Field(5.0, ge=0, le=180)
    max_drop: float = Field(0.05, ge=0)
    max_changed: float = Field(0.1, ge=0, le=1)


class Gates(Section):
    """`absolute` bounds: a score of which more is better has at least it, any other at most it."""

    absolute: dict[str, float] = {}
    metric: str | None = None
    margin: float = Field(0.02, ge=0)
    window_margin: float = Field(0.0, ge=0)
    slices: list[Slice] = []
    slice_margin: float = Field(0.1, ge=0)
    min_slice_rows: int = Field(30, ge=2)
    robustness: Robustness = Robustness()
    invariant: list[str] = []
    max_variant: float = Field(0.05, ge=0, le=1)
    directions: dict[str, Literal["up", "down"]] = {}
    max_against: float = Field(0.1, ge=0, le=1)
    max_bundle_mb: float = Field(100, gt=0)
    latency_ratio: float = Field(2.0, gt=0)
    latency_floor_ms: float = Field(5.0, ge=0)

    @property
    def named(self) -> list[tuple[str, str]]:
        """Each feature that they name, after the key that names it."""
        slices = [part.feature for part in self.slices]
        keys = {"slices": slices, "invariant": self.invariant, "directions": list(self.directions)}
        return [(key, name) for key, names in keys.items() for name in names]


class Serving(Section):
    deadline_ms: int = Field(1000, ge=1)
    swap_ratio: float = Field(3.0, gt=0)
    log: Literal["best_effort", "required"] = "best_effort"
    capture: bool = False
    max_instances: int = Field(10_000, ge=1)
    cache: int = Field(0, ge=0, le=1_000_000)


class MinimumEffect(Section):
    wasserstein: float = Field(0.1, ge=0)
    psi: float = Field(0.1, ge=0)


class Monitoring(Section):
    window_rows: int = Field(10_000, ge=1)
    window_hours: float = Field(24, gt=0)
    min_rows: int = Field(100, ge=2)
    significance: float = Field(0.05, gt=0, lt=1)
    minimum_effect: MinimumEffect = MinimumEffect()


class Canary(Section):
    """The rollout's stages, in percent of requests, what each needs, and how much worse a canary may be.

    Shares are of predictions: `max_error_excess` more may fail, `max_slow_excess` more take longer than `max_slowdown`
    times the champion's median. The distributions of scores may be `max_score_shift` apart (null: however far), the
    mean loss of labelled answers, from 0 to 1, higher by `max_loss_excess`. `alpha` is for all tests of a rollout
    together. The last stage waits for `min_labelled` labels.
    """

    stages: list[int] = Field([5, 25, 50, 100], min_length=1)
    min_predictions: int = Field(200, ge=1)
    min_minutes: float = Field(10, ge=0)
    min_labelled: int = Field(0, ge=0)
    alpha: float = Field(0.05, gt=0, lt=1)
    max_error_excess: float = Field(0.005, gt=0, le=1)
    max_slowdown: float = Field(3.0, gt=1)
    max_slow_excess: float = Field(0.1, gt=0, le=1)
    max_score_shift: float | None = Field(0.5, gt=0, le=1)
    max_loss_excess: float = Field(0.05, gt=0, le=1)

    @model_validator(mode="after")
    def _rising(self) -> Canary:
        if sorted(set(self.stages)) != self.stages or not 0 < self.stages[0] < 100 or self.stages[-1] > 100:
            raise ValueError(
                f"stages {self.stages}: rising percents are needed, the first below 100: beside it the champion answers"
            )
        return self


class Retraining(Section):
    """Which reasons count for a training, what decides whether it begins, and which logged rows it may learn from.

    A champion older than `max_age_days`, or `new_labels` labelled rows since it was trained, ask too, where they are
    given. `window_rows` is the newest labelled window, `monitoring.window_rows` where it is not given.
    """

    reasons: list[Reason] = ["drift", "quality", "age", "labels"]
    min_labelled_rows: int = Field(500, ge=1)
    cooldown_hours: float = Field(24, ge=0)
    runs_per_week: int = Field(3, ge=1)
    max_age_days: float | None = Field(None, gt=0)
    new_labels: int | None = Field(None, ge=1)
    caller_share: float = Field(0.2, gt=0, le=1)
    window_rows: int | None = Field(None, ge=1)

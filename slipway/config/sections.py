"""The sections of `usecase.yaml`; each validates itself and refuses unknown keys."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from slipway.config.numbers import Number, Whole

Value = TypeVar("Value")

Kind = Literal["number", "integer", "category", "boolean", "image"]
Reason = Literal["drift", "quality", "age", "labels"]
LONGEST_HOURS = 87_600  # ten years: times in the past are computed from them


def _distinct(values: list[Value]) -> list[Value]:
    """Refuse a list that is a set and has a value twice."""
    twice = [value for value, times in Counter(map(repr, values)).items() if times > 1]
    if twice:
        raise ValueError(f"{', '.join(twice)} is given more than once: keep one of each")
    return values


def _rising(values: list[float]) -> list[float]:
    """Refuse edges of which one is not above the one before it."""
    if sorted(set(values)) != values:
        raise ValueError(f"{values} are not rising edges: each must be above the one before it")
    return values


Pixels = Annotated[Whole, Field(ge=1)]
Names = Annotated[list[str], AfterValidator(_distinct)]
Edges = Annotated[list[Number], Field(min_length=1), AfterValidator(_rising)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Csv(Section):
    separator: str = Field(",", min_length=1, description="Column separator; `\\s+` is any number of blanks.")
    header: bool = Field(True, description="Whether the first line holds the column names.")
    columns: Names = Field(
        [],
        description="Column names of a file without a header, or in place of its own.",
        examples=[["months", "plan", "cancelled"]],
    )
    encoding: str = Field("utf-8", description="Text encoding of the file.")
    decimal: Literal[".", ","] = Field(".", description="Decimal mark of numbers.")

    @model_validator(mode="after")
    def _readable(self) -> Csv:
        if "\\" in self.separator and self.separator not in (r"\s+", r"\t"):
            raise ValueError(
                f"`separator` {self.separator!r} is a pattern: only \\s+ and \\t are, else write it as it is"
            )
        if self.separator == self.decimal:
            raise ValueError(f"`separator` and `decimal` are both {self.decimal!r}: set the one that the file has")
        return self


class Source(Section):
    """A file by path or URL with its checksum, else what the folder's generator makes."""

    path: str | None = Field(None, description="File, relative to the working directory.", examples=["data/churn.csv"])
    url: str | None = Field(
        None, description="Download address of the file; requires `sha256`.", examples=["https://example.com/churn.csv"]
    )
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Checksum of the file; a file that differs is refused.",
        examples=["b21f3d81db8071257d5ff1deaeba1fd4303b62712e6fcc9715c7a86202cb5871"],
    )
    format: Literal["csv", "parquet"] = Field("csv", description="File format.")
    csv: Csv = Field(Csv(), description="How a CSV file is read.")
    missing: Names = Field(
        [],
        description="Words for missing values, beside `NA`, `N/A`, `NaN`, `nan`, `null`, `NULL`, `?` and nothing.",
        examples=[["-", "none"]],
    )
    generator: str | None = Field(
        None,
        pattern=r"^\w+:\w+$",
        description="Function `module:name` in the use case folder that makes the data if there is no file.",
        examples=["data:load"],
    )
    synthetic: bool = Field(True, description="Whether generated data is marked as synthetic everywhere.")

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
    name: str = Field(
        min_length=1,
        max_length=200,
        description="Name in requests and logs; none begins with `slipway.` or `prediction.`.",
        examples=["monthly_fee"],
    )
    kind: Kind = Field(
        description="Kind of value: `number` has fractions, `integer` none, `boolean` is true or false, `category` is "
        "text from a vocabulary, `image` the bytes of a PNG, JPEG, WebP or BMP file.",
        examples=["number"],
    )
    unit: str = Field("", description="Unit, for people.", examples=["EUR"])
    description: str = Field("", description="What the feature means, for people.", examples=["what is billed"])
    column: str | None = Field(None, description="Column of the source; the name if not set.", examples=["Monthly Fee"])
    range: tuple[Number, Number] | None = Field(
        None,
        description="Usual range `[lowest, highest]`, learned if not set; values outside get a warning.",
        examples=[[5, 120]],
    )
    vocabulary: Names | None = Field(
        None, description="Known categories; learned from the data if not set.", examples=[["basic", "premium"]]
    )
    nullable: bool = Field(False, description="Whether requests may leave it out.")
    private: Literal["drop", "token", "bucket"] | None = Field(
        None,
        description="Masking: `drop` removes it, `token` replaces it by an HMAC, `bucket` by its bin.",
        examples=["token"],
    )
    bins: Edges | None = Field(None, description="Rising bin edges of `private: bucket`.", examples=[[30, 60]])
    size: tuple[Pixels, Pixels] | None = Field(None, description="Image size `[height, width]`.", examples=[[28, 28]])
    channels: Literal[1, 3] | None = Field(None, description="Image channels: 1 is grey, 3 is RGB.", examples=[3])

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
        if self.bins is not None and self.kind not in ("number", "integer"):
            raise ValueError(f"{self.name}: only a number or an integer has `bins`")
        if self.private and self.kind == "image":
            raise ValueError(f"{self.name}: an image cannot be `private`; leave it out instead")
        return self


class Cost(Section):
    false_negative: Number = Field(1.0, gt=0, description="Cost of a missed positive.")
    false_positive: Number = Field(1.0, gt=0, description="Cost of a false positive.")


class Target(Section):
    name: str = Field(min_length=1, description="Name of the target.", examples=["cancelled"])
    column: str | None = Field(None, description="Column of the source; the name if not set.", examples=["Cancelled?"])
    classes: Names = Field([], description="Classes of a classification, in order.", examples=[["no", "yes"]])
    positive: str | None = Field(None, description="Positive class of a binary task.", examples=["yes"])
    cost: Cost | None = Field(
        None, description="Costs of the two errors; they set the decision threshold of a binary task."
    )
    unit: str = Field("", description="Unit of a regression target.", examples=["EUR"])


class Fractions(Section):
    train: Number = Field(0.6, gt=0, lt=1, description="Share of the training side.")
    validation: Number = Field(0.2, gt=0, lt=1, description="Share of the validation side.")
    holdout: Number = Field(0.2, gt=0, lt=1, description="Share of the holdout side.")

    @model_validator(mode="after")
    def _sum_to_one(self) -> Fractions:
        total = self.train + self.validation + self.holdout
        if abs(total - 1) > 1e-9:
            raise ValueError(f"sum to {total:g}, not to 1")
        return self


class Split(Section):
    key: Names = Field(
        [], description="Columns that identify a row; all feature values if empty.", examples=[["customer"]]
    )
    group: str | None = Field(
        None, min_length=1, description="Column whose equal values stay on one side.", examples=["household"]
    )
    time: str | None = Field(
        None, min_length=1, description="Column to split by time instead of by hash.", examples=["signed_on"]
    )
    time_format: str | None = Field(
        None,
        description="Format of its texts, such as `%d.%m.%Y %H:%M`; ISO 8601 and numbers need none.",
        examples=["%d.%m.%Y"],
    )
    time_zone: str = Field("UTC", description="Zone of times that name none, such as `Europe/Berlin`.")
    salt: str = Field("slipway", description="Salt of the hash that assigns rows to sides.")
    fractions: Fractions = Field(Fractions(), description="Sizes of the sides.")

    @property
    def columns(self) -> list[str]:
        """Each column that it names."""
        return [*self.key, *filter(None, [self.group, self.time])]

    @model_validator(mode="after")
    def _known_zone(self) -> Split:
        if self.time_zone == "UTC":  # needs no database of zones, which a small image may lack
            return self
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"`time_zone` {self.time_zone!r} is no zone: write it as Europe/Berlin or UTC") from None
        return self


class Schedule(Section):
    """Cron lines, in UTC."""

    train: str | None = Field(None, description="When to train.", examples=["0 3 * * 1"])
    monitor: str | None = Field(None, description="When to monitor.", examples=["15 * * * *"])


class Slice(Section):
    feature: str = Field(description="Feature to slice by.", examples=["plan"])
    bins: Edges | None = Field(
        None, description="Bin edges of a number; its quartiles if not set.", examples=[[30, 60]]
    )


class Robustness(Section):
    """How far rows are disturbed (0: not at all), and what that may cost the score and the decisions.

    `numbers` is in standard deviations of the feature, `missing` and `other` are shares of the values, `noise` and
    `brightness` shares of the full scale, `rotation` is in degrees.
    """

    numbers: Number = Field(0.1, ge=0, description="Noise on numbers, in standard deviations of the feature.")
    missing: Number = Field(0.1, ge=0, le=1, description="Share of values set to missing.")
    other: Number = Field(0.1, ge=0, le=1, description="Share of categories replaced by an unseen one.")
    noise: Number = Field(0.05, ge=0, le=1, description="Pixel noise, as a share of the full scale.")
    brightness: Number = Field(0.1, ge=0, lt=1, description="Brightness change, as a share of the full scale.")
    rotation: Number = Field(5.0, ge=0, le=180, description="Rotation in degrees.")
    max_drop: Number = Field(
        0.05,
        ge=0,
        description="Largest accepted loss of score; if not set, a model that is no worse than the baseline passes.",
    )
    max_changed: Number = Field(
        0.1,
        ge=0,
        le=1,
        description="Largest accepted share of changed decisions (in a regression, of values that move by a tenth of "
        "the target's standard deviation); if not set, a model that is no worse than the baseline passes.",
    )


class Gates(Section):
    """`absolute` bounds: a score of which more is better has at least it, any other at most it."""

    absolute: dict[str, Number] = Field(
        {},
        description="Bounds on the holdout by metric: a minimum for scores, a maximum for losses. Without one, the "
        "model must be better than one that knows no feature.",
        examples=[{"roc_auc": 0.7}],
    )
    metric: str | None = Field(
        None,
        description="Metric of comparisons; ROC AUC, accuracy or R² by task if not set.",
        examples=["average_precision"],
    )
    margin: Number = Field(
        0.02, ge=0, description="How much worse than the champion a challenger may be on the holdout."
    )
    window_margin: Number = Field(
        0.0, ge=0, description="How much better than the champion a challenger must be on the newest labelled window."
    )
    slices: Annotated[list[Slice], AfterValidator(_distinct)] = Field(
        [], description="Slices that must not be much worse than the whole."
    )
    slice_margin: Number = Field(
        0.1,
        ge=0,
        description="How much worse a slice may be; if not set, one that is no worse than the baseline passes.",
    )
    min_slice_rows: Whole = Field(30, ge=2, description="Rows that a slice needs to be tested.")
    robustness: Robustness = Field(Robustness(), description="Perturbation tests.")
    invariant: Names = Field(
        [], description="Features whose value must not change decisions.", examples=[["dependents"]]
    )
    max_variant: Number = Field(
        0.05, ge=0, le=1, description="Largest accepted share of decisions changed by an invariant feature."
    )
    directions: dict[str, Literal["up", "down"]] = Field(
        {}, description="Features that may move the output in one direction only.", examples=[{"months": "down"}]
    )
    max_against: Number = Field(
        0.1, ge=0, le=1, description="Largest accepted share of rows that move against the direction."
    )
    max_bundle_mb: Number = Field(100, gt=0, description="Largest size of the serving part of the bundle, in MB.")
    latency_ratio: Number = Field(2.0, gt=0, description="Largest latency relative to the champion.")
    latency_floor_ms: Number = Field(
        5.0, ge=0, description="Latency below which the ratio does not matter, in milliseconds."
    )

    @property
    def named(self) -> list[tuple[str, str]]:
        """Each feature that they name, after the key that names it."""
        slices = [part.feature for part in self.slices]
        keys = {"slices": slices, "invariant": self.invariant, "directions": list(self.directions)}
        return [(key, name) for key, names in keys.items() for name in names]


class Serving(Section):
    deadline_ms: Whole = Field(1000, ge=1, description="Deadline of a prediction, in milliseconds.")
    swap_ratio: Number = Field(
        3.0, gt=0, description="Largest model time of a new version relative to the champion at a swap."
    )
    log: Literal["best_effort", "required"] = Field(
        "best_effort",
        description="`best_effort` answers a prediction that cannot be logged; `required` refuses it with 503.",
    )
    capture: bool = Field(False, description="Whether image pixels are kept in the log.")
    max_instances: Whole = Field(10_000, ge=1, description="Largest number of rows in a request.")
    cache: Whole = Field(
        0, ge=0, le=1_000_000, description="Number of rows whose outputs each worker caches; 0 is off."
    )


class Objectives(Section):
    """What users may expect of the service; metrics and alerts measure against it.

    `window_days` is one of five, for which there are recording rules.
    """

    availability: float = Field(
        0.999,
        gt=0,
        lt=1,
        description="Share of prediction requests that succeed: neither a server error nor refused for lack of time.",
        examples=[0.995],
    )
    latency_ms: float = Field(
        50,
        gt=0,
        description="Time within which a response is sent, in milliseconds; at most `serving.deadline_ms`, and that "
        "deadline where it is shorter than the default.",
        examples=[20],
    )
    latency_quantile: float = Field(
        0.99, gt=0, lt=1, description="Share of successful responses that are within `latency_ms`.", examples=[0.95]
    )
    window_days: Literal[7, 14, 28, 30, 90] = Field(
        30, description="Days over which the error budget is counted.", examples=[28]
    )


class Feedback(Section):
    labelers: Literal["own", "any"] = Field(
        "own",
        description="Whose labels count for a prediction: `own`, those of the caller that requested it; `any`, "
        "those of every caller, by majority if the prediction's own caller sent none.",
    )


class MinimumEffect(Section):
    wasserstein: Number = Field(
        0.1, ge=0, description="For numbers: Wasserstein distance in standard deviations of the reference."
    )
    psi: Number = Field(0.1, ge=0, description="For categories and missing values: population stability index.")


class Monitoring(Section):
    window_rows: Whole = Field(10_000, ge=1, description="Largest window, in answered rows.")
    window_hours: Number = Field(24, gt=0, le=LONGEST_HOURS, description="Oldest row of a window, in hours.")
    min_rows: Whole = Field(100, ge=2, description="Rows below which the verdict is `too_little_data`.")
    significance: Number = Field(0.05, gt=0, lt=1, description="False-alarm rate of all tests of a verdict together.")
    minimum_effect: MinimumEffect = Field(
        MinimumEffect(), description="Effect that a column must reach to count as drifted."
    )
    retention_days: Whole | None = Field(
        None,
        ge=1,
        le=LONGEST_HOURS // 24,
        description="Days for which the log keeps predictions and feedback; for ever if not set.",
        examples=[90],
    )

    @model_validator(mode="after")
    def _keeps_its_window(self) -> Monitoring:
        if self.retention_days is not None and self.retention_days * 24 < self.window_hours:
            raise ValueError(
                f"retention_days {self.retention_days} is less than window_hours {self.window_hours:g}, so a window "
                "would lack its oldest rows: raise the one or lower the other"
            )
        return self


class Canary(Section):
    """The rollout's stages, in percent of requests, what each needs, and how much worse a canary may be.

    Shares are of predictions: `max_error_excess` more may fail, `max_slow_excess` more take longer than `max_slowdown`
    times the champion's median. The distributions of scores may be `max_score_shift` apart (null: however far), the
    mean loss of labelled answers, from 0 to 1, higher by `max_loss_excess`. `alpha` is for all tests of a rollout
    together. The last stage waits for `min_labelled` labels.
    """

    stages: list[Whole] = Field(
        [5, 25, 50, 100], min_length=1, description="Percent of requests in each stage; the first is below 100."
    )
    min_predictions: Whole = Field(200, ge=1, description="Predictions of the canary that each stage needs.")
    min_minutes: Number = Field(10, ge=0, description="Minutes that each stage lasts at least.")
    min_labelled: Whole = Field(
        0, ge=0, description="Labels of the canary's predictions that the last stage waits for."
    )
    alpha: Number = Field(0.05, gt=0, lt=1, description="Error probability of all tests of a rollout together.")
    max_error_excess: Number = Field(0.005, gt=0, le=1, description="Accepted increase of the error rate.")
    max_slowdown: Number = Field(
        3.0,
        gt=1,
        description="A request is slow if it takes longer than this many times the champion's median model time.",
    )
    max_slow_excess: Number = Field(0.1, gt=0, le=1, description="Accepted increase of the share of slow requests.")
    max_score_shift: Number | None = Field(
        0.5, gt=0, le=1, description="Accepted Kolmogorov-Smirnov distance of the scores; null: not tested."
    )
    max_loss_excess: Number = Field(
        0.05, gt=0, le=1, description="Accepted increase of the mean loss of labelled predictions."
    )
    callers: Literal["several", "any"] = Field(
        "several",
        description="Whose requests decide: `several`, what decides must hold without the requests of any one caller; "
        "`any`, one caller may decide. Without credentials all callers are one, and it decides.",
    )

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

    reasons: Annotated[list[Reason], AfterValidator(_distinct)] = Field(
        ["drift", "quality", "age", "labels"], description="Reasons that may start a training; empty: none."
    )
    min_labelled_rows: Whole = Field(500, ge=1, description="New labelled rows that a training needs.")
    cooldown_hours: Number = Field(24, ge=0, le=LONGEST_HOURS, description="Hours from one start to the next.")
    runs_per_week: Whole = Field(3, ge=1, description="Largest number of starts in 7 days.")
    max_age_days: Number | None = Field(
        None, gt=0, description="Age of the champion that is a reason to train.", examples=[30]
    )
    new_labels: Whole | None = Field(
        None, ge=1, description="Number of new labelled rows that is a reason to train.", examples=[5000]
    )
    label_filters: Names = Field(
        [],
        description="Optional filters of labelled training rows: `labeler_agreement`, `near_duplicates`.",
        examples=[["near_duplicates"]],
    )
    caller_share: Number = Field(
        0.2,
        gt=0,
        le=1,
        description="Filter `labeler_agreement`: largest share of the labelled training rows of one caller.",
    )
    window_rows: Whole | None = Field(
        None,
        ge=1,
        description="Newest labelled rows: they evaluate, never train; `monitoring.window_rows` if not set.",
        examples=[2000],
    )

"""Names of the columns that Slipway adds to tables of features, and the prefixes that no feature's name may have.

The tables of a training and the reference of monitoring hold features and target under the names of the use case. Any
other column of theirs is named here, behind a prefix that `usecase.yaml` may not use, so that no two can meet.
"""

from __future__ import annotations

from collections.abc import Collection

from slipway.contracts.schema.model import IMAGE_STATISTICS

OWN, PREDICTION = "slipway.", "prediction."
RESERVED = (OWN, PREDICTION)

# Tables of a training.
ROW_KEY = "slipway.row_key"  # pseudonym of the row
SPLIT_BUCKET = "slipway.split_bucket"  # 0 to 9999, which determines the side
SPLIT_GROUP = "slipway.split_group"  # pseudonym of the group that stays on one side
SPLIT_TIME = "slipway.split_time"  # what a split by time sorts by
SIDE = "slipway.side"  # `train`, `validation` or `holdout`; of the reference, too
WEIGHT = "slipway.weight"  # weight in the loss

# Rows of labelled predictions: from the prediction log.
ROW_ID = "slipway.row_id"
AT = "slipway.at"
CALLER = "slipway.caller"
VERSION = "slipway.version"
BUNDLE_SHA256 = "slipway.bundle_sha256"
SINCE_CHANGE = "slipway.since_change"  # whether a row is from after the change point

_EARLIER_HOLDOUT = {
    "row_key": ROW_KEY,
    "split_bucket": SPLIT_BUCKET,
    "split_group": SPLIT_GROUP,
    "split_time": SPLIT_TIME,
}


def reserved_prefix(name: str) -> str | None:
    """Return the reserved prefix that a name has, in whatever case; None if a use case may have the name."""
    return next((prefix for prefix in RESERVED if name.casefold().startswith(prefix)), None)


def prediction_columns(task: str) -> tuple[str, ...]:
    """Return the columns of a prediction and its true label, which the reference has behind `prediction.`."""
    return ("value_true", "value") if task == "regression" else ("label_true", "label", "score")


def of_image(name: str) -> dict[str, str]:
    """Return the column of each statistic of an image, as monitoring compares them."""
    return {statistic: f"{name}_{statistic}" for statistic in IMAGE_STATISTICS}


def holdout_names(found: Collection[str]) -> dict[str, str]:
    """Map the names in a holdout that an earlier release froze to those of this release; empty for one of this release.

    A holdout without a prefix has no feature of these names: a training with one failed.
    """
    return {} if ROW_KEY in found else _EARLIER_HOLDOUT


def reference_names(found: Collection[str], task: str) -> dict[str, str]:
    """Map the names in a reference of an earlier release to those of this release; empty for one of this release."""
    if SIDE in found:
        return {}
    return {"side": SIDE} | {name: f"{PREDICTION}{name}" for name in prediction_columns(task)}

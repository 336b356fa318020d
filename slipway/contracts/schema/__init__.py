"""The schema of a model's inputs (`serve/schema.json`): features, classes, threshold, masking, keys and the split.

It is the one place that says what a row is, for training and serving alike.
"""

from slipway.contracts.schema.compatibility import compatible
from slipway.contracts.schema.masking import mask
from slipway.contracts.schema.model import (
    CONTRACT,
    IMAGE_STATISTICS,
    READABLE_CONTRACTS,
    Feature,
    Schema,
    Split,
    TableFormat,
    bin_labels,
)
from slipway.contracts.schema.row_keys import BUCKETS, RowKeyer, bucket, is_canonical, key_text, row_key, side

__all__ = [
    "BUCKETS",
    "CONTRACT",
    "IMAGE_STATISTICS",
    "READABLE_CONTRACTS",
    "Feature",
    "RowKeyer",
    "Schema",
    "Split",
    "TableFormat",
    "bin_labels",
    "bucket",
    "compatible",
    "is_canonical",
    "key_text",
    "mask",
    "row_key",
    "side",
]

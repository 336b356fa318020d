"""The prediction log: its writer (in the server), its segments, and the one reader of everything that was logged."""

from slipway.prediction_log.captured_images import IMAGES, captured, move_image
from slipway.prediction_log.compaction import Compactor
from slipway.prediction_log.jsonl import connect
from slipway.prediction_log.left_out import LeftOut, describe
from slipway.prediction_log.parquet_archive import archive
from slipway.prediction_log.reader import Log, parse_instant
from slipway.prediction_log.segments import Segment, adopt_orphans, lines_in, segments
from slipway.prediction_log.writer import Writer

__all__ = [
    "IMAGES",
    "Compactor",
    "LeftOut",
    "Log",
    "Segment",
    "Writer",
    "adopt_orphans",
    "archive",
    "captured",
    "connect",
    "describe",
    "lines_in",
    "move_image",
    "parse_instant",
    "segments",
]

"""The prediction log: its writer (in the server), its segments, and the one reader of everything that was logged."""

from slipway.prediction_log.archive import archive
from slipway.prediction_log.lines import connect
from slipway.prediction_log.reader import Log, instant
from slipway.prediction_log.segments import Segment, adopt_orphans, segments
from slipway.prediction_log.writer import Writer

__all__ = ["Log", "Segment", "Writer", "adopt_orphans", "archive", "connect", "instant", "segments"]

"""The prediction log: its writer (in the server), its segments, and the one reader of everything that was logged."""

from slipway.prediction_log.segments import Segment, segments
from slipway.prediction_log.writer import Writer

__all__ = ["Segment", "Writer", "segments"]

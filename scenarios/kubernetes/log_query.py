"""Query of the prediction log for the scenario's load: runs as a pod of the platform image, which reads the log."""

from __future__ import annotations

import json
import sys
from collections import Counter

from slipway.prediction_log import Log
from slipway.settings import settings


def count_events(usecase: str) -> dict[str, dict[int, int]]:
    """Count the events of each request number, by the prefix of the load."""
    keys = Log(settings()).predictions(usecase).project('"slipway.key"').fetchall()
    counts = Counter(key for (key,) in keys if key)
    found: dict[str, dict[int, int]] = {}
    for key, count in counts.items():
        prefix, _, number = key.rpartition("-")
        found.setdefault(prefix, {})[int(number)] = count
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(count_events(sys.argv[1])) + "\n")

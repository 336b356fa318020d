"""What the prediction log holds of the trial's load: it runs as a pod, from the platform image, which reads the log."""

from __future__ import annotations

import json
import sys
from collections import Counter

from slipway.prediction_log import Log
from slipway.settings import settings


def logged(usecase: str) -> dict[str, dict[int, int]]:
    """By prefix: how many answered events each number of the load has."""
    keys = Log(settings()).predictions(usecase).project('"slipway.key"').fetchall()
    counts = Counter(key for (key,) in keys if key)
    found: dict[str, dict[int, int]] = {}
    for key, count in counts.items():
        prefix, _, number = key.rpartition("-")
        found.setdefault(prefix, {})[int(number)] = count
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(logged(sys.argv[1])) + "\n")

"""Rules and waits with every duration divided by FACTOR, so that an observation takes minutes instead of days."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

FACTOR = 60
THRESHOLDS = "thresholds.yml"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Not in the name of a series, such as rate5m
_DURATION = re.compile(r"(?<![\w.])(\d+)([smhd])(?!\w)")
_SECONDS = re.compile(r"(?<![\w.])(3600|21600)(?!\w)")  # as rules write an hour, and six, in a product
_WAITS = ("group_wait", "group_interval", "repeat_interval")


def shortened(text: str, least: float = 1.0) -> str:
    """Divide the durations in a text; each stays `least` seconds or more, unless it was less.

    >>> shortened("rate(a:rate5m[5m] offset 15m)")
    'rate(a:rate5m[5000ms] offset 15000ms)'
    """

    def divided(match: re.Match[str]) -> str:
        seconds = int(match[1]) * _UNITS[match[2]]
        return f"{1000 * max(seconds / FACTOR, min(seconds, least)):.0f}ms"

    return _DURATION.sub(divided, text)


def shortened_expression(text: str) -> str:
    """Divide the durations in PromQL, and the hours that are written in seconds."""
    return _SECONDS.sub(lambda match: str(int(match[1]) // FACTOR), shortened(text))


def write_rules(rules: Path, folder: Path) -> None:
    """Write all rules with shorter durations to the folder; thresholds stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in rules.glob("*.yml"):
        content = yaml.safe_load(path.read_text())
        if path.name != THRESHOLDS:
            for rule in (rule for group in content["groups"] for rule in group["rules"]):
                rule["expr"] = shortened_expression(rule["expr"])
                rule |= {"for": shortened(rule["for"])} if "for" in rule else {}
        (folder / path.name).write_text(yaml.safe_dump(content, sort_keys=False, width=1000))


def write_thresholds(rules: Path, folder: Path, changed: dict[str, float], since: float) -> None:
    """Write the thresholds to the folder, with other values for those that are named, as `slipway_labels`.

    The other values apply `since` that time, in seconds since 1970.
    """
    content = yaml.safe_load((rules / THRESHOLDS).read_text())
    for rule in content["groups"][0]["rules"]:
        name = rule["record"].split(":")[1]
        if name in changed:
            rule["expr"] = f"vector({changed[name]}) and on () (vector(time()) >= {math.ceil(since)}) or {rule['expr']}"
    (folder / THRESHOLDS).write_text(yaml.safe_dump(content, sort_keys=False, width=1000))


def pending_seconds(rules: Path, labels: Mapping[str, str]) -> float:
    """Return how long an alert with these labels is pending before it fires, with shorter durations."""
    return min(seconds for fixed, seconds in alert_rules(rules) if fixed.items() <= labels.items())


def alert_rules(rules: Path) -> Iterator[tuple[dict[str, str], float]]:
    """Yield of each rule for an alert its name, with the labels that it sets without a template, and its `for`."""
    for path in rules.glob("*.yml"):
        for rule in (rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]):
            if "alert" in rule:
                labels = {name: value for name, value in rule["labels"].items() if "{{" not in value}
                yield {"alertname": rule["alert"], **labels}, _seconds(shortened(rule.get("for", "0s")))


def shorten_waits(route: dict[str, Any]) -> dict[str, Any]:
    """Divide the waits of one of Alertmanager's routes, and of those below it."""
    waits = {name: shortened(route[name], least=0.1) for name in _WAITS if name in route}
    return {**route, **waits, "routes": [shorten_waits(below) for below in route.get("routes", [])]}


def waits_of_receivers(route: dict[str, Any], name: str, inherited: str = "0ms") -> dict[str, float]:
    """Return by receiver the seconds of `group_wait` or `group_interval`, on a route whose waits are shortened."""
    wait = route.get(name, inherited)
    found = {route["receiver"]: _seconds(wait)}
    for below in route["routes"]:
        found |= waits_of_receivers(below, name, wait)
    return found


def _seconds(milliseconds: str) -> float:
    return float(milliseconds.removesuffix("ms")) / 1000

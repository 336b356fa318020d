"""Command `make audit`: list known vulnerabilities of the locked packages that infra/audit.yaml does not allow.

The exit code is 0 if there is none, 1 if there is one or an entry of the list is wrong, and 3 if some packages could
not be audited because the index has no vulnerability data.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "infra" / "audit.yaml"
LOCKS = ("all", "image-tools", "serving-gpu", "cluster-gpu")  # the other locks are parts of the first
FOUND, NOT_AUDITED = 1, 3
MOST_DAYS = 180  # an exception that nobody has to look at again is none for a time
Text = Annotated[str, msgspec.Meta(pattern=r"\S")]


class Allowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entry of infra/audit.yaml: a vulnerability of a package that is allowed for a time."""

    id: Text
    package: Text
    reason: Text
    expires: date

    def matches(self, known: Vulnerability) -> bool:
        """Tell whether it is this vulnerability that is allowed."""
        return self.package == known.package and self.id in known.ids

    def __str__(self) -> str:
        return f"{LIST.name}: {self.id} of {self.package}"


@dataclass(frozen=True)
class Vulnerability:
    """Known vulnerability of a locked package."""

    package: str
    version: str
    ids: tuple[str, ...]  # pip-audit's, then its aliases
    fixed: tuple[str, ...]  # the versions without it

    def __str__(self) -> str:
        fix = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no version is without it"
        return f"{self.package} {self.version}: {' = '.join(self.ids)}; {fix}"


@dataclass(frozen=True)
class Report:
    """Result of pip-audit for all locks together."""

    vulnerabilities: tuple[Vulnerability, ...]
    not_audited: tuple[str, ...]
    audited: tuple[str, ...]


def read(answers: Iterable[dict[str, Any]]) -> Report:
    """Parse pip-audit's JSON, one document per lock."""
    found: dict[tuple[str, str], Vulnerability] = {}
    skipped: set[str] = set()
    audited: set[str] = set()
    for dependency in (part for answer in answers for part in answer["dependencies"]):
        if "skip_reason" in dependency:
            skipped.add(dependency["name"])
            continue
        audited.add(dependency["name"])
        for known in dependency["vulns"]:
            ids = known["id"], *known["aliases"]
            found[dependency["name"], ids[0]] = Vulnerability(
                dependency["name"], dependency["version"], ids, tuple(known["fix_versions"])
            )
    return Report(tuple(found.values()), tuple(sorted(skipped)), tuple(sorted(audited)))


def problems(report: Report, allowed: Sequence[Allowed], today: date) -> Iterator[str]:
    """One sentence for each vulnerability that is not allowed, and each entry that is wrong, expired or of no use."""
    current = [entry for entry in allowed if today < entry.expires]
    for known in report.vulnerabilities:
        if not any(entry.matches(known) for entry in current):
            yield f"{known}. Raise the version, or allow it for a time in infra/{LIST.name}."
    for entry, times in Counter((entry.id, entry.package) for entry in allowed).items():
        if times > 1:
            yield f"{LIST.name}: {entry[0]} of {entry[1]} is listed {times} times: keep one entry."
    for entry in allowed:
        yield from _dated(entry, today)
        yield from _unused(entry, report)


def _dated(entry: Allowed, today: date) -> Iterator[str]:
    """The entry's problem with its date, if it has one."""
    latest = today + timedelta(days=MOST_DAYS)
    if today >= entry.expires:
        yield f"{entry} is allowed until {entry.expires} only ({entry.reason}): decide again."
    elif entry.expires > latest:
        yield f"{entry} is allowed until {entry.expires}: give a date up to {latest}, {MOST_DAYS} days from now."


def _unused(entry: Allowed, report: Report) -> Iterator[str]:
    """The entry's problem if it allows nothing; none is known of a package that could not be audited."""
    if entry.package not in (*report.audited, *report.not_audited):
        yield f"{entry}: the locks name no such package: remove the entry, or write the name as locks/all.txt does."
    elif entry.package in report.audited and not any(entry.matches(known) for known in report.vulnerabilities):
        yield f"{entry}: what is locked does not have it any more: remove the entry."


def read_list(path: Path) -> list[Allowed]:
    """Read the allowed vulnerabilities.

    Raises:
        SystemExit: the list is malformed.
    """
    try:
        content = yaml.safe_load(path.read_text())
        return msgspec.convert([] if content is None else content, list[Allowed])
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise SystemExit(f"error: {path}: {error}") from None


def run_pip_audit(lock: str) -> dict[str, Any]:
    """Run pip-audit on one lock and return its JSON.

    Raises:
        SystemExit: pip-audit gave no result.
    """
    argv = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "locks" / f"{lock}.txt"), "--disable-pip"]
    argv += ["--require-hashes", "--format", "json", "--progress-spinner", "off"]
    ran = subprocess.run(argv, capture_output=True, text=True)
    try:
        return json.loads(ran.stdout)
    except ValueError:
        raise SystemExit(f"error: pip-audit gave no answer on locks/{lock}.txt:\n{ran.stderr[-2000:]}") from None


def main() -> int:
    """Run the command and return its exit code."""
    allowed = read_list(LIST)
    report = read(run_pip_audit(lock) for lock in LOCKS)
    return report_result(report, list(problems(report, allowed, datetime.now(UTC).date())))


def report_result(report: Report, wrong: Sequence[str]) -> int:
    """Print the result and return the exit code."""
    for sentence in wrong:
        sys.stderr.write(f"error: {sentence}\n")
    if report.not_audited:
        names = ", ".join(report.not_audited[:3]) + (", …" if len(report.not_audited) > 3 else "")
        sys.stderr.write(
            f"{len(report.not_audited)} packages could NOT be audited ({names}): this package index has no "
            "vulnerability data of them. Run it where PyPI's is reached.\n"
        )
    sys.stdout.write(f"{len(report.audited)} packages audited, {len(report.vulnerabilities)} known vulnerabilities\n")
    if wrong:
        return FOUND
    return NOT_AUDITED if report.not_audited else 0


if __name__ == "__main__":
    sys.exit(main())

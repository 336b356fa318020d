"""The audit of the locks, with shortened real output of pip-audit and lists of accepted vulnerabilities."""

from __future__ import annotations

from datetime import date

import pytest

from infra import audit
from infra.audit import Allowed

JINJA = {
    "name": "jinja2",
    "version": "3.1.4",
    "vulns": [
        {
            "id": "PYSEC-2024-229",
            "fix_versions": ["3.1.5"],
            "aliases": ["CVE-2024-56326", "GHSA-q2x7-8rv6-6q7h"],
            "description": "An oversight in how the Jinja sandboxed environment detects calls to str.format …",
        }
    ],
}
SOUND = {"name": "msgspec", "version": "0.22.0", "vulns": []}
SKIPPED = {"name": "numpy", "skip_reason": "Dependency not found on PyPI and could not be audited: numpy (2.4.6)"}
TODAY = date(2026, 6, 1)


def report(*dependencies: dict) -> audit.Report:
    return audit.read([{"dependencies": list(dependencies), "fixes": []}])


def wrong(found: audit.Report, *allowed: Allowed) -> list[str]:
    return list(audit.problems(found, allowed, TODAY))


def allowed(id: str = "PYSEC-2024-229", expires: date = date(2026, 7, 1)) -> Allowed:
    return Allowed(id, "templates come from this repository only", expires)


def test_sound_packages_end_with_0(capsys):
    assert audit.report_result(report(SOUND), wrong(report(SOUND))) == 0
    assert capsys.readouterr().out == "1 packages audited, 0 known vulnerabilities\n"


def test_a_vulnerability_fails_and_names_the_fixed_version(capsys):
    found = report(SOUND, JINJA)
    assert audit.report_result(found, wrong(found)) == audit.FOUND
    output = capsys.readouterr().err
    assert "jinja2 3.1.4: PYSEC-2024-229 = CVE-2024-56326 = GHSA-q2x7-8rv6-6q7h; fixed in 3.1.5" in output


def test_a_vulnerability_in_two_locks_is_reported_once():
    found = audit.read([{"dependencies": [JINJA]}, {"dependencies": [JINJA, SOUND]}])
    assert len(wrong(found)) == 1 and found.audited == 2


@pytest.mark.parametrize("id", ["PYSEC-2024-229", "CVE-2024-56326"])
def test_an_entry_allows_it_by_any_of_its_ids(id):
    assert wrong(report(JINJA), allowed(id)) == []


def test_an_expired_entry_fails_and_allows_nothing():
    expired, vulnerability = wrong(report(JINJA), allowed(expires=TODAY))
    assert "is allowed until 2026-06-01 only" in expired and "decide again" in expired
    assert "jinja2 3.1.4" in vulnerability


def test_an_unused_entry_fails():
    (unused,) = wrong(report(SOUND), allowed())
    assert "nothing locked has PYSEC-2024-229 any more: remove the entry" in unused


def test_an_incomplete_audit_is_neither_sound_nor_vulnerable(capsys):
    found = report(SOUND, SKIPPED)
    assert audit.report_result(found, wrong(found, allowed())) == audit.NOT_AUDITED
    assert "1 packages could NOT be audited (numpy)" in capsys.readouterr().err


def test_a_vulnerability_takes_precedence_over_an_incomplete_audit():
    found = report(JINJA, SKIPPED)
    assert audit.report_result(found, wrong(found)) == audit.FOUND


@pytest.mark.parametrize(
    "text, reason",
    [
        ("- {id: CVE-1, reason: none}", "expires"),
        ("- {id: CVE-1, reason: none, expires: soon}", "expires"),
        ("- {id: CVE-1, reason: none, expires: 2026-07-01, why: x}", "why"),
        ("- [", "while parsing"),
    ],
)
def test_an_invalid_list_is_refused(tmp_path, text, reason):
    path = tmp_path / "audit.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit, match=reason):
        audit.read_list(path)


def test_each_entry_of_the_list_here_has_a_reason():
    assert all(entry.reason.strip() for entry in audit.read_list(audit.LIST))

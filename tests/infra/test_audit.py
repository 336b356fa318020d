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


def allowed(id: str = "PYSEC-2024-229", expires: date = date(2026, 7, 1), package: str = "jinja2") -> Allowed:
    return Allowed(id, package, "templates come from this repository only", expires)


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
    assert len(wrong(found)) == 1 and found.audited == ("jinja2", "msgspec")


@pytest.mark.parametrize("id", ["PYSEC-2024-229", "CVE-2024-56326"])
def test_an_entry_allows_it_by_any_of_its_ids(id):
    assert wrong(report(JINJA), allowed(id)) == []


@pytest.mark.parametrize("expires", [TODAY, date(2026, 5, 31), date(1970, 1, 1)])
def test_an_expired_entry_fails_and_allows_nothing(expires):
    vulnerability, expired = wrong(report(JINJA), allowed(expires=expires))
    assert f"is allowed until {expires} only" in expired and "decide again" in expired
    assert "jinja2 3.1.4" in vulnerability


@pytest.mark.parametrize("expires", [date(2026, 11, 29), date(2999, 1, 1)])
def test_an_entry_for_ever_fails(expires):
    (endless,) = wrong(report(JINJA), allowed(expires=expires))
    assert "give a date up to 2026-11-28, 180 days from now" in endless
    assert wrong(report(JINJA), allowed(expires=date(2026, 11, 28))) == []


def test_an_entry_that_nothing_locked_has_any_more_fails():
    (unused,) = wrong(report(SOUND, JINJA | {"vulns": []}), allowed())
    assert unused == "audit.yaml: PYSEC-2024-229 of jinja2: what is locked does not have it any more: remove the entry."


def test_an_entry_whose_package_is_locked_no_more_fails_also_where_nothing_could_be_audited():
    for found in (report(SOUND), report(SKIPPED)):
        (unused,) = wrong(found, allowed())
        assert "PYSEC-2024-229 of jinja2: the locks name no such package: remove the entry" in unused


def test_an_entry_of_an_audited_package_is_judged_although_another_could_not_be_audited():
    (unused,) = wrong(report(JINJA | {"vulns": []}, SKIPPED), allowed())
    assert "remove the entry" in unused


def test_an_entry_of_a_package_that_could_not_be_audited_is_kept():
    assert wrong(report(SOUND, SKIPPED), allowed(package="numpy")) == []


def test_an_entry_for_one_package_does_not_allow_the_same_vulnerability_in_another():
    vulnerability, unused = wrong(report(JINJA, SOUND), allowed(package="msgspec"))
    assert "jinja2 3.1.4" in vulnerability and "PYSEC-2024-229 of msgspec" in unused


def test_an_entry_that_is_there_twice_fails():
    assert wrong(report(JINJA), allowed(), allowed(expires=date(2026, 8, 1))) == [
        "audit.yaml: PYSEC-2024-229 of jinja2 is listed 2 times: keep one entry."
    ]


def test_an_incomplete_audit_is_neither_sound_nor_vulnerable(capsys):
    found = report(SOUND, SKIPPED)
    assert audit.report_result(found, wrong(found)) == audit.NOT_AUDITED
    assert "1 packages could NOT be audited (numpy)" in capsys.readouterr().err


def test_a_vulnerability_takes_precedence_over_an_incomplete_audit():
    found = report(JINJA, SKIPPED)
    assert audit.report_result(found, wrong(found)) == audit.FOUND


@pytest.mark.parametrize(
    "text, reason",
    [
        ("- {id: CVE-1, package: a, reason: none}", "expires"),
        ("- {id: CVE-1, package: a, reason: none, expires: soon}", "expires"),
        ("- {id: CVE-1, package: a, reason: none, expires: 2026-07-01 10:00:00}", "expires"),
        ("- {id: CVE-1, package: a, reason: none, expires: 2026-07-01, why: x}", "why"),
        ("- {id: CVE-1, package: a, expires: 2026-07-01}", "reason"),
        ("- {id: CVE-1, package: a, reason: '', expires: 2026-07-01}", "reason"),
        ("- {id: CVE-1, package: a, reason: '  ', expires: 2026-07-01}", "reason"),
        ("- {id: CVE-1, package: a, reason: null, expires: 2026-07-01}", "reason"),
        ("- {id: CVE-1, reason: none, expires: 2026-07-01}", "package"),
        ("- {id: '', package: a, reason: none, expires: 2026-07-01}", "id"),
        ("- CVE-1", "object"),
        ("{}", "array"),
        ("- [", "while parsing"),
    ],
)
def test_an_invalid_list_is_refused(tmp_path, text, reason):
    path = tmp_path / "audit.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit, match=reason):
        audit.read_list(path)


def test_the_list_here_is_valid_and_names_locked_packages():
    locked = "".join((audit.ROOT / "locks" / f"{lock}.txt").read_text() for lock in audit.LOCKS)
    assert [entry for entry in audit.read_list(audit.LIST) if f"\n{entry.package}==" not in locked] == []

"""The report: a row for each job, and the page between its markers."""

from __future__ import annotations

from scenarios.delivery import report
from scenarios.delivery.act_log import JobRun, StepRun
from scenarios.delivery.repository import Push
from scenarios.delivery.runner import WorkflowRun
from scenarios.harness.checks import Check

STEPS = [StepRun("Set up", "success", 0.4), StepRun("Deploy", "failure", 61.2)]
JOB = JobRun("staging", "release/deploy", "failure", 62.0, STEPS, [], ["error: a|b is <none>"])
RUN = WorkflowRun("release", Push("0" * 40, "1" * 40, "A change"), [JOB], False, 70.0)


def test_a_row_has_the_result_and_the_steps_that_took_time():
    assert report.job_lines([RUN])[-1] == "| A change | release | staging | failed | 62 | Deploy 61 |"


def test_what_was_observed_fits_a_cell_and_names_no_path_of_this_machine():
    observed = f"{report.ROOT}/var/key: a|b is <none> of x@sha256:{'0123456789ab' + 52 * 'c'}.\nMore"
    row = report.check_lines([Check("A change", "staging failed", True, observed)])[-1]
    assert row == r"| A change | staging failed | yes | var/key: a\|b is &lt;none> of x@sha256:0123456789ab…. |"


def test_a_check_that_did_not_hold_stands_out():
    assert report.check_lines([Check("A change", "jobs", False, "none")])[-1] == "| A change | jobs | **no** | none |"


def test_only_the_part_between_the_markers_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(["new"], page)
    report.write(["newer"], page)
    assert page.read_text() == f"before\n{report.BEGIN}\n\nnewer\n\n{report.END}\nafter\n"


def test_the_page_has_both_markers():
    text = report.PAGE.read_text()
    assert text.index(report.BEGIN) < text.index(report.END)

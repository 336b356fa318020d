"""The scripts that only workflows call, with a stub for each program of others: what they call, print and refuse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workflows.documents import ROOT, workflow

COMMIT, NONE = "0123456789" * 4, "0" * 40
SYSTEM = "/usr/local/bin:/usr/bin:/bin"
# Each call is a line of the record; a body on standard input is kept beside it
STUB = """#!/bin/bash
echo "$(basename "$0") $*" >>"$RECORD"
case "$*" in *--input*|*--password-stdin*|*--body-file*) cat >>"$RECORD.body";; esac
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str
    calls: list[str]
    body: str


@pytest.fixture
def script(tmp_path, needs) -> Callable[..., Ran]:
    """`script("comment", "7", "a.md", GH_TOKEN="t", gh="echo 5")` runs it with a stub `gh` that also runs `echo 5`."""
    needs("jq")

    def run(name: str, *arguments: str, **environment: str) -> Ran:
        programs = {key: value for key, value in environment.items() if key.islower()}
        folder, record = tmp_path / "bin", tmp_path / "record"
        folder.mkdir(exist_ok=True)
        for path in (record, tmp_path / "record.body"):
            path.write_text("")
        for program, answer in programs.items():
            (folder / program).write_text(f"{STUB}{answer}\n")
            (folder / program).chmod(0o755)
        given = {key: value for key, value in environment.items() if not key.islower()}
        ran = subprocess.run(
            [ROOT / ".ci" / name, *arguments],
            cwd=tmp_path,
            env={"PATH": f"{folder}:{SYSTEM}", "RECORD": str(record), "HOME": str(tmp_path), **given},
            capture_output=True,
            text=True,
        )
        calls = record.read_text().splitlines()
        return Ran(ran.returncode, ran.stdout, ran.stderr, calls, (tmp_path / "record.body").read_text())

    return run


GITHUB = {"GITHUB_REPOSITORY": "example/slipway", "GH_TOKEN": "a token"}
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
AWS = {"AWS_ACCOUNT_ID": "123456789012", "AWS_REGION": "eu-central-1"}


def test_changes_are_counted_from_the_last_release_that_succeeded(script):
    ran = script("last-release", **GITHUB, BEFORE=NONE, gh=f"echo {COMMIT}")
    assert (ran.code, ran.out) == (0, f"{COMMIT}\n")
    assert "--workflow release.yml --branch main --status success" in ran.calls[0]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"BEFORE": COMMIT}, COMMIT),
        ({"BEFORE": COMMIT, **GITHUB, "gh": "exit 1"}, COMMIT),
        ({"BEFORE": COMMIT, **GITHUB, "gh": "true"}, COMMIT),
        ({"BEFORE": ""}, NONE),
        ({"BEFORE": COMMIT, "EVERYTHING": "true"}, NONE),
    ],
    ids=["no GitHub", "GitHub is down", "no release yet", "by hand", "everything"],
)
def test_without_a_release_changes_are_counted_from_the_commit_before(script, environment, expected):
    ran = script("last-release", **environment)
    assert (ran.code, ran.out) == (0, f"{expected}\n")


def test_use_cases_are_a_list_and_an_unknown_one_is_refused(script):
    names = sorted(path.parent.name for path in (ROOT / "usecases").glob("*/usecase.yaml"))
    assert json.loads(script("usecases").out) == json.loads(script("usecases", "").out) == names
    assert script("usecases", names[0]).out == f'["{names[0]}"]\n'
    for unknown in ('x"]\ny=["', "../docs", "*"):
        ran = script("usecases", unknown)
        assert (ran.code, ran.out) == (1, "")
        assert f"there is no use case {unknown}" in ran.err and f"{names[0]}/" in ran.err


def test_a_comment_is_made_once_and_replaced_after_that(script, tmp_path):
    (tmp_path / "a.md").write_text('<!-- mark "a" -->\nGates: "passed"\n')
    first = script("comment", "7", "a.md", "nothing-*.md", **GITHUB, gh="true")
    assert (first.code, json.loads(first.body)) == (0, {"body": '<!-- mark "a" -->\nGates: "passed"\n'})
    assert first.calls[-1].startswith("gh api --method POST repos/example/slipway/issues/7/comments ")
    again = script("comment", "7", "a.md", **GITHUB, gh='[[ "$*" != *--paginate* ]] || printf "41\\n42\\n"')
    assert again.calls[-1].startswith("gh api --method PATCH repos/example/slipway/issues/comments/41 ")
    assert len(first.calls) == len(again.calls) == 2


def test_a_comment_on_a_commit_goes_to_the_pull_request_that_brought_it(script, tmp_path):
    (tmp_path / "a.md").write_text("text\n")
    found = script("comment", COMMIT, "a.md", **GITHUB, gh='[[ "$*" != *"/pulls "* ]] || echo 12')
    assert f"repos/example/slipway/commits/{COMMIT}/pulls" in found.calls[0]
    assert "issues/12/comments" in found.calls[-1]
    pushed = script("comment", COMMIT, "a.md", **GITHUB, gh="true")
    assert (pushed.code, len(pushed.calls)) == (0, 1)
    assert f"No pull request brought {COMMIT}" in pushed.out


def test_a_long_comment_is_cut_and_says_so(script, tmp_path):
    (tmp_path / "a.md").write_text("mark\n" + "é" * 70000)
    text = json.loads(script("comment", "7", "a.md", **GITHUB, gh="true").body)["body"]
    assert text == "mark\n" + "é" * 59995 + "\n\nCut here: the run has all of it.\n"


def test_without_github_no_comment_is_made(script):
    ran = script("comment", "7", "a.md", GITHUB_REPOSITORY="example/slipway", gh="true")
    assert (ran.code, ran.calls) == (0, [])
    assert "No comment is made" in ran.out


@pytest.mark.parametrize(
    ("differs", "open_issue", "call"),
    [
        ("true", "", "issue create --title Drift: staging differs from its Terraform --body-file -"),
        ("true", "9", "issue edit 9 --body-file -"),
        ("false", "9", "issue close 9 --comment A plan of staging changes nothing any more."),
        ("false", "", None),
    ],
)
def test_drift_has_one_issue_while_it_lasts(script, tmp_path, differs, open_issue, call):
    (tmp_path / "plan.md").write_text("é" * 70000)
    listed = f'[ "$2" != list ] || printf "%s" "{open_issue}"'
    ran = script("drift", "staging", differs, "plan.md", **GITHUB, gh=listed)
    assert ran.code == 0
    assert ran.calls[1:] == ([f"gh {call}"] if call else [])
    assert ran.body == ("é" * 60000 + "\n" if differs == "true" else "")


def test_a_command_gets_no_variable_that_is_empty(script):
    ran = script("without-empty", "env", "FOO=a b", SLIPWAY_MASK_KEY="", MLFLOW_TRACKING_URI="http://a b")
    given = dict(line.split("=", 1) for line in ran.out.splitlines())
    assert ran.code == 0 and "SLIPWAY_MASK_KEY" not in given
    assert (given["FOO"], given["MLFLOW_TRACKING_URI"]) == ("a b", "http://a b")
    assert script("without-empty", "false").code == 1


@pytest.mark.parametrize(
    ("environment", "registry", "login"),
    [
        ({"REGISTRY": "localhost:5000"}, "localhost:5000", None),
        (
            {"REGISTRY": "ghcr.io/example", "REGISTRY_USERNAME": "me", "REGISTRY_PASSWORD": "secret"},
            "ghcr.io/example",
            "docker login --username me --password-stdin ghcr.io",
        ),
        (AWS, f"{ECR}/slipway", f"docker login --username AWS --password-stdin {ECR}"),
        ({**AWS, "REGISTRY": f"{ECR}/team"}, f"{ECR}/team", f"docker login --username AWS --password-stdin {ECR}"),
    ],
)
def test_the_registry_is_named_and_logged_in_to_without_a_password_in_any_argument(
    script, environment, registry, login
):
    ran = script("registry-login", **environment, docker="true", aws="echo secret")
    assert (ran.code, ran.out) == (0, f"{registry}\n")
    assert [call for call in ran.calls if call.startswith("docker")] == ([login] if login else [])
    assert "secret" not in " ".join(ran.calls) + ran.err
    assert ran.body == ("secret\n" if login else "")


@pytest.mark.parametrize(
    ("environment", "error"),
    [
        ({}, "set REGISTRY, or AWS_ACCOUNT_ID and AWS_REGION"),
        ({"AWS_ACCOUNT_ID": "123456789012"}, "set REGISTRY, or AWS_ACCOUNT_ID and AWS_REGION"),
        ({"REGISTRY": "ghcr.io/example", "REGISTRY_USERNAME": "me"}, "the secret REGISTRY_PASSWORD is not"),
    ],
)
def test_a_missing_registry_or_password_is_named(script, environment, error):
    ran = script("registry-login", **environment, docker="true")
    assert (ran.code, ran.out, ran.calls) == (1, "", [])
    assert error in ran.err


def test_a_kubeconfig_is_written_for_its_user_alone_and_used_by_later_steps(script, tmp_path):
    page = tmp_path / "environment"
    ran = script(
        "cluster-login", "staging", KUBE_CONFIG="kind: Config", RUNNER_TEMP=str(tmp_path), GITHUB_ENV=str(page),
        kubectl='cat "$KUBECONFIG" >>"$RECORD"',
    )  # fmt: skip
    written = tmp_path / "kubeconfig"
    assert (ran.code, ran.calls) == (0, ["kubectl get --raw /readyz", "kind: Config"])
    assert (written.read_text(), written.stat().st_mode & 0o777) == ("kind: Config\n", 0o600)
    assert page.read_text() == f"KUBECONFIG={written}\n"


def test_on_aws_the_overlay_and_the_cluster_are_those_that_terraform_made(script, tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'{STUB}cat >>"$RECORD"\n')
    python.chmod(0o755)
    outputs = '{"cluster": "slipway-staging"}'
    ran = script(
        "cluster-login", "staging", **AWS, kubectl="true", aws=f"""[ "$1" != ssm ] || echo '{outputs}'""",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert ran.calls == [
        "aws ssm get-parameter --name /slipway/staging --query Parameter.Value --output text",
        "python -m infra.terraform.overlays staging --outputs -",
        outputs,
        "aws eks update-kubeconfig --name slipway-staging",
        "kubectl get --raw /readyz",
    ]


def test_a_cluster_that_does_not_answer_is_an_error_that_says_what_to_set(script):
    ran = script("cluster-login", "production", kubectl="exit 1")
    assert ran.code == 1
    assert "the cluster of production does not respond. Set AWS_ACCOUNT_ID, or the secret KUBE_CONFIG" in ran.err


@pytest.fixture
def checkout(tmp_path) -> Path:
    """Return a checkout with the environment `staging` and the script."""
    (tmp_path / "infra" / "terraform" / "environments" / "staging").mkdir(parents=True)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "terraform").symlink_to(ROOT / ".ci" / "terraform")
    return tmp_path


@pytest.fixture
def terraform(checkout, script) -> Callable[..., Ran]:
    def run(*arguments: str, plan: int = 0, text: str = "No changes.", **environment: str) -> Ran:
        stub = f'case "$2" in plan) exit {plan};; show) echo "{text}";; esac'
        return script(str(checkout / ".ci" / "terraform"), *arguments, terraform=stub, **environment)

    return run


@pytest.mark.parametrize(
    ("code", "text", "headline", "changed"),
    [
        (0, "No changes. Your infrastructure matches.", "No changes. Your infrastructure matches.", "false"),
        (
            2,
            "  # a.b\nPlan: 1 to add, 0 to change, 0 to destroy.",
            "Plan: 1 to add, 0 to change, 0 to destroy.",
            "true",
        ),
        (2, "Changes to Outputs:", "Only outputs change.", "true"),
    ],
)
def test_a_plan_is_told_to_people_and_to_the_next_jobs(terraform, checkout, code, text, headline, changed):
    page, output = checkout / "page", checkout / "output"
    ran = terraform(
        "plan", "staging", plan=code, text=text,
        TERRAFORM_BACKEND='bucket = "state"', GITHUB_STEP_SUMMARY=str(page), GITHUB_OUTPUT=str(output),
    )  # fmt: skip
    report = (checkout / "build" / "plans" / "staging.md").read_text()
    assert ran.code == 0
    assert report.startswith(f"<!-- terraform plan staging -->\n### Terraform, staging: {headline}\n")
    assert f"```text\n{text}\n```" in report and page.read_text() == report
    assert output.read_text() == f"staging={changed}\n"
    assert (checkout / "infra" / "terraform" / "backend.hcl").read_text() == 'bucket = "state"\n'
    assert [call.split()[2] for call in ran.calls] == ["init", "plan", "show"]
    assert "-lock=false" in ran.calls[1]


def test_what_is_applied_is_the_plan_that_was_just_made_under_the_lock(terraform, checkout):
    ran = terraform("apply", "staging", plan=2, TERRAFORM_BACKEND="x = 1")
    assert [call.split()[2] for call in ran.calls] == ["init", "plan", "show", "apply"]
    assert "-lock=true" in ran.calls[1] and ran.calls[3].endswith("/build/plans/staging.tfplan")
    assert f"-out={ran.calls[3].split()[-1]}" in ran.calls[1]


def test_another_plan_than_the_approved_one_is_not_applied(terraform, checkout):
    plan, state = "Plan: 1 to add, 0 to change, 0 to destroy.", {"TERRAFORM_BACKEND": "x = 1"}
    assert terraform("plan", "staging", plan=2, text=plan, **state).code == 0
    approved = (checkout / "build" / "plans" / "staging.md").rename(checkout / "approved.md")
    ran = terraform("apply", "staging", str(approved), plan=2, text=plan, **state)
    assert (ran.code, ran.calls[-1].split()[2]) == (0, "apply")
    ran = terraform("apply", "staging", str(approved), plan=2, text="Plan: 9 to destroy.", **state)
    assert (ran.code, ran.calls[-1].split()[2]) == (1, "show")
    assert "no longer the plan that was approved" in ran.err and "9 to destroy" in ran.out
    ran = terraform("apply", "staging", str(approved), **state)  # somebody else has applied it
    assert (ran.code, ran.calls[-1].split()[2]) == (0, "show")
    assert not list((checkout / "build" / "plans").glob("*.tfplan"))


def test_a_plan_that_fails_ends_it_and_nothing_is_applied(terraform):
    ran = terraform("apply", "staging", plan=1, TERRAFORM_BACKEND="x = 1")
    assert (ran.code, [call.split()[2] for call in ran.calls]) == (1, ["init", "plan"])


@pytest.mark.parametrize("arguments", [[], ["plan"], ["plan", "nowhere"], ["destroy", "staging"]])
def test_terraform_is_called_for_an_environment_that_there_is(terraform, arguments):
    ran = terraform(*arguments, TERRAFORM_BACKEND="x = 1")
    assert (ran.code, ran.calls) == (2, [])
    assert "usage: .ci/terraform plan|apply ENVIRONMENT [APPROVED], an environment of: staging/" in ran.err


def test_without_a_state_terraform_is_not_called(terraform):
    ran = terraform("plan", "staging")
    assert (ran.code, ran.calls) == (1, [])
    assert "set TERRAFORM_BACKEND, or write infra/terraform/backend.hcl" in ran.err


@pytest.mark.parametrize(
    ("results", "code", "error"),
    [
        ({"lint": "success", "tests": "success"}, 0, ""),
        ({"lint": "success", "tests": "failure", "demo": "skipped"}, 1, "error: not passed: tests, demo\n"),
    ],
)
def test_the_required_check_is_red_if_one_job_is_not_green_and_lists_all(tmp_path, needs, results, code, error):
    needs("jq")
    page = tmp_path / "page"
    [script] = [step["run"] for step in workflow("ci").jobs["ci"]["steps"] if "run" in step]
    jobs = {name: {"result": result, "outputs": {}} for name, result in results.items()}
    given = {"PATH": SYSTEM, "JOBS": json.dumps(jobs), "GITHUB_STEP_SUMMARY": str(page)}
    ran = subprocess.run(["bash", "-eo", "pipefail", "-c", script], env=given, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (code, error)
    assert page.read_text().splitlines()[2:] == [f"| {name} | {result} |" for name, result in results.items()]

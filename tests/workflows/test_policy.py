"""The workflows keep to the policy, and the policy finds what breaks it."""

from __future__ import annotations

import re

import pytest

from tests.workflows.documents import EXPRESSION, documents, parse, workflow
from tests.workflows.policy import problems

BAD = """
name: bad
on: [push, pull_request_target]
permissions: write-all
jobs:
  build:
    runs-on: ubuntu-24.04
    timeout-minutes: 600
    environment: production
    concurrency: {group: deploy, cancel-in-progress: true}
    steps:
      - uses: actions/checkout@v7
      - uses: some/action@3d3c42e5aac5ba805825da76410c181273ba90b1
      - run: echo "${{ github.event.head_commit.message }}"
"""


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_every_workflow_and_action_keeps_to_the_policy(document):
    assert problems(document) == []


def test_the_policy_finds_each_kind_of_violation():
    found = [problem.removeprefix("bad.yml: ") for problem in problems(parse("bad.yml", BAD))]
    assert found == [
        "pin by the full SHA, with the version beside it: - uses: actions/checkout@v7",
        "pin by the full SHA, with the version beside it: - uses: some/action@3d3c42e5aac5ba805825da76410c181273ba90b1",
        "build: an expression inside a script; give it by env",
        "build: the checkout keeps the token; persist-credentials: false",
        "permissions: {} at the top; each job asks for its own",
        "trigger pull_request_target",
        "no concurrency group",
        "build: timeout-minutes, at most 360",
        "build: no permissions of its own",
        "build: cancel-in-progress must be false, or true for pull requests alone",
        "build: the first step is step-security/harden-runner",
    ]


def test_an_action_has_one_version_everywhere():
    pins = {pin for document in documents() for pin in re.findall(r"uses: ([\w./-]+@\w+ # \S+)", document.text)}
    names = [pin.split("@")[0] for pin in pins]
    assert len(names) == len(set(names)) >= 9, sorted(pins)


def test_what_runs_for_forks_has_no_secret_and_no_token_that_writes():
    found = workflow("ci")
    assert "secrets." not in found.text and "id-token" not in found.text
    assert all(set(job["permissions"].values()) <= {"read"} for job in found.jobs.values())
    assert not any("environment" in job for job in found.jobs.values())


def test_a_forks_pull_request_gets_no_role_to_plan_with():
    condition = workflow("infra").jobs["plan"]["if"]
    assert "github.event.pull_request.head.repo.full_name == github.repository" in condition


@pytest.mark.parametrize("name", ["release", "train", "infra"])
def test_only_these_permissions_write_and_only_in_these_jobs(name):
    allowed = {
        "release": {
            "comment": {"pull-requests"},
            **{job: {"id-token"} for job in ("build", "sign", "staging", "production")},
        },
        "train": {},
        "infra": {
            "comment": {"pull-requests"},
            "drift": {"issues"},
            **{job: {"id-token"} for job in ("plan", "apply-shared", "apply-staging", "apply-production")},
        },
    }
    writes = {
        job: {scope for scope, level in content["permissions"].items() if level == "write"}
        for job, content in workflow(name).jobs.items()
    }
    assert {job: scopes for job, scopes in writes.items() if scopes} == allowed[name]


def test_the_same_steps_deploy_to_staging_and_to_production():
    jobs = workflow("release").jobs
    staging, production = (repr(jobs[name]["steps"]) for name in ("staging", "production"))
    assert staging.replace("staging", "production") == production
    assert jobs["staging"]["environment"] == "staging" and jobs["production"]["environment"] == "production"
    assert jobs["production"]["needs"] == "staging"


def test_a_skipped_training_skips_no_release_and_a_failed_job_ends_it():
    jobs = workflow("release").jobs
    for job, before in {"build": "train", "sign": "build", "staging": "sign", "production": "staging"}.items():
        assert before in jobs[job]["needs"]
        assert "!cancelled()" in jobs[job]["if"] and f"needs.{before}.result == 'success'" in jobs[job]["if"]
    assert "needs.train.result == 'skipped'" in jobs["build"]["if"]


def test_infrastructure_is_applied_from_main_in_its_order_by_environments_of_their_own():
    jobs = workflow("infra").jobs
    for name in ("shared", "staging", "production"):
        job = jobs[f"apply-{name}"]
        assert job["environment"] == f"{name}-infrastructure"
        assert "github.ref == 'refs/heads/main'" in job["if"] and f"needs.plan.outputs.{name} == 'true'" in job["if"]
    assert jobs["apply-staging"]["needs"] == ["plan", "apply-shared"]
    assert jobs["apply-production"]["needs"] == ["plan", "apply-shared", "apply-staging"]


def test_the_required_check_needs_every_other_job():
    jobs = workflow("ci").jobs
    assert set(jobs["ci"]["needs"]) == set(jobs) - {"ci"}
    assert jobs["ci"]["if"] == "always()"


def test_secrets_reach_steps_alone_and_never_all_at_once():
    for document in documents():
        assert "toJSON(secrets)" not in document.text and "secrets: inherit" not in document.text
        for job, content in document.jobs.items():
            outside = {key: value for key, value in content.items() if key != "steps"}
            used = [found for found in EXPRESSION.findall(repr(outside)) if "secrets." in found]
            assert used == [], f"{document.name}: {job}"

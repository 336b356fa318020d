"""The runner: act runs a workflow of a checkout, with what a repository on GitHub gives to it, and stand-ins."""

from __future__ import annotations

import pytest

from scenarios.delivery.repository import Repository, git
from scenarios.delivery.runner import Runner
from slipway.errors import ServiceError

SHA = "0123456789012345678901234567890123456789"
WORKFLOW = f"""
name: release
on: push
jobs:
  first:
    runs-on: ubuntu-24.04
    outputs:
      names: ${{{{ steps.find.outputs.names }}}}
    steps:
      - uses: actions/checkout@{SHA} # v5.0.0
      - name: Find
        id: find
        env:
          REGISTRY: ${{{{ vars.REGISTRY }}}}
          KEY: ${{{{ secrets.KEY }}}}
        run: |
          echo "$GITHUB_REPOSITORY ${{{{ github.event.before }}}} $(git rev-parse HEAD) $REGISTRY ${{#KEY}}"
          echo "own: ${{SLIPWAY_VAR-none}}"
          echo 'names=["one"]' >> "$GITHUB_OUTPUT"
          echo "# Found" >> "$GITHUB_STEP_SUMMARY"
          mkdir -p out && echo kept > out/file
      - uses: actions/upload-artifact@{SHA} # v5.0.0
        with: {{name: found, path: out}}
  second:
    needs: first
    strategy:
      matrix:
        name: ${{{{ fromJSON(needs.first.outputs.names) }}}}
    runs-on: ${{{{ vars.RUNNER || 'ubuntu-24.04' }}}}
    steps:
      - uses: actions/download-artifact@{SHA} # v5.0.0
        with: {{name: found, path: got}}
      - run: |
          cat got/file
          echo "error: ${{{{ matrix.name }}}} is refused" >&2
          exit 1
  third:
    needs: second
    runs-on: ubuntu-24.04
    steps:
      - run: echo never
"""


@pytest.fixture
def pushed(tmp_path, needs):
    """`pushed(workflow)` pushes a workflow; returns its runner, the push and the checkout."""
    needs("act")

    def push(workflow: str):
        source, folder = tmp_path / "source", tmp_path / "rehearsal"
        git("init", "--quiet", str(source))
        path = source / ".github" / "workflows" / "release.yml"
        path.parent.mkdir(parents=True)
        path.write_text(workflow)
        git("-C", str(source), "add", "--all")
        git("-C", str(source), "commit", "--quiet", "--message", "A workflow")
        repository = Repository(folder)
        repository.create(source)
        pushed = repository.push("A page", lambda checkout: (checkout / "page.md").write_text("a page\n"))
        repository.checkout(pushed, folder / "checkout")
        stand_ins = {"STAND_IN_ARTIFACTS": str(folder / "artifacts"), "STAND_IN_VENV": "none"}
        runner = Runner(folder, {"REGISTRY": "localhost:5000"}, {"KEY": "1234567"}, stand_ins, 7)
        return runner, pushed, folder / "checkout"

    return push


def test_jobs_run_with_event_variables_secrets_outputs_and_artifacts_and_not_after_a_failure(pushed, monkeypatch):
    monkeypatch.setenv("SLIPWAY_VAR", "var-of-this-process")
    runner, push, checkout = pushed(WORKFLOW)
    begun: list[str] = []
    run = runner.run("release", push, checkout, watch=begun.append)
    first, second = run.jobs
    assert f"example/slipway {push.before} {push.after} localhost:5000 7" in first.lines
    assert "own: none" in first.lines
    assert (first.result, first.summaries) == ("success", ["# Found\n"])
    assert [step.name for step in first.steps][1] == "Find"
    assert (second.id, second.result) == ("second", "failure")
    assert "kept" in second.lines and second.reason == "error: one is refused"
    assert not run.succeeded and run.job("third") is None
    assert begun == ["first", "second"]


def test_a_run_that_lasts_too_long_is_ended_and_says_so(pushed, monkeypatch):
    monkeypatch.setattr("scenarios.delivery.runner.RUN_SECONDS", 1.0)
    runner, push, checkout = pushed(WORKFLOW.replace("mkdir -p out", "sleep 30; mkdir -p out"))
    with pytest.raises(ServiceError, match=r"act did not end within 1\.0 s: see .*7-release\.jsonl"):
        runner.run("release", push, checkout)


def test_an_action_without_a_stand_in_ends_the_run_before_it_begins(pushed):
    runner, push, checkout = pushed(WORKFLOW.replace("actions/upload-artifact", "some/thing"))
    with pytest.raises(ServiceError, match="some/thing has no stand-in"):
        runner.run("release", push, checkout)


def test_a_workflow_that_act_cannot_read_is_an_error_that_names_the_log(pushed):
    runner, push, checkout = pushed("jobs: [")
    with pytest.raises(ServiceError, match=r"act ran no job of release: see .*7-release\.jsonl"):
        runner.run("release", push, checkout)

"""Training of a changed use case: where it is trained, and what is reported of it."""

from __future__ import annotations

import shutil

import pytest

from infra.delivery import program
from infra.delivery.training import report
from infra.delivery.training.work_pool import choose
from pipelines.artifacts import GatedReport, Score
from pipelines.runs.fingerprint import code_digest
from slipway.clients import prefect
from slipway.clients.prefect import Deployment
from slipway.config import load
from slipway.contracts.bundle.gate_report import Gate
from slipway.settings import settings
from tests.support import bundles
from tests.support.doubles.mlflow_double import MlflowDouble
from tests.support.doubles.prefect_double import PrefectDouble
from tests.support.servers import publish

USECASE = "digits"
PASSED = Gate("accuracy", 0.98, 0.97, "passed", "accuracy is 0.980, and must be 0.97 or more.")
FAILED = Gate("margin", 0.9, 0.98, "failed", "It is worse than the champion | by 0.08.")


def gated(*gates):
    passed = not any(gate.failed for gate in gates)
    scores = {"accuracy": Score(0.98, 0.97, 0.99)}
    return GatedReport(
        metric="accuracy", scores=scores, calibration=None, confusion=None, slices=[], gates=list(gates), passed=passed
    )


@pytest.mark.parametrize(
    ("deployment", "in_pool", "reason"),
    [
        (None, False, "no deployment of it yet"),
        (Deployment("1", {}, version="code"), False, "in no work pool"),
        (Deployment("1", {}, version="old", work_pool_name="slipway"), False, "runs other code than this commit's"),
        (Deployment("1", {}, version=None, work_pool_name="slipway"), False, "runs other code than this commit's"),
        (Deployment("1", {}, version="code", work_pool_name="slipway"), True, "slipway runs this commit's code"),
    ],
)
def test_the_pool_trains_if_it_has_this_code(deployment, in_pool, reason):
    choice = choose(deployment, "code")
    assert choice.in_pool is in_pool and reason in choice.reason


def test_the_report_has_gates_scores_and_the_card():
    text = report.markdown("loans", "3", gated(PASSED), "# loans\n\nThe card.")
    assert text.startswith("<!-- slipway train loans -->\n\n## loans version 3 passed its gates\n")
    assert f"| accuracy | passed | {PASSED.sentence} |" in text
    assert "| accuracy | 0.980 (0.970 to 0.990) |" in text
    assert "<summary>Model card</summary>\n\n# loans\n\nThe card.\n</details>" in text


def test_what_would_end_a_cell_is_escaped():
    text = report.markdown("loans", "3", gated(PASSED, FAILED), "")
    assert "## loans version 3 was refused by its gates" in text
    assert "| margin | failed | It is worse than the champion &#124; by 0.08. |" in text


def test_a_card_that_is_too_long_for_a_comment_is_cut_with_a_note():
    text = report.markdown("loans", "3", gated(PASSED), "a row\n" * 20_000)
    assert len(text) == report.MOST_CHARACTERS and text.endswith("MLflow has all of it.*\n")


def test_a_refusal_is_the_sentence_of_each_failed_gate():
    assert report.refusal("loans", "3", gated(PASSED)) is None
    assert report.refusal("loans", "3", gated(PASSED, FAILED)) == (
        f"loans version 3 was refused by its gates: margin: {FAILED.sentence}"
    )


class Servers:
    """MLflow and Prefect, to which a training publishes a version with these gates."""

    def __init__(self, mlflow, server, folder):
        self.mlflow, self.prefect, self._folder = mlflow, server, folder
        self.gates, self.ends = [PASSED], "COMPLETED"
        self.trained_here = 0
        start = server._start
        server._start = lambda request: self._train_in_pool(start, request)

    def _train_in_pool(self, start, request):
        run = start(request)
        if run["state"]["type"] == "SCHEDULED":
            run["state"]["type"] = self.ends
            if self.ends == "COMPLETED":
                self.publish()
        return run

    def train_here(self, *arguments, seconds):
        assert arguments == ("train", USECASE)
        self.trained_here += 1
        return {"version": self.publish()}

    def publish(self):
        shutil.rmtree(self._folder, ignore_errors=True)
        bundles.write(self._folder)
        gated(*self.gates).write(self._folder)
        (self._folder / "card.md").write_text("# The card of digits\n")
        bundles.rename(self._folder, USECASE)
        return publish(self.mlflow.uri, USECASE, self._folder)


@pytest.fixture
def servers(tmp_path, monkeypatch):
    monkeypatch.setattr(prefect, "POLL_SECONDS", 0.01)
    with MlflowDouble() as mlflow, PrefectDouble() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.uri)
        monkeypatch.setenv("PREFECT_API_URL", f"{server.uri}/api")
        settings.cache_clear()
        found = Servers(mlflow, server, tmp_path / "bundle")
        monkeypatch.setattr(program, "slipway", found.train_here)
        yield found


@pytest.fixture
def pool(servers):
    servers.prefect.deployment = {"version": code_digest(load(USECASE)), "work_pool_name": "slipway"}
    return servers


def test_without_a_pool_it_is_trained_here(servers, deliver):
    code, out, err = deliver("train", USECASE)
    assert (code, out) == (0, "digits version 1 passed its gates and is the challenger\n")
    assert servers.trained_here == 1 and "is trained here: its deployment is in no work pool" in err


def test_a_pool_with_this_code_trains_it(pool, deliver):
    code, out, err = deliver("train", USECASE)
    assert (code, out) == (0, "digits version 1 passed its gates and is the challenger\n"), err
    assert pool.trained_here == 0 and "is trained in the pool" in err


def test_gates_and_card_are_in_the_summary_and_in_the_comment(servers, deliver, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    deliver("train", USECASE, "--comment", tmp_path / "comment.md")
    comment = (tmp_path / "comment.md").read_text()
    assert comment.startswith("<!-- slipway train digits -->") and "# The card of digits" in comment
    assert (tmp_path / "summary").read_text() == f"{comment}\n"


@pytest.mark.parametrize("where", ["servers", "pool"])
def test_a_gate_that_fails_makes_it_red_with_its_sentence(where, request, deliver, tmp_path):
    request.getfixturevalue(where).gates = [PASSED, FAILED]
    code, out, err = deliver("train", USECASE, "--comment", tmp_path / "comment.md")
    assert (code, out) == (1, "")
    assert f"error: digits version 1 was refused by its gates: margin: {FAILED.sentence}" in err
    assert "was refused by its gates" in (tmp_path / "comment.md").read_text()


def test_a_flow_run_that_fails_is_told(pool, deliver):
    pool.ends = "FAILED"
    code, _, err = deliver("train", USECASE)
    assert code == 1 and "of train/digits ended FAILED" in err


def test_a_flow_run_that_registers_nothing_is_told(pool, deliver, monkeypatch):
    monkeypatch.setattr(pool, "publish", lambda: None)
    code, _, err = deliver("train", USECASE)
    assert code == 1 and "has no version of digits from it: do MLFLOW_TRACKING_URI here and in" in err


def test_a_version_of_an_earlier_run_is_not_taken_for_this_ones(pool, deliver, monkeypatch):
    pool.publish()
    pool.mlflow.state.models[USECASE].versions["1"]["creation_timestamp"] -= 60_000
    monkeypatch.setattr(pool, "publish", lambda: None)
    assert deliver("train", USECASE)[0] == 1


def test_a_workflow_that_runs_again_finds_the_training_that_it_started(pool, deliver, monkeypatch):
    monkeypatch.setenv("GITHUB_RUN_ID", "7")
    for _ in range(2):
        assert deliver("train", USECASE)[1] == "digits version 1 passed its gates and is the challenger\n"
    assert list(pool.prefect.runs) == ["delivery-7-digits"]


def test_a_training_that_failed_is_started_again_by_the_next_attempt(pool, deliver, monkeypatch):
    monkeypatch.setenv("GITHUB_RUN_ID", "7")
    pool.ends = "FAILED"
    assert deliver("train", USECASE)[0] == 1
    pool.ends = "COMPLETED"
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "2")
    assert deliver("train", USECASE)[0] == 0
    assert list(pool.prefect.runs) == ["delivery-7-digits", "delivery-7-digits-2"]


def test_a_use_case_that_does_not_exist_is_named(servers, deliver):
    code, _, err = deliver("train", "digit")
    assert code == 1 and "no use case 'digit'" in err and "Did you mean 'digits'?" in err


def test_a_prefect_that_does_not_answer_is_named(servers, deliver, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    settings.cache_clear()
    code, _, err = deliver("train", USECASE)
    assert code == 1 and "Prefect does not respond at http://127.0.0.1:9/api" in err

"""Steps of the GPU benchmark: what each takes for held, here without a GPU."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.gpu import step
from benchmarks.gpu.check import HELD, NOT_HELD, NOT_RUN, Check, read
from benchmarks.gpu.context import Context
from benchmarks.gpu.steps import execution, packages, trainings
from benchmarks.gpu.steps.answers import check_answers
from benchmarks.gpu.steps.batches import check_batches
from benchmarks.gpu.steps.execution import CUDA, Node, check_execution, executed_nodes
from benchmarks.gpu.steps.packages import check_packages, locked_versions
from benchmarks.gpu.steps.trainings import Trained, compare_scores
from bentos.models.batch_size import BatchSize
from slipway.inference import Predictor
from slipway.system.files import write_json
from tests.support import bundles

CPU = "CPUExecutionProvider"
ON_CPU = Trained("accuracy", 0.98, 0.02, "CPU", "none", 1, 30.0)
ON_GPU = Trained("accuracy", 0.97, 0.02, "NVIDIA T4", "MirroredStrategy", 2, 10.0)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context("gpu", "serving", "all", tmp_path, quick=True)


@pytest.fixture
def on_cpu(tmp_path: Path) -> Context:
    return Context("cpu", "serving", "all", tmp_path, quick=True)


def test_a_library_that_an_environment_lacks_is_named(context, monkeypatch) -> None:
    results = context.folder / "results"
    argv = ["step", "tensorflow", "--title", "TensorFlow", "--device", "gpu", "--environment", "training"]
    argv += ["--lock", "cluster-gpu", "--folder", str(context.folder), "--results", str(results)]
    monkeypatch.setattr(sys, "argv", argv)
    for variable in ("SLIPWAY_VAR", "TF_CPP_MIN_LOG_LEVEL"):  # of the step's process, which is this one here
        monkeypatch.setenv(variable, str(context.folder))
    monkeypatch.setitem(sys.modules, "pipelines.modeling.devices", None)
    step.main()
    assert read(results) == [Check("TensorFlow", NOT_RUN, "pipelines.modeling.devices is not installed")]


def test_a_lock_is_read_by_the_markers_of_this_machine() -> None:
    lock = """# made by uv
    numpy==2.4.6 ; python_full_version < '3.12' \\
        --hash=sha256:aa
    numpy==2.5.5 ; python_full_version >= '3.12' \\
        --hash=sha256:bb
    onnxruntime==1.31.1 ; sys_platform == 'never' \\
    uv==0.13.8 \\
        # via -r -
    """
    lines = "\n".join(line.removeprefix("    ") for line in lock.splitlines())
    assert locked_versions(lines) == {"numpy": "2.4.6", "uv": "0.13.8"}


def test_the_environment_of_developers_has_what_its_lock_names(context) -> None:
    (check,) = check_packages(context)
    assert check.verdict == HELD, check.detail


def test_a_package_of_another_version_is_named(context, monkeypatch) -> None:
    monkeypatch.setattr(packages, "locked_versions", lambda lock: {"numpy": "0.1", "no-such-package": "1"})
    (check,) = check_packages(context)
    assert check.verdict == NOT_HELD
    assert "in place of 0.1" in check.detail and "no-such-package: none in place of 1" in check.detail


def test_the_profile_says_what_ran_where(tmp_path) -> None:
    bundles.write(tmp_path / "bundle", bundles.TABULAR)
    network = tmp_path / "bundle" / "serve" / "model.onnx"
    nodes = executed_nodes(Predictor(tmp_path / "bundle", "cpu"), network, tmp_path)
    assert {node.provider for node in nodes} == {CPU}
    assert {"MatMul", "Softmax"} <= {node.operator for node in nodes}


@pytest.mark.parametrize(
    ("nodes", "verdict"),
    [
        ([Node("Conv", CUDA), Node("MatMul", CUDA), Node("Shape", CPU)], HELD),
        ([Node("Conv", CUDA), Node("MatMul", CPU)], NOT_HELD),
        ([Node("Conv", CPU)], NOT_HELD),
        ([Node("Softmax", CUDA)], NOT_HELD),
    ],
)
def test_a_network_runs_on_cuda_if_all_that_costs_time_does(context, monkeypatch, nodes, verdict) -> None:
    bundles.write(context.trained / "loans", bundles.TABULAR)
    monkeypatch.setattr(execution, "Predictor", lambda bundle, device: None)
    monkeypatch.setattr(execution, "executed_nodes", lambda *_: nodes)
    (check,) = check_execution(context)
    assert (check.name, check.verdict) == ("`loans` runs on CUDA", verdict)


def test_outputs_beyond_what_a_swap_allows_are_not_held(on_cpu) -> None:
    bundles.write(on_cpu.trained / "loans", bundles.TABULAR)
    bundles.write(on_cpu.networks / "shifted", bundles.TABULAR, probe_shift=0.01)
    found = {check.name.split("`")[1]: check for check in check_answers(on_cpu)}
    assert found["loans"].verdict == HELD
    assert found["shifted"].verdict == NOT_HELD and "differ by up to 0.01" in found["shifted"].detail
    assert {found[name].verdict for name in ("credit_risk", "digits")} == {NOT_RUN}


@pytest.mark.parametrize(
    ("gpu", "verdict"),
    [
        (ON_GPU, HELD),
        (Trained("accuracy", 0.95, 0.02, "NVIDIA T4", "MirroredStrategy", 1, 10.0), NOT_HELD),
        (Trained("accuracy", 0.98, 0.02, "CPU", "none", 1, 10.0), NOT_HELD),
        (None, NOT_RUN),
    ],
)
def test_scores_may_differ_by_the_margin_of_the_gates(context, monkeypatch, gpu, verdict) -> None:
    monkeypatch.setattr(trainings, "_usecases", lambda: ["digits"])
    for kind, trained in (("cpu", ON_CPU), ("gpu", gpu)):
        if trained is not None:
            context.scores(kind, "digits").parent.mkdir(parents=True)
            write_json(context.scores(kind, "digits"), trained)
    (check,) = compare_scores(context)
    assert check.verdict == verdict, check.detail
    if gpu is ON_GPU:
        assert check.detail == (
            "accuracy 0.9700 on 2 × NVIDIA T4 in 10 s, 0.9800 on the CPU in 30 s; they may differ by 0.02"
        )


@pytest.mark.parametrize(
    ("size", "rates", "verdict"),
    [(8, (900.0, 100.0), HELD), (8, (90.0, 100.0), NOT_HELD), (1, (900.0, 100.0), NOT_HELD)],
)
def test_batches_must_be_chosen_and_faster_than_a_core(context, monkeypatch, size, rates, verdict) -> None:
    from benchmarks.gpu.steps import batches

    class Loaded:
        def __init__(self, folder: Path, device: str) -> None:
            self.device, self.batching = device, BatchSize(size if device == "gpu" else 1, "measured", 4.0)

    monkeypatch.setattr(batches, "load_bundle", Loaded)
    monkeypatch.setattr(batches, "rows_per_second", lambda model, effort: rates[model.device == "cpu"])
    (context.networks / "dense_layers").mkdir(parents=True)
    (check,) = check_batches(context)
    assert check.verdict == verdict, check.detail

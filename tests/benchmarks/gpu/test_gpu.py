"""The benchmark of docs/explanation/gpu.md, with the CPU in place of the GPU and in parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu.check import HELD, NOT_HELD, NOT_RUN, Check, judge_on_gpu
from benchmarks.gpu.environments import LOCKS, ROOT
from benchmarks.gpu.runner import STAGES
from benchmarks.pages import BEGIN, END

BUILT_IN = ("credit_risk", "digits")
NETWORKS = ("convolutions", "dense_layers")
CHECKS = Check("`digits` runs on CUDA", HELD, "33 of 35 nodes"), Check("metrics", NOT_HELD, "no | series")


@pytest.mark.slow
@pytest.mark.timeout(960)
def test_a_dry_run_takes_every_step_and_holds_what_needs_no_gpu() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--dry", "--minutes", "15"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {line[10:].partition(":")[0]: line[:10].strip() for line in done.stdout.splitlines()[:-1]}
    held = {f"locked packages for {environment}" for environment in LOCKS}
    held |= {f"`{name}` gives the CPU's outputs" for name in (*BUILT_IN, *NETWORKS)}
    not_run = {"ONNX Runtime loads CUDA", "TensorFlow finds the GPU", "`/metrics` shows memory and use of the GPU"}
    not_run |= {f"`{name}` runs on CUDA" for name in (*BUILT_IN, *NETWORKS)}
    not_run |= {f"training of `{name}` on MirroredStrategy" for name in BUILT_IN}
    not_run |= {f"batches of `{name}` beat the CPU's" for name in NETWORKS}
    assert found == dict.fromkeys(held, HELD) | dict.fromkeys(not_run, NOT_RUN), done.stdout
    assert done.stdout.count("there is no GPU; on the CPU: ") == len(not_run)
    assert done.stdout.endswith("a dry run writes nothing\n")


def test_it_needs_nothing_but_pythons_own_library_to_begin() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import benchmarks.gpu.__main__, benchmarks.gpu.download"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("gpus", "reason"), [([], "nvidia-smi shows no NVIDIA GPU"), (["NVIDIA T4"], "`python -m benchmarks.gpu.download`")]
)
def test_without_a_gpu_or_wheels_nothing_is_run_and_the_reason_is_shown(
    monkeypatch, capsys, tmp_path, gpus, reason
) -> None:
    monkeypatch.setattr(command.machine, "gpus", lambda: gpus)
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", "--wheels", str(tmp_path)])
    assert command.main() == 2
    assert reason in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "given", "wheels"),
    [
        (["--dry"], {"serving": "all", "training": "all"}, command.WHEELS),
        (["--dry", "--wheels", "w"], {}, Path("w")),
        (["--dry", "--serving", "python"], {"serving": "serving-gpu"}, command.WHEELS),
        (["--serving", "python", "--training", "python"], LOCKS, command.WHEELS),
        ([], {}, command.WHEELS),
    ],
)
def test_environments_are_made_unless_they_are_given_or_the_run_is_dry(monkeypatch, argv, given, wheels) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", *argv])
    options = command._options()
    assert ({one.name: one.lock for one in options.given}, options.wheels) == (given, wheels)


@pytest.mark.parametrize(("checks", "code"), [(CHECKS, 1), (CHECKS[:1], 0)])
def test_a_run_on_a_gpu_writes_its_record_and_the_page_from_it(monkeypatch, capsys, tmp_path, checks, code) -> None:
    (tmp_path / command.PAGE).write_text(f"before\n{BEGIN}\n{command.NEVER_RUN}\n{END}\nafter\n")
    (tmp_path / "one.whl").touch()
    monkeypatch.setattr(command.machine, "gpus", lambda: ["NVIDIA T4, 15360 MiB, 580.95"])
    monkeypatch.setattr(command, "run", lambda options, device: iter(checks))
    monkeypatch.setattr(sys, "argv", ["gpu", "--wheels", str(tmp_path), "--folder", str(tmp_path)])
    assert command.main() == code
    shown = (tmp_path / command.PAGE).read_text()
    assert command.NEVER_RUN not in shown and shown.startswith("before\n") and shown.endswith("after\n")
    rows = [line for line in shown.splitlines() if line.startswith("| ")][2:]
    expected = ["| `digits` runs on CUDA | held | 33 of 35 nodes |", "| metrics | **not held** | no / series |"]
    assert rows == expected[: len(checks)]
    assert "NVIDIA T4, 15360 MiB, 580.95; " in shown
    assert json.loads((tmp_path / command.RECORD).read_text())["checks"] == [list(check) for check in checks]


def test_the_page_shows_the_record_or_says_that_it_was_never_run_on_a_gpu() -> None:
    page = (command.FOLDER / command.PAGE).read_text()
    shown = page.split(BEGIN)[1].split(END)[0].strip("\n").splitlines()
    assert shown == command.page_lines(command.FOLDER / command.RECORD)


def test_a_check_that_needs_a_gpu_is_neither_held_nor_not_held_on_a_cpu() -> None:
    for holds in (True, False):
        check = judge_on_gpu("cpu", "CUDA", holds, "1 node")
        assert check == Check("CUDA", NOT_RUN, "there is no GPU; on the CPU: 1 node")
    assert judge_on_gpu("gpu", "CUDA", False, "1 node").verdict == NOT_HELD


def test_every_step_has_a_function_and_an_environment() -> None:
    from benchmarks.gpu.step import STEPS

    steps = [step for stage in STAGES for step in stage]
    assert {step.name for step in steps} == set(STEPS)
    assert {step.environment for step in steps} == set(LOCKS)


def test_what_the_guide_says_to_run_has_the_options_of_the_command() -> None:
    guide = (ROOT / "docs" / "how-to" / "check-a-gpu.md").read_text()
    lines = [line for line in guide.splitlines() if "-m benchmarks.gpu" in line and not line.startswith("`")]
    modules = [line.split("-m ")[1].split() for line in lines]
    assert {module for module, *_ in modules} == {"benchmarks.gpu", "benchmarks.gpu.download"}
    for module, *options in modules:
        known = subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True
        ).stdout
        assert [option for option in options if option.startswith("--") and option not in known] == []

"""A step in a process of its own: `python -m benchmarks.gpu.step NAME …`, run by the interpreter of its environment."""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

from benchmarks.gpu.check import NOT_RUN, Check, append
from benchmarks.gpu.context import Context

STEPS = {  # module and function of each; a function yields checks
    "packages": ("packages", "check_packages"),
    "onnxruntime": ("packages", "check_onnxruntime"),
    "tensorflow": ("packages", "check_tensorflow"),
    "train": ("trainings", "train"),
    "train_on_cpu": ("trainings", "train_on_cpu"),
    "networks": ("networks", "write_networks"),
    "scores": ("trainings", "compare_scores"),
    "execution": ("execution", "check_execution"),
    "answers": ("answers", "check_answers"),
    "batches": ("batches", "check_batches"),
    "metrics": ("server_metrics", "check_metrics"),
}


def main() -> None:
    """Run the step and append its checks to the file of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=STEPS)
    parser.add_argument("--title", required=True, help="name of the check that says why there is no other")
    parser.add_argument("--device", choices=("cpu", "gpu"), required=True)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--lock", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    os.environ["SLIPWAY_VAR"] = str(options.folder / "var" / options.name)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    module, function = STEPS[options.name]
    context = Context(options.device, options.environment, options.lock, options.folder, options.quick)
    try:
        run = getattr(importlib.import_module(f"benchmarks.gpu.steps.{module}"), function)
        for check in run(context):
            append(options.results, check)
    except ModuleNotFoundError as error:  # of an environment that is not made from the locks
        append(options.results, Check(options.title, NOT_RUN, f"{error.name} is not installed"))


if __name__ == "__main__":
    main()

"""Three answers to "is there a GPU": the driver's, TensorFlow's and ONNX Runtime's. They often differ."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from slipway.local.doctor.finding import Diagnosis, ok, warning

SECONDS = 90
_TENSORFLOW = """
import json, tensorflow
print(json.dumps([device.name for device in tensorflow.config.list_physical_devices("GPU")]))
"""
_ONNXRUNTIME = """
import json, onnxruntime
print(json.dumps([name for name in onnxruntime.get_available_providers() if name.startswith(("CUDA", "Tensorrt"))]))
"""


@dataclass
class Question:
    """A library asked in a process of its own, so that a crash or a hang in it is an answer, too."""

    library: str
    process: subprocess.Popen[str]

    def answer(self) -> list[str] | str:
        """The GPUs it sees, or why it cannot say."""
        try:
            out, err = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return f"no answer within {SECONDS} s"
        if self.process.returncode:
            return (err.strip().splitlines() or [f"exit code {self.process.returncode}"])[-1]
        return json.loads(out.strip().splitlines()[-1])


def ask() -> tuple[Question, ...]:
    """Start asking; the answers take seconds, and other checks can go on meanwhile."""
    return tuple(
        Question(
            library,
            subprocess.Popen(
                [sys.executable, "-c", code],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                stdin=subprocess.DEVNULL,
            ),
        )
        for library, code in (("TensorFlow", _TENSORFLOW), ("ONNX Runtime", _ONNXRUNTIME))
    )


def driver() -> list[str]:
    """The GPUs that NVIDIA's driver lists; none where there is no driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        ran = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return []
    return [line.split(" (")[0] for line in ran.stdout.splitlines() if line.startswith("GPU")]


def findings(questions: tuple[Question, ...]) -> Iterator[Diagnosis]:
    gpus = driver()
    yield ok("GPU", f"driver: {', '.join(gpus) or 'none'}")
    fixes = {
        "TensorFlow": "in an environment for training, install 'tensorflow[and-cuda]' at the locked version",
        "ONNX Runtime": "in an environment for serving, install 'onnxruntime-gpu[cuda,cudnn]' in place of onnxruntime",
    }
    for question in questions:
        seen = question.answer()
        if isinstance(seen, str):
            yield warning("GPU", f"{question.library}: {seen}", "see the line on packages above")
        elif gpus and not seen:
            yield warning(
                "GPU", f"{question.library}: none, though the driver has {len(gpus)}", fixes[question.library]
            )
        else:
            yield ok("GPU", f"{question.library}: {', '.join(seen) or 'none, it uses the CPU'}")

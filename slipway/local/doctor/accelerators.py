"""Accelerators: the GPUs that the driver, TensorFlow and ONNX Runtime find, which often differ."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from slipway.local.doctor.diagnosis import Diagnosis, ok, warning

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
class LibraryProbe:
    """A probe of a library in a process of its own, so that a crash or a hang of the library is a result, too."""

    library: str
    process: subprocess.Popen[str]

    def result(self) -> list[str] | str:
        """Wait for the GPUs that the library finds, or the reason why there is no result."""
        try:
            out, err = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return f"no answer within {SECONDS} s"
        if self.process.returncode:
            return (err.strip().splitlines() or [f"exit code {self.process.returncode}"])[-1]
        return json.loads(out.strip().splitlines()[-1])


def start_probes() -> tuple[LibraryProbe, ...]:
    """Start a probe per library; they take seconds, and other checks can go on meanwhile."""
    return tuple(
        LibraryProbe(
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
    """List the GPUs that NVIDIA's driver finds; none without a driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        ran = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return []
    return [line.split(" (")[0] for line in ran.stdout.splitlines() if line.startswith("GPU")]


def diagnoses(probes: tuple[LibraryProbe, ...]) -> Iterator[Diagnosis]:
    """Compare the driver's GPUs with those of each library."""
    gpus = driver()
    yield ok("GPU", f"driver: {', '.join(gpus) or 'none'}")
    fixes = {
        "TensorFlow": "in an environment for training, install 'tensorflow[and-cuda]' at the locked version",
        "ONNX Runtime": "in an environment for serving, install 'onnxruntime-gpu[cuda,cudnn]' in place of onnxruntime",
    }
    for probe in probes:
        found = probe.result()
        if isinstance(found, str):
            yield warning("GPU", f"{probe.library}: {found}", "see the line on packages above")
        elif gpus and not found:
            yield warning("GPU", f"{probe.library}: none, though the driver has {len(gpus)}", fixes[probe.library])
        else:
            yield ok("GPU", f"{probe.library}: {', '.join(found) or 'none, it uses the CPU'}")

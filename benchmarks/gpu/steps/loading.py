"""Loading of a bundle as a server does it."""

from __future__ import annotations

from pathlib import Path

from bentos.models import LoadedModel, load
from slipway.contracts.bundle.manifest import verify


def load_bundle(folder: Path, device: str) -> LoadedModel:
    """Load the bundle on the device, with the batch size that is measured there."""
    model = load(folder, verify(folder, serving_only=True).usecase, device=device)
    model.tune_batch_size("auto")
    return model

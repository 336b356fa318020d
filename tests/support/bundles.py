"""Valid bundles in a few milliseconds, with the store and the desired state that a follower would write.

>>> digest = bundles.write(folder, bundles.TABULAR)          # two numbers, a category, a boolean; good or bad
>>> bundles.put_in_store(var, folder, version="1")
>>> bundles.point(var, "loans", digest)                       # what `slipway follow` does on a promotion
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from slipway.contracts.bundle import manifest as bundle
from slipway.contracts.schema import CONTRACT, Feature, Schema
from slipway.inference import Encoder, Predictor, encode_png
from slipway.serving_state import desired
from slipway.serving_state.desired import DesiredState, StoredVersion
from slipway.system import files
from tests.support import graphs

TABULAR = Schema(
    contract=CONTRACT,
    usecase="loans",
    task="binary",
    features=(
        Feature("age", "number", unit="years", range=(18.0, 100.0)),
        Feature("visits", "integer", range=(0.0, 50.0), nullable=True),
        Feature("job", "category", vocabulary=("clerk", "nurse", "pilot")),
        Feature("member", "boolean", nullable=True),
    ),
    target="risk",
    classes=("good", "bad"),
    positive="bad",
    threshold=0.5,
    retired=("fax",),
    synthetic=True,
)
PRIVATE = msgspec.structs.replace(
    TABULAR,
    usecase="private_loans",
    features=(
        *TABULAR.features,
        Feature(
            "income",
            "category",
            vocabulary=("< 1000", "1000 – 3000", "≥ 3000"),
            bins=(1000.0, 3000.0),
            private="bucket",
        ),
        Feature("email", "category", private="token", nullable=True),
        Feature("nation", "category", private="drop", nullable=True),
    ),
)
IMAGES = Schema(
    contract=CONTRACT,
    usecase="shapes",
    task="multiclass",
    features=(Feature("image", "image", size=(8, 8), channels=1),),
    target="shape",
    classes=("circle", "square", "star"),
)
REGRESSION = Schema(
    contract=CONTRACT,
    usecase="prices",
    task="regression",
    features=(
        Feature("area", "number", unit="m²", range=(10.0, 500.0)),
        Feature("rooms", "integer", range=(1.0, 12.0)),
    ),
    target="price",
    unit="EUR",
)
ROWS: dict[str, list[dict[str, Any]]] = {
    "loans": [
        {"age": 20.0 + k, "visits": k % 7, "job": ("clerk", "nurse", "pilot")[k % 3], "member": k % 2 == 0}
        for k in range(20)
    ],
    "prices": [{"area": 40.0 + 5 * k, "rooms": 1 + k % 5} for k in range(20)],
}
ROWS["private_loans"] = [
    {**row, "income": "1000 – 3000", "email": "tok_" + f"{k:032x}"} for k, row in enumerate(ROWS["loans"])
]


def write(
    directory: Path,
    schema: Schema = TABULAR,
    *,
    bias: float = 0.0,
    slow: int = 0,
    fault: str | None = None,
    passed: bool = True,
    serving: dict[str, Any] | None = None,
    probe_shift: float = 0.0,
) -> str:
    """Write a complete bundle to `directory` and return its digest.

    `bias` makes bundles that answer differently, `slow` ones that take longer and `fault` ones that fail for some rows
    (see graphs), `passed=False` one whose gate failed, `probe_shift` one whose probe rows do not come out as it says.
    """
    (directory / "serve").mkdir(parents=True)
    (directory / "monitor").mkdir()
    _network(directory / "serve" / "model.onnx", schema, bias, slow, fault)
    schema.save(directory / "serve" / "schema.json")
    limits = {"deadline_ms": 1000, "swap_ratio": 3.0, "log": "best_effort", "capture": False, "max_instances": 10_000}
    _write_json(directory / "serve" / "serving.json", limits | (serving or {}))
    _write_json(directory / "serve" / "probe.json", {"rows": probe_rows(schema), "outputs": []})
    _fill_probe(directory, probe_shift)
    _write_json(directory / "metrics.json", _metrics(passed))
    (directory / "monitor" / "reference.parquet").write_bytes(b"")
    _write_json(directory / "monitor" / "thresholds.json", {"significance": 0.05, "features": {}})
    (directory / "card.md").write_text(f"# {schema.usecase}\n")
    return bundle.write(directory, schema.usecase, {"git_commit": "0" * 40, "synthetic": schema.synthetic})


def rename(directory: Path, usecase: str) -> str:
    """Make the bundle one of another use case, with its files as they are now; returns its digest."""
    (directory / bundle.MANIFEST).unlink()
    return bundle.write(directory, usecase, {})


def put_in_store(var: Path, directory: Path, version: str = "1", *, override: str | None = None) -> Path:
    """Put the server's part of the bundle into `var/store/DIGEST`, as the follower does."""
    manifest = (directory / bundle.MANIFEST).read_bytes()
    digest = hashlib.sha256(manifest).hexdigest()
    into = var / "store" / digest
    for name in (bundle.MANIFEST, *bundle.SERVER_FILES):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(directory / name, into / name)
    usecase = json.loads(manifest)["usecase"]
    files.write_json(into / "version.json", StoredVersion(usecase, version, digest, "run", override))
    return into


def point(var: Path, usecase: str, champion: str | None, **roles: Any) -> int:
    """Change the desired state of the use case and return its new generation."""
    before = desired.read(var / "serving", usecase)
    generation = before.generation + 1 if before else 1
    desired.write(var / "serving", usecase, DesiredState(generation, champion, **roles))
    return generation


def promote(
    var: Path,
    folder: Path,
    schema: Schema = TABULAR,
    version: str = "1",
    *,
    override: str | None = None,
    **options: Any,
) -> str:
    """Write a bundle, put it into the store, and make it the desired champion; returns its digest."""
    digest = write(folder, schema, **options)
    put_in_store(var, folder, version, override=override)
    point(var, schema.usecase, digest)
    return digest


def probe_rows(schema: Schema) -> list[dict[str, Any]]:
    """Return rows as JSON has them; for images, twenty noisy PNG files."""
    if schema.usecase in ROWS:
        return ROWS[schema.usecase]
    if schema.images:
        return [{schema.images[0].name: {"b64": base64.b64encode(png(schema, seed)).decode()}} for seed in range(20)]
    raise KeyError(f"no rows for {schema.usecase}: put them into bundles.ROWS")


def png(schema: Schema = IMAGES, seed: int = 0) -> bytes:
    """Make an image file of the schema's size."""
    feature = schema.images[0]
    assert feature.size and feature.channels
    pixels = np.random.default_rng(seed).integers(0, 256, (*feature.size, feature.channels), dtype=np.uint8)
    return encode_png(pixels)


def _network(path: Path, schema: Schema, bias: float, slow: int, fault: str | None) -> None:
    outputs = len(schema.classes) or 1
    if schema.images:
        feature = schema.images[0]
        assert feature.size and feature.channels
        graphs.images(path, feature.size, feature.channels, outputs, bias=bias)
    else:
        numbers, codes = len(schema.numbers), len(schema.codes)
        graphs.tabular(path, numbers, codes, outputs, bias=bias, slow=slow, fault=fault)


def _fill_probe(directory: Path, shift: float) -> None:
    predictor = Predictor(directory, "cpu")
    outputs = predictor.run(Encoder(predictor.schema).encode(predictor.probe_rows()))
    _write_json(
        directory / "serve" / "probe.json",
        {"rows": predictor.probe["rows"], "outputs": (outputs + shift).tolist()},
    )


def _metrics(passed: bool) -> dict[str, Any]:
    gate = {
        "name": "absolute:roc_auc",
        "figure": 0.8 if passed else 0.6,
        "threshold": 0.7,
        "verdict": "passed" if passed else "failed",
        "sentence": f"ROC AUC is {0.8 if passed else 0.6}; at least 0.7 is needed.",
    }
    return {
        "passed": passed,
        "gates": [gate],
        "scores": {"roc_auc": {"value": 0.8, "low": 0.75, "high": 0.85}},
        "slices": [],
    }


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))

"""The one implementation of a prediction: encode rows, run the network in ONNX Runtime, decode its output.

The service, batch scoring, parity, gates and smoke tests all go through it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from slipway import onnx_file
from slipway.errors import BundleError, DataError, InputError, SettingsError
from slipway.instances import EncodedImage
from slipway.schema import Feature, Schema

# Since 1.29 its Linux builds tell Microsoft the name and size of every model, unless this is set before the import
# (https://github.com/microsoft/onnxruntime/pull/27379).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
MISSING, UNKNOWN, FIRST = 0, 1, 2
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_INPUT_TYPES = {"numbers": "tensor(float)", "codes": "tensor(int64)", "images": "tensor(uint8)"}


class Prediction(msgspec.Struct, omit_defaults=True):
    """`label` is a string, `score` P(positive class) or the largest probability; a regression has `value` alone."""

    label: str | None = None
    value: float | None = None
    score: float | None = None
    probabilities: dict[str, float] | None = None


class InputWarning(msgspec.Struct, frozen=True):
    """An instance that was answered although one of its values is unlike any in training.

    `reason` is `missing`, `unknown_category` or `out_of_range`.
    """

    instance: int
    feature: str
    reason: str


class Encoder:
    """Turns rows into the network's inputs, and says which of their values it has never seen."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._numbers = [feature.name for feature in schema.numbers]
        ranges = [feature.range or (-np.inf, np.inf) for feature in schema.numbers]
        self._low, self._high = np.array(ranges, np.float32).reshape(-1, 2).T
        self._codes = [(feature.name, _codebook(feature)) for feature in schema.codes]
        self._images = schema.images

    def encode(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """`numbers` float32 [n, N], `codes` int64 [n, C], `images` uint8 [n, h, w, c]; one without features is absent.

        Raises:
            InputError: a number is infinite, also after its cast to float32.
        """
        feeds: dict[str, np.ndarray] = {}
        if self._numbers:
            names = self._numbers
            with np.errstate(over="ignore"):
                feeds["numbers"] = np.array([[row.get(name) for name in names] for row in rows], dtype=np.float32)
            if np.isinf(feeds["numbers"]).any():
                self._refuse_infinite(feeds["numbers"])
        if self._codes:
            codes = self._codes
            values = [
                [MISSING if (v := row.get(n)) is None else book.get(v, UNKNOWN) for n, book in codes] for row in rows
            ]
            feeds["codes"] = np.array(values, dtype=np.int64)
        for feature in self._images:
            feeds["images"] = np.stack([row[feature.name] for row in rows])
        return feeds

    def warnings(self, feeds: Mapping[str, np.ndarray]) -> list[InputWarning]:
        """What is missing, of an unknown category or out of the range that training saw."""
        found: list[InputWarning] = []
        if self._numbers:
            numbers = feeds["numbers"]
            strange = ~((numbers >= self._low) & (numbers <= self._high))
            for row, column in np.argwhere(strange) if strange.any() else ():
                reason = "missing" if np.isnan(numbers[row, column]) else "out_of_range"
                found.append(InputWarning(int(row), self._numbers[column], reason))
        if self._codes:
            codes = feeds["codes"]
            for row, column in np.argwhere(codes < FIRST) if (codes < FIRST).any() else ():
                reason = "missing" if codes[row, column] == MISSING else "unknown_category"
                found.append(InputWarning(int(row), self._codes[column][0], reason))
        return sorted(found, key=lambda warning: warning.instance)

    def _refuse_infinite(self, numbers: np.ndarray) -> None:
        row, column = np.argwhere(np.isinf(numbers))[0]
        raise InputError(
            "the number is infinite, or too large for 32 bits (3.4e38).", f"instances[{row}].{self._numbers[column]}"
        )


class Predictor:
    """A bundle's network, ready to run: `directory` holds `serve/`, already verified.

    Raises:
        BundleError: ONNX Runtime cannot load the network, or its inputs are not the schema's.
        SettingsError: a GPU was asked for, and ONNX Runtime cannot use one.
    """

    def __init__(self, directory: Path, device: str = "auto") -> None:
        serve = directory / "serve"
        self.schema = Schema.load(serve / "schema.json")
        self.serving: dict[str, Any] = _read_json(serve / "serving.json")
        self.probe: dict[str, Any] = _read_json(serve / "probe.json")
        self.encoder = Encoder(self.schema)
        onnx_file.check(serve / "model.onnx")
        self.session = _session(serve / "model.onnx", device)
        self.device = "gpu" if self.session.get_providers()[0].startswith("CUDA") else "cpu"
        self._check_inputs(serve / "model.onnx")
        self._output = [self.session.get_outputs()[0].name]

    def encode(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        return self.encoder.encode(rows)

    def run(self, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """float32 [n, k]: probabilities in the order of the classes; [n, 1] in target units for a regression."""
        return self.session.run(self._output, feeds)[0]

    def decode(self, outputs: np.ndarray) -> list[Prediction]:
        return decode(self.schema, outputs)

    def predict(self, rows: Sequence[Row]) -> list[Prediction]:
        return self.decode(self.run(self.encode(rows)))

    def probe_rows(self) -> list[dict[str, Any]]:
        """The probe's rows, as `encode` takes them: images decoded."""
        images = {feature.name: feature for feature in self.schema.images}
        return [
            {
                name: decode_image(base64.b64decode(value["b64"]), images[name]) if name in images else value
                for name, value in row.items()
            }
            for row in self.probe["rows"]
        ]

    def _check_inputs(self, path: Path) -> None:
        schema = self.schema
        wanted = {"numbers": schema.numbers, "codes": schema.codes, "images": schema.images}
        expected = {name: _INPUT_TYPES[name] for name, features in wanted.items() if features}
        found = {node.name: node.type for node in self.session.get_inputs()}
        if found != expected:
            raise BundleError(f"{path} has the inputs {found}; its schema needs {expected}: it is of another model.")


def decode(schema: Schema, outputs: np.ndarray) -> list[Prediction]:
    """The network's output, float32 [n, k], as predictions: the threshold decides a binary label, the largest else."""
    rows = outputs.tolist()
    if schema.task == "regression":
        return [Prediction(value=row[0]) for row in rows]
    classes = schema.classes
    if schema.positive_index is None:
        best = outputs.argmax(axis=1).tolist()
        return [
            Prediction(classes[k], None, row[k], dict(zip(classes, row, strict=True)))
            for k, row in zip(best, rows, strict=True)
        ]
    positive = schema.positive_index
    threshold = 0.5 if schema.threshold is None else schema.threshold
    return [
        Prediction(
            classes[positive if row[positive] >= threshold else 1 - positive],
            None,
            row[positive],
            dict(zip(classes, row, strict=True)),
        )
        for row in rows
    ]


def encode(schema: Schema, rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """`Encoder(schema).encode(rows)`, for callers that do it once."""
    return Encoder(schema).encode(rows)


def rows_from_frame(schema: Schema, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows as `encode` takes them: None for what is missing, images decoded from their files' bytes."""
    columns: dict[str, list[Any]] = {}
    for feature in schema.features:
        if feature.name not in frame.columns:
            continue
        values = frame[feature.name]
        if feature.kind == "image":
            columns[feature.name] = [decode_image(data, feature) for data in values]
        else:
            present = values.notna().tolist()
            columns[feature.name] = [v if there else None for v, there in zip(values.tolist(), present, strict=True)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def images_decoded(schema: Schema, rows: list[dict[str, Any]], max_pixels: int) -> list[dict[str, Any]]:
    """The rows of a request with their `{"b64": …}` images decoded, in place of nothing else.

    Raises:
        InputError: one is no image, truncated or too large; names its instance.
    """
    for feature in schema.images:
        for position, row in enumerate(rows):
            value = row[feature.name]
            if isinstance(value, EncodedImage):
                try:
                    row[feature.name] = decode_image(value.b64, feature, max_pixels)
                except InputError as error:
                    raise InputError(str(error), f"instances[{position}].{feature.name}", error.status) from None
    return rows


def decode_image(data: bytes, feature: Feature, max_pixels: int = 40_000_000) -> np.ndarray:
    """The image file's pixels, uint8 [h, w, c] in the schema's size: turned as EXIF says, on white where transparent.

    Raises:
        InputError: the bytes are no PNG, JPEG, WebP or BMP, are cut short, or hold more than `max_pixels`.
    """
    assert feature.size is not None
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise InputError(
                    f"the image has {image.width} × {image.height} pixels, at most {max_pixels} are allowed.",
                    status=413,
                )
            upright = ImageOps.exif_transpose(image)
            resized = _flat(upright, "L" if feature.channels == 1 else "RGB").resize(
                feature.size[::-1], Image.Resampling.BILINEAR
            )
    except InputError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"  # its text is a memory address
        raise InputError(f"not an image that can be read{reason}; {', '.join(_FORMATS)} files can.") from None
    return np.asarray(resized, np.uint8).reshape(*feature.size, feature.channels or 3)


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """8 bits a channel in `mode`, without transparency: Pillow by itself cuts 16 bits off at 255."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert(mode)


def encode_png(pixels: np.ndarray) -> bytes:
    """A PNG of uint8 [h, w, c]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def image_statistics(pixels: np.ndarray) -> dict[str, float]:
    """What an image's event holds of uint8 [h, w, c], each between 0 and about 1, the entropy in bits (0 to 8).

    Brightness is the mean of the grey values, contrast their standard deviation, sharpness the standard deviation of
    their Laplacian (Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548, which takes its variance).
    """
    grey = pixels.mean(axis=2) / 255
    padded = np.pad(grey, 1, mode="edge")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * grey
    counts = np.bincount((grey * 255).astype(np.uint8).ravel(), minlength=256)
    shares = counts[counts > 0] / counts.sum()
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(laplacian.std()),
        "entropy": float(-(shares * np.log2(shares)).sum()) + 0.0,
    }


def pixels_sha256(pixels: np.ndarray) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _codebook(feature: Feature) -> dict[Any, int]:
    if feature.kind == "boolean":
        return {None: MISSING, False: FIRST, True: FIRST + 1}
    if feature.vocabulary is None:
        raise DataError(f"{feature.name} has no vocabulary yet: complete the schema with training rows first.")
    return {None: MISSING, **{value: code for code, value in enumerate(feature.vocabulary, start=FIRST)}}


def _session(path: Path, device: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    there = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device == "gpu" and not there:
        raise SettingsError(
            "a GPU was asked for, and this ONNX Runtime is built without CUDA: install onnxruntime-gpu, "
            "or set SLIPWAY_DEVICE=auto."
        )
    providers = [*(["CUDAExecutionProvider"] if there and device != "cpu" else []), "CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
        raise BundleError(f"{path} cannot be loaded: {error}") from None
    if device == "gpu" and not session.get_providers()[0].startswith("CUDA"):
        raise SettingsError("a GPU was asked for, and CUDA did not start: `slipway doctor` says what is missing.")
    return session


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise BundleError(f"{path} holds {type(content).__name__}, an object is needed.")
    return content

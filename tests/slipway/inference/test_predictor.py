from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slipway.contracts.schema import Feature
from slipway.errors import BundleError, InputError, SettingsError
from slipway.inference import (
    Encoder,
    PixelLimits,
    Predictor,
    decode_image,
    encode_png,
    image_statistics,
    images_decoded,
    pixels_sha256,
    rows_from_frame,
)
from slipway.inference import predictor as predictor_module
from tests.support import bundles, graphs

GREY = Feature("image", "image", size=(8, 8), channels=1)
COLOUR = Feature("image", "image", size=(4, 6), channels=3)


def png(array: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array, mode).save(buffer, "PNG", **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("bundle")
    bundles.write(folder, bundles.TABULAR)
    return Predictor(folder)


def test_rows_become_the_arrays_of_the_contract() -> None:
    rows = [
        {"age": 20, "visits": None, "job": "pilot", "member": True},
        {"age": 1.5, "job": "baker", "member": False},
        {"age": None, "job": None},
    ]
    feeds = Encoder(bundles.TABULAR).encode(rows)
    assert feeds["numbers"].dtype == np.float32
    np.testing.assert_array_equal(feeds["numbers"], np.array([[20, np.nan], [1.5, np.nan], [np.nan, np.nan]], "f4"))
    assert feeds["codes"].dtype == np.int64
    assert feeds["codes"].tolist() == [[4, 3], [1, 2], [0, 0]]
    assert "images" not in feeds


def test_what_training_never_saw_is_a_warning_that_says_why() -> None:
    encoder = Encoder(bundles.TABULAR)
    rows = [{"age": 20, "visits": 1, "job": "clerk", "member": True}, {"age": 200, "job": "baker", "member": True}]
    found = [(w.instance, w.feature, w.reason) for w in encoder.warnings(encoder.encode(rows))]
    assert found == [(1, "age", "out_of_range"), (1, "visits", "missing"), (1, "job", "unknown_category")]


def test_the_edges_of_a_range_are_within_it_also_in_32_bits() -> None:
    schema = bundles.TABULAR
    edges = Feature("age", "number", range=(0.1, 0.7))
    encoder = Encoder(type(schema)(1, "u", "regression", (edges,), "y"))
    assert encoder.warnings(encoder.encode([{"age": 0.1}, {"age": 0.7}])) == []


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e39])
def test_a_number_that_32_bits_cannot_hold_is_refused(value: float) -> None:
    rows = [{"age": 1, "job": "clerk"}, {"age": 1, "visits": value, "job": "clerk"}]
    with pytest.raises(InputError, match="infinite") as caught:
        Encoder(bundles.TABULAR).encode(rows)
    assert caught.value.place == "instances[1].visits"


def test_the_same_row_alone_and_in_a_batch_has_the_same_answer(predictor: Predictor) -> None:
    rows = predictor.probe_rows()
    together = predictor.predict(rows)
    for row, expected in zip(rows, together, strict=True):
        (alone,) = predictor.predict([row])
        assert alone.label == expected.label
        assert alone.score == pytest.approx(expected.score, abs=1e-6)


def test_the_threshold_decides_a_binary_label(predictor: Predictor) -> None:
    outputs = np.array([[0.51, 0.49], [0.5, 0.5], [0.2, 0.8]], np.float32)
    found = predictor.decode(outputs)
    assert [p.label for p in found] == ["good", "bad", "bad"]
    assert [round(p.score, 6) for p in found] == [0.49, 0.5, 0.8]
    assert list(found[0].probabilities) == ["good", "bad"]


def test_a_regression_has_a_value_and_no_score(tmp_path: Path) -> None:
    bundles.write(tmp_path, bundles.REGRESSION)
    (found,) = Predictor(tmp_path).predict([{"area": 50.0, "rooms": 2}])
    assert found.label is found.score is found.probabilities is None
    assert isinstance(found.value, float)


def test_a_network_of_another_schema_is_refused(tmp_path: Path) -> None:
    bundles.write(tmp_path, bundles.TABULAR)
    graphs.tabular(tmp_path / "serve/model.onnx", numbers=2, codes=0, outputs=2)
    with pytest.raises(BundleError, match="of another model"):
        Predictor(tmp_path)


def test_a_required_gpu_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    bundles.write(tmp_path, bundles.TABULAR)
    with pytest.raises(SettingsError, match="a GPU was asked for"):
        Predictor(tmp_path, device="gpu")


def test_a_gpu_computes_products_in_full_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundles.write(tmp_path, bundles.TABULAR)
    made = predictor_module.onnxruntime.InferenceSession
    asked = []

    def session(network: bytes, options: object, providers: list[object]) -> object:
        asked.extend(providers)
        return made(network, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(predictor_module, "_missing_for_cuda", lambda: None)
    monkeypatch.setattr(predictor_module.onnxruntime, "InferenceSession", session)
    Predictor(tmp_path)
    assert asked == [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]


def test_a_frame_gives_the_rows_that_callers_send() -> None:
    frame = pd.DataFrame(
        {"age": [20.0, np.nan], "visits": pd.array([3, None], "Int64"), "job": ["clerk", None], "x": 1}
    )
    assert rows_from_frame(bundles.TABULAR, frame) == [
        {"age": 20.0, "visits": 3, "job": "clerk"},
        {"age": None, "visits": None, "job": None},
    ]


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "BMP"])
def test_an_image_of_any_size_becomes_the_schemas(format_: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), (200, 100, 50)).save(buffer, format_)
    pixels = decode_image(buffer.getvalue(), COLOUR)
    assert pixels.shape == (4, 6, 3)
    np.testing.assert_allclose(pixels[0, 0], (200, 100, 50), atol=4)


def test_exif_orientation_is_respected() -> None:
    upright = np.zeros((8, 8, 3), np.uint8)
    upright[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = png(np.rot90(upright).copy(), exif=exif)
    np.testing.assert_array_equal(decode_image(turned, Feature("i", "image", size=(8, 8), channels=3)), upright)


def test_transparent_is_white_and_16_bits_keep_their_scale() -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    assert decode_image(png(clear), GREY).min() == 255
    deep = np.full((8, 8), 0x8000, np.uint16)
    assert decode_image(png(deep), GREY).mean() == pytest.approx(128, abs=1)


@pytest.mark.parametrize(
    "data", [b"", b"not an image", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a" + bytes(50)]
)
def test_what_is_no_image_is_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError, match="not an image"):
        decode_image(data, GREY)


def test_a_truncated_image_is_an_input_error() -> None:
    whole = png(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="not an image"):
        decode_image(whole[: len(whole) // 2], GREY)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(InputError, match="400 × 300 pixels, at most 1000") as caught:
        decode_image(png(np.zeros((300, 400), np.uint8)), GREY, PixelLimits(1000))
    assert caught.value.status == 413


def test_the_images_of_a_request_are_decoded_and_a_bad_one_is_named() -> None:
    from slipway.inference.instance_parser import EncodedImage

    good = EncodedImage(encode_png(np.full((8, 8, 1), 7, np.uint8)))
    (row,) = images_decoded(bundles.IMAGES, [{"image": good}], PixelLimits(1000))
    assert row["image"].shape == (8, 8, 1)
    with pytest.raises(InputError) as caught:
        images_decoded(bundles.IMAGES, [{"image": good}, {"image": EncodedImage(b"x")}], PixelLimits(1000))
    assert caught.value.place == "instances[1].image"


def test_png_keeps_every_pixel() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    np.testing.assert_array_equal(decode_image(encode_png(pixels), GREY), pixels)
    assert base64.b64encode(encode_png(pixels))


def test_statistics_tell_a_bright_image_from_a_sharp_one() -> None:
    flat = image_statistics(np.full((8, 8, 1), 255, np.uint8))
    board = image_statistics((np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8).reshape(8, 8, 1))
    assert flat == {"brightness": 1.0, "contrast": 0.0, "sharpness": 0.0, "entropy": 0.0}
    assert board["brightness"] == pytest.approx(0.5)
    assert board["sharpness"] > 1
    assert board["entropy"] == pytest.approx(1.0)


def test_equal_pixels_have_one_digest() -> None:
    one, two = np.zeros((2, 8, 1), np.uint8), np.zeros((8, 2, 1), np.uint8)
    assert pixels_sha256(one) == pixels_sha256(one.copy())
    assert pixels_sha256(one) != pixels_sha256(two)

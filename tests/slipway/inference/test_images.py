"""The pixels of a request are bounded, whatever the format, and images come out as they always did."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from slipway.contracts.schema import Feature
from slipway.errors import InputError
from slipway.inference import PixelLimits, decode_image, images, images_decoded
from slipway.inference.instance_parser import EncodedImage
from tests.support import bundles

GREY = Feature("image", "image", size=(8, 8), channels=1)
COLOUR = Feature("image", "image", size=(24, 40), channels=3)
RNG = np.random.default_rng(7)


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def noise(mode: str, width: int = 90, height: int = 70) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(RNG.integers(0, 65_536, (height, width), np.uint16))
    rgba = Image.fromarray(RNG.integers(0, 256, (height, width, 4), np.uint8), "RGBA")
    return rgba if mode == "RGBA" else rgba.convert("RGB" if mode == "CMYK" else mode).convert(mode)


FILES = {
    "grey": encoded(noise("L")),
    "bits": encoded(noise("1")),
    "RGB": encoded(noise("RGB")),
    "RGB with a transparent color": encoded(noise("RGB"), transparency=(1, 2, 3)),
    "RGBA": encoded(noise("RGBA")),
    "grey with alpha": encoded(noise("LA")),
    "palette": encoded(noise("P")),
    "palette with transparency": encoded(noise("P"), transparency=bytes(range(256))),
    "16 bits": encoded(noise("I;16")),
    "JPEG": encoded(noise("RGB"), "JPEG"),
    "CMYK": encoded(noise("CMYK"), "JPEG"),
    "WebP with alpha": encoded(noise("RGBA"), "WEBP", lossless=True),
    "BMP": encoded(noise("RGB"), "BMP"),
}


def decoded_whole(data: bytes, feature: Feature) -> np.ndarray:
    """As images were decoded before they were converted in strips."""
    mode = "L" if feature.channels == 1 else "RGB"
    flat = images._flat_strip(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), mode)
    return np.asarray(flat.resize(feature.size[::-1], Image.Resampling.BILINEAR)).reshape(*feature.size, -1)


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in FILES.items()])
@pytest.mark.parametrize("feature", [GREY, COLOUR], ids=["grey", "color"])
def test_strips_change_no_pixel(monkeypatch, data, feature):
    monkeypatch.setattr(images, "_STRIP", 700)
    np.testing.assert_array_equal(decode_image(data, feature), decoded_whole(data, feature))


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("grey", 1),
        ("bits", 1),
        ("RGB", 1),
        ("JPEG", 1),
        ("BMP", 1),
        ("RGB with a transparent color", 2),
        ("RGBA", 2),
        ("grey with alpha", 2),
        ("palette", 2),
        ("palette with transparency", 2),
        ("16 bits", 2),
        ("CMYK", 2),
        ("WebP with alpha", 2),
    ],
)
def test_what_takes_more_memory_counts_twice(name, times):
    decode_image(FILES[name], GREY, PixelLimits(per_request=90 * 70 * times))
    with pytest.raises(InputError, match="have more than") as refused:
        decode_image(FILES[name], GREY, PixelLimits(per_request=90 * 70 * times - 1))
    assert refused.value.status == 413


def test_the_images_of_a_request_are_counted_together_and_the_one_too_many_is_named():
    rows = [{"image": EncodedImage(FILES["RGB"])} for _ in range(4)]
    limits = PixelLimits(per_request=3 * 90 * 70)
    with pytest.raises(InputError, match="18,900 pixels") as refused:
        images_decoded(bundles.IMAGES, rows, limits)
    assert (refused.value.place, refused.value.status) == ("instances[3].image", 413)


def test_nothing_is_decoded_after_the_check_before_an_image_raised():
    rows = [{"image": EncodedImage(FILES["RGB"])} for _ in range(5)]
    checks = iter([None, None, TimeoutError()])

    def check() -> None:
        if error := next(checks):
            raise error

    with pytest.raises(TimeoutError):
        images_decoded(bundles.IMAGES, rows, PixelLimits(), check)
    assert [isinstance(row["image"], np.ndarray) for row in rows] == [True, True, False, False, False]


@pytest.mark.alone
def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded():
    whole = encoded(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True)
    last = whole.rfind(b"\xff\xda")
    scans = whole[:-2] + whole[last:-2] * 10_000 + whole[-2:]
    began = time.process_time()
    with pytest.raises(InputError, match=r"10010 scans, at most 64") as refused:
        decode_image(scans, GREY)
    assert refused.value.status == 413
    assert time.process_time() - began < 0.1
    assert decode_image(whole, GREY).shape == (8, 8, 1)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = encoded(noise("L", 8, 8))
TINY = encoded(noise("L", 8, 8), "JPEG")
CHUNKS = {
    "texts of a PNG": PNG[:33] + chunk(b"tEXt", b"a\0b") * 200_000 + PNG[33:],
    "empty data of a PNG": PNG[:33] + chunk(b"IDAT", b"") * 200_000 + PNG[33:],
    "unknown chunks of a PNG": PNG[:33] + chunk(b"quQu", b"") * 200_000 + PNG[33:],
    "comments of a JPEG": TINY[:2] + b"\xff\xfe\0\x02" * 200_000 + TINY[2:],
    "filling of a JPEG": TINY[:2] + b"\xff" * 200_000 + TINY[2:],
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in CHUNKS.items()])
def test_a_file_of_very_many_chunks_is_given_up(data):
    began = time.process_time()
    with pytest.raises(InputError, match="too many chunks") as refused:
        decode_image(data, GREY)
    assert refused.value.status == 413
    assert time.process_time() - began < 4


def test_a_photo_in_many_small_chunks_is_decoded():
    pixels = zlib.compress(bytes(1000 * 3001), 0)
    parts = [chunk(b"IDAT", pixels[start : start + 500]) for start in range(0, len(pixels), 500)]
    assert len(parts) > 6000
    head = PNG[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 1000, 1000, 8, 2, 0, 0, 0))
    assert not decode_image(b"".join([head, *parts, chunk(b"IEND", b"")]), GREY).any()


def test_large_images_are_decoded_one_at_a_time_and_small_ones_together():
    decoding = images._Decoding()
    entered, go_on = threading.Event(), threading.Event()

    def second(pixels: int) -> threading.Thread:
        def run() -> None:
            with decoding.reserve(pixels, 100):
                entered.set()
                go_on.wait(10)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with decoding.reserve(60, 100):
        thread = second(60)
        assert not entered.wait(0.1)
    assert entered.wait(10)
    with decoding.reserve(40, 100):
        go_on.set()
    thread.join(10)
    with decoding.reserve(500, 100):  # alone, more than fits together
        pass

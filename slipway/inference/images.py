"""Images: decodes files to the pixels that the network takes, and computes the statistics that an event keeps."""

from __future__ import annotations

import hashlib
import io
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from slipway.contracts.schema import Feature, Schema
from slipway.errors import InputError
from slipway.inference.instance_parser import EncodedImage

# A line for each of 65,535 broken EXIF entries of an image would flood the log.
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_JPEG = b"\xff\xd8"
_NARROW = ("1", "L", "RGB")  # modes that are decoded to at most four bytes a pixel
_MAX_READS = 50_000  # of a file; a photo of 64 MB in chunks of 8 kB takes 33,000
_STRIP = 1 << 20  # pixels that are converted at once
_SCAN, _MAX_SCANS = b"\xff\xda", 64  # of a progressive JPEG: 64 bytes that cost as much time as all pixels


class _File(io.BytesIO):
    """A file that is read in a limited number of pieces: each chunk, however small, costs Pillow microseconds."""

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > _MAX_READS:
            raise InputError("the image file consists of too many chunks; save it anew.", status=413)
        return super().read(size)


class PixelLimits:
    """Limits on the pixels of one image, and of all images of a request.

    Images with transparency, a palette, more than 8 bits or four colors count twice: they are converted.
    """

    def __init__(self, per_image: int = 40_000_000, per_request: float = math.inf) -> None:
        self.per_image = per_image
        self._per_request = per_request
        self._counted = 0

    def count(self, image: Image.Image) -> int:
        """Count an image of which only the header is read, and return its pixels. Raises InputError (413)."""
        pixels = image.width * image.height
        if pixels > self.per_image:
            raise _too_large(f"{image.width} × {image.height}", self.per_image)
        if image.mode not in _NARROW or image.has_transparency_data:
            pixels *= 2
        self._counted += pixels
        if self._counted > self._per_request:
            raise InputError(
                f"the images of the request have more than {self._per_request:,} pixels, which is the limit; those with"
                " transparency, a palette, more than 8 bits or four colors count twice: send several requests.",
                status=413,
            )
        return pixels


class _Decoding:
    """The pixels that the threads of this process are decoding: one large image at a time, or several small ones."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pixels = 0

    @contextmanager
    def reserve(self, pixels: int, most: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._pixels or self._pixels + pixels <= most)
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._changed.notify_all()


_decoding = _Decoding()


def images_decoded(
    schema: Schema, rows: list[dict[str, Any]], limits: PixelLimits, before_each: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Decode the `{"b64": …}` images of a request's rows; returns new rows. `before_each` image may raise.

    Raises:
        InputError: one is no image, truncated or too large; names its instance.
    """
    for feature in schema.images:
        for position, row in enumerate(rows):
            value = row[feature.name]
            if isinstance(value, EncodedImage):
                before_each()
                try:
                    row[feature.name] = decode_image(value.b64, feature, limits)
                except InputError as error:
                    raise InputError(str(error), f"instances[{position}].{feature.name}", error.status) from None
    return rows


def decode_image(data: bytes, feature: Feature, limits: PixelLimits | None = None) -> np.ndarray:
    """Decode an image file to uint8 [h, w, c] in the schema's size: turned as EXIF says, on white if transparent.

    Raises:
        InputError: the bytes are no PNG, JPEG, WebP or BMP, are cut short, or hold more pixels than the limits allow.
    """
    assert feature.size is not None
    limits = limits or PixelLimits()
    if data.startswith(_JPEG) and data.count(_SCAN) > _MAX_SCANS:
        raise InputError(f"the JPEG has {data.count(_SCAN)} scans, at most {_MAX_SCANS} are allowed.", status=413)
    try:
        with (
            Image.open(_File(data), formats=_FORMATS) as image,
            _decoding.reserve(limits.count(image), limits.per_image),
        ):
            ImageOps.exif_transpose(image, in_place=True)
            resized = _flat(image, "L" if feature.channels == 1 else "RGB").resize(
                feature.size[::-1], Image.Resampling.BILINEAR
            )
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0)}", limits.per_image) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"  # its text is a memory address
        raise InputError(f"not an image that can be read{reason}; {', '.join(_FORMATS)} files can.") from None
    return np.asarray(resized, np.uint8).reshape(*feature.size, feature.channels or 3)


def _too_large(pixels: str, most: int) -> InputError:
    return InputError(f"the image has {pixels} pixels, at most {most} are allowed.", status=413)


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Convert to 8 bits a channel in `mode`, without transparency, in strips: no copy of a large image is made."""
    if image.mode == mode and not image.has_transparency_data:
        return image
    flat = Image.new(mode, image.size)
    rows = max(_STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        strip = (0, top, image.width, min(top + rows, image.height))
        flat.paste(_flat_strip(image.crop(strip), mode), strip)
    return flat


def _flat_strip(image: Image.Image, mode: str) -> Image.Image:
    """Convert a strip; Pillow by itself cuts 16 bits off at 255."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert(mode)


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode uint8 [h, w, c] as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def image_statistics(pixels: np.ndarray) -> dict[str, float]:
    """Compute statistics of uint8 [h, w, c] for events, each between 0 and about 1, the entropy in bits (0 to 8).

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

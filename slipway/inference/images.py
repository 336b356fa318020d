"""Images: decodes files to the pixels that the network takes, and computes the statistics that an event keeps."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from slipway.contracts.schema import Feature, Schema
from slipway.errors import InputError
from slipway.inference.instance_parser import EncodedImage

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")


def images_decoded(schema: Schema, rows: list[dict[str, Any]], max_pixels: int) -> list[dict[str, Any]]:
    """Decode the `{"b64": …}` images of a request's rows; returns new rows.

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
    """Decode an image file to uint8 [h, w, c] in the schema's size: turned as EXIF says, on white if transparent.

    Raises:
        InputError: the bytes are no PNG, JPEG, WebP or BMP, are cut short, or hold more than `max_pixels`.
    """
    assert feature.size is not None
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise _too_large(f"{image.width} × {image.height}", max_pixels)
            upright = ImageOps.exif_transpose(image)
            resized = _flat(upright, "L" if feature.channels == 1 else "RGB").resize(
                feature.size[::-1], Image.Resampling.BILINEAR
            )
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0)}", max_pixels) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"  # its text is a memory address
        raise InputError(f"not an image that can be read{reason}; {', '.join(_FORMATS)} files can.") from None
    return np.asarray(resized, np.uint8).reshape(*feature.size, feature.channels or 3)


def _too_large(pixels: str, most: int) -> InputError:
    return InputError(f"the image has {pixels} pixels, at most {most} are allowed.", status=413)


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Convert to 8 bits a channel in `mode`, without transparency: Pillow by itself cuts 16 bits off at 255."""
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

"""Inference, in one implementation: encode rows, run the network in ONNX Runtime, decode its output.

The service, batch scoring, parity, gates and smoke tests all go through it.
"""

from slipway.inference.decoder import Prediction, decode
from slipway.inference.encoder import FIRST, Encoder, InputWarning, Row, all_true, encode, rows_from_frame
from slipway.inference.images import (
    PixelLimits,
    decode_image,
    encode_png,
    image_statistics,
    images_decoded,
    pixels_sha256,
)
from slipway.inference.predictor import Predictor

__all__ = [
    "FIRST",
    "Encoder",
    "InputWarning",
    "PixelLimits",
    "Prediction",
    "Predictor",
    "Row",
    "all_true",
    "decode",
    "decode_image",
    "encode",
    "encode_png",
    "image_statistics",
    "images_decoded",
    "pixels_sha256",
    "rows_from_frame",
]

"""Constraints of valid requests that JSON Schema cannot express, loaded by Schemathesis: see test_schemathesis."""

from __future__ import annotations

import base64
import io
from typing import Any

import schemathesis
from PIL import Image
from schemathesis.transport.serialization import Binary  # bytes, where the document says `format: binary`

_buffer = io.BytesIO()
Image.new("L", (8, 8)).save(_buffer, "PNG")
PNG = _buffer.getvalue()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Generate as many keys as instances, and an image wherever bytes have the right type."""
    body = case.body
    if case.media_type == "multipart/form-data" and isinstance(body, dict) and isinstance(body.get("image"), list):
        body["image"] = [PNG if isinstance(part, Binary) else part for part in body["image"]]
    elif isinstance(body, dict) and isinstance(body.get("instances"), list):
        keys, count = body.get("keys"), len(body["instances"])
        if isinstance(keys, list) and all(isinstance(key, str) for key in keys):
            body["keys"] = (keys + [f"key {index}" for index in range(count)])[:count]
        for image in (row["image"] for row in body["instances"] if isinstance(row, dict) and "image" in row):
            if isinstance(image, dict) and isinstance(image.get("b64"), str):
                image["b64"] = base64.b64encode(PNG).decode()

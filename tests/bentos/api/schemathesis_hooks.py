"""Constraints of valid requests that JSON Schema cannot express, loaded by Schemathesis: see test_schemathesis."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import schemathesis
from PIL import Image
from schemathesis.transport.serialization import Binary  # bytes, where the document says `format: binary`

from slipway.ids import ROW_ID, row_id, uuid7
from slipway.timestamps import now_iso

TIME = re.compile(r"(19[7-9]|2[0-9]{2})[0-9]-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)$", re.IGNORECASE)
_buffer = io.BytesIO()
Image.new("L", (8, 8)).save(_buffer, "PNG")
PNG = _buffer.getvalue()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Generate as many keys as instances, an image wherever bytes have the right type, and times and ids of today."""
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("feedback"), list):
        for entry in (entry for entry in body["feedback"] if isinstance(entry, dict)):
            if isinstance(entry.get("id"), str) and re.fullmatch(ROW_ID, entry["id"]):
                entry["id"] = row_id(uuid7(), 0)
            if isinstance(entry.get("known_at"), str) and TIME.match(entry["known_at"]):
                entry["known_at"] = now_iso()
    if case.media_type == "multipart/form-data" and isinstance(body, dict) and isinstance(body.get("image"), list):
        body["image"] = [PNG if isinstance(part, Binary) else part for part in body["image"]]
    elif isinstance(body, dict) and isinstance(body.get("instances"), list):
        keys, count = body.get("keys"), len(body["instances"])
        if isinstance(keys, list) and all(isinstance(key, str) for key in keys):
            body["keys"] = (keys + [f"key {index}" for index in range(count)])[:count]
        for image in (row["image"] for row in body["instances"] if isinstance(row, dict) and "image" in row):
            if isinstance(image, dict) and isinstance(image.get("b64"), str):
                image["b64"] = base64.b64encode(PNG).decode()

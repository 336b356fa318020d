"""curl example of a use case: a command line with the model's own example row, quoted for the shell."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path
from typing import Any

_MAX_BODY = 4096  # terminals handle longer lines badly; the body then goes into a file


def curl_command(url: str, usecase: str, schema: dict[str, Any], folder: Path, with_key: bool = False) -> str:
    """Build the command from the response to `GET …/schema`; a file that it needs is written to `folder`.

    It is marked as a test, which it is as long as its row is the example.
    An image is sent as a file in a form, anything else as JSON in the command. The key is read from the shell's
    variable, so that no terminal shows it.
    """
    route = f"{url}/v1/models/{usecase}/predict"
    if with_key:
        route += ' -H "Authorization: Bearer $SLIPWAY_API_KEY"'
    route += " -H 'X-Slipway-Test: true'"
    example = schema["examples"][0]
    images = [feature["name"] for feature in schema["features"] if feature["kind"] == "image"]
    needed = [feature["name"] for feature in schema["features"] if not feature.get("nullable")]
    if images and needed == images:
        file = _write(folder / "example.png", base64.b64decode(example[images[0]]["b64"]))
        return f"curl -s {route} -F {shlex.quote(f'image=@{file}')}"
    tokens = [feature["name"] for feature in schema["features"] if feature.get("private") == "token"]
    instance = {name: value for name, value in example.items() if name not in tokens}  # they are always optional
    body = json.dumps({"instances": [instance]}, ensure_ascii=False)
    if len(body) > _MAX_BODY:
        body = f"@{_write(folder / 'example.json', body.encode())}"
    return f"curl -s {route} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.resolve()

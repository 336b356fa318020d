"""A curl line for each use case that works as pasted: the model's own example, quoted for the shell."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path
from typing import Any

_LONGEST = 4096  # a terminal passes on longer lines badly; then the body goes by way of a file


def line(url: str, usecase: str, schema: dict[str, Any], folder: Path, with_key: bool = False) -> str:
    """The command; `schema` is what `GET …/schema` answers, and `folder` takes the example's file, where one is needed.

    An image goes as a file in a form, anything else as JSON in the line; the key comes from the shell's own variable,
    so that no terminal shows it.
    """
    route = f"{url}/v1/models/{usecase}/predict"
    if with_key:
        route += ' -H "Authorization: Bearer $SLIPWAY_API_KEY"'
    example = schema["examples"][0]
    images = [feature["name"] for feature in schema["features"] if feature["kind"] == "image"]
    needed = [feature["name"] for feature in schema["features"] if not feature.get("nullable")]
    if images and needed == images:
        file = _kept(folder / "example.png", base64.b64decode(example[images[0]]["b64"]))
        return f"curl -s {route} -F {shlex.quote(f'image=@{file}')}"
    tokens = [feature["name"] for feature in schema["features"] if feature.get("private") == "token"]
    instance = {name: value for name, value in example.items() if name not in tokens}  # they are never needed
    body = json.dumps({"instances": [instance]}, ensure_ascii=False)
    if len(body) > _LONGEST:
        body = f"@{_kept(folder / 'example.json', body.encode())}"
    return f"curl -s {route} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _kept(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.resolve()

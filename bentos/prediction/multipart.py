"""Images as `multipart/form-data`: each part is named `image`, holds an image file, and is one instance."""

from __future__ import annotations

from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from slipway.contracts.schema import Schema
from slipway.errors import InputError
from slipway.inference.instance_parser import EncodedImage

CONTENT_TYPE = b"multipart/form-data"
PART = "image"


def instances(schema: Schema, content_type: bytes, body: bytes, max_parts: int) -> list[dict[str, Any]]:
    """Return an instance for each part, its other features null; the images are not decoded yet.

    Raises:
        InputError: as `image_parts`; 415 where the use case takes no image, 422 where it takes more than that.
    """
    if not schema.images:
        raise InputError(f"{schema.usecase} takes no image; send application/json.", status=415)
    needed = [f.name for f in schema.features if not f.nullable]
    if needed != [schema.images[0].name]:
        raise InputError(
            f"{schema.usecase} needs {', '.join(needed)}; a multipart form carries images alone: send application/json."
        )
    empty = dict.fromkeys(schema.by_name)
    return [empty | {needed[0]: EncodedImage(image)} for image in image_parts(content_type, body, max_parts)]


def image_parts(content_type: bytes, body: bytes, max_parts: int) -> list[bytes]:
    """Return the content of the parts named `image`, in their order.

    Raises:
        InputError: 400 where the body is no multipart form or is cut short, 413 where it has too many parts,
            422 where a part has another name or there is none.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise InputError("the Content-Type names no boundary: let your HTTP client write it.", status=400)
    form = _Form(max_parts)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InputError(f"the body is not a multipart form: {error}.", status=400) from None
    if not form.ended:
        raise InputError("the multipart form is cut short: its closing boundary is missing.", status=400)
    if not form.images:
        raise InputError(f"no part named {PART!r} received; send at least one image file under that name.", PART)
    return [bytes(image) for image in form.images]


class _Form:
    """The images of a form; its methods are the callbacks of the parser."""

    def __init__(self, max_parts: int) -> None:
        self.images: list[bytearray] = []
        self.ended = False
        self._max_parts = max_parts
        self._name = bytearray()
        self._value = bytearray()
        self._disposition = b""

    def callbacks(self) -> dict:
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "end")
        return {f"on_{name}": getattr(self, f"on_{name}") for name in names}

    def on_part_begin(self) -> None:
        if len(self.images) >= self._max_parts:
            raise InputError(f"more than {self._max_parts} parts received: send several requests.", PART, 413)
        self._disposition = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != PART:
            detail = f"a part named {name[:60]!r} received; every part is named {PART!r}, and is an image file."
            raise InputError(detail, name[:60])
        self.images.append(bytearray())

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.images[-1] += data[start:end]

    def on_end(self) -> None:
        self.ended = True

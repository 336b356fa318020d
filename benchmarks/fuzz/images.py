"""Image files, valid and adversarial, and multipart forms with them."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from functools import cache
from random import Random
from typing import Any

from PIL import Image

from benchmarks.fuzz.bodies import bytes_changed

BOUNDARY = b"fuzz"
_PNG = b"\x89PNG\r\n\x1a\n"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><script>alert(1)</script></svg>'


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode an image in a format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_head(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """Make a PNG whose header gives a size, with almost no data."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return _PNG + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(b"\0" * 100)) + _chunk(b"IEND", b"")


def bmp_head(width: int, height: int) -> bytes:
    """Make a BMP whose header gives a size, with almost no data."""
    return (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + b"\0" * 50
    )


def _png_with(name: bytes, data: bytes) -> bytes:
    """Make a valid PNG with one more chunk after its header."""
    plain = saved(Image.new("RGB", (8, 8), "red"), "PNG")
    return plain[:33] + _chunk(name, data) + plain[33:]


def _turned(orientation: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.new("RGB", (4, 9), "green"), "JPEG", exif=exif.tobytes())


@cache
def valid() -> dict[str, bytes]:
    """Return files that must be answered with a prediction."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    animated = {"save_all": True, "append_images": frames[1:]}
    modes = ("1", "L", "LA", "P", "RGB", "RGBA")
    return {
        **{f"{mode} PNG": saved(Image.new(mode, (8, 8)), "PNG") for mode in modes},
        **{f"turned {n}": _turned(n) for n in range(1, 9)},
        "1 x 1": saved(Image.new("L", (1, 1)), "PNG"),
        "1 x 5000": saved(Image.new("L", (1, 5000)), "PNG"),
        "16 bit": saved(Image.new("I;16", (8, 8), 40_000), "PNG"),
        "CMYK": saved(Image.new("CMYK", (8, 8)), "JPEG"),
        "JPEG": saved(frames[0], "JPEG"),
        "WebP": saved(frames[0], "WEBP"),
        "BMP": saved(frames[0], "BMP"),
        "animated PNG": saved(frames[0], "PNG", **animated),
        "animated WebP": saved(frames[0], "WEBP", **animated),
        "a web page behind it": saved(frames[0], "PNG") + b"<html><script>alert(1)</script></html>",
        "an archive behind it": saved(frames[0], "JPEG") + b"PK\x03\x04" + b"\0" * 100,
    }


@cache
def hostile() -> dict[str, bytes]:
    """Return adversarial files."""
    bomb = zlib.compress(b"\0" * 20_000_000)
    frames = [Image.new("RGB", (8, 8)) for _ in range(3)]
    plain = saved(frames[0], "PNG")
    return {
        "40,000 x 40,000": png_head(40_000, 40_000),
        "40,000 x 40,000 BMP": bmp_head(40_000, 40_000),
        "2^31 x 2^31": png_head(2**31 - 1, 2**31 - 1),
        "no size": png_head(0, 0),
        "less than no size": bmp_head(-8, -8),
        "no such depth": png_head(8, 8, 3, 7),
        "49 million pixels": saved(Image.new("1", (7000, 7000)), "PNG"),
        "a bomb of text": _png_with(b"zTXt", b"a\0\0" + bomb),
        "a bomb of a profile": _png_with(b"iCCP", b"a\0\0" + bomb),
        "broken EXIF": _png_with(b"eXIf", b"MM\0*" + b"\xff" * 200),
        "an unknown turn": _turned(77),
        "GIF": saved(frames[0], "GIF"),
        "animated GIF": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "TIFF": saved(frames[0], "TIFF"),
        "ICO": saved(frames[0], "ICO"),
        "PDF": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n",
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
        "SVG": _SVG,
        "SVG in a PNG": _PNG + _SVG,
        "half": plain[: len(plain) // 2],
        "without its end": plain[:-20],
        "a head alone": plain[:33],
        "nothing": b"",
        "a picture of Windows": b"\xd7\xcd\xc6\x9a" + b"\0" * 100,
    }


def image(rng: Random) -> bytes:
    """Choose any file, most often with a few bytes mutated."""
    files = list((valid() if rng.random() < 0.4 else hostile()).values())
    found = rng.choice(files)
    return bytes_changed(rng, found) if rng.random() < 0.5 else found


def as_json(data: bytes, feature: str) -> dict[str, Any]:
    return {feature: {"b64": base64.b64encode(data).decode()}}


def part(data: bytes, disposition: bytes = b'form-data; name="image"; filename="a.png"', more: bytes = b"") -> bytes:
    return b"--%b\r\nContent-Disposition: %b\r\n%b\r\n%b\r\n" % (BOUNDARY, disposition, more, data)


_DISPOSITIONS = [
    b'form-data; name="file"',
    b"form-data",
    b"",
    b'attachment; name="image"',
    b"form-data; name=image",
    b"form-data; name*=utf-8''image",
    b'form-data; name="image"; filename="../../etc/passwd"',
    b'form-data; name="image"; filename="' + b"a" * 5000 + b'"',
    b'form-data; name="\xff\xfe"',
    b'form-data; name="im\\"age"',
    b'form-data; name="image',
    b"\0\0",
]
_PART_HEADERS = [
    b"Content-Type: text/html\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Encoding: gzip\r\n",
    b"no colon\r\n",
    b": nothing\r\n",
    b"X: " + b"a" * 20_000 + b"\r\n",
    b"".join(b"X-%d: a\r\n" % n for n in range(500)),
    b"Content-Type: multipart/mixed; boundary=fuzz\r\n",
]
_CONTENT_TYPES = [
    b"multipart/form-data",
    b"multipart/form-data; boundary=",
    b"multipart/form-data; boundary=other",
    b'multipart/form-data; boundary="fuzz"',
    b"multipart/form-data; boundary=fuzz; boundary=other",
    b"multipart/form-data; boundary=" + b"f" * 5000,
    b"multipart/form-data; boundary=\xff\xfe",
    b"multipart/mixed; boundary=fuzz",
    b"multipart/form-data; boundary=--fuzz",
    b"multipart/form-data;;; boundary = fuzz",
]


def form(rng: Random) -> tuple[bytes, bytes]:
    """Make content type and body of a form, most often an invalid one."""
    kind, end = b"multipart/form-data; boundary=" + BOUNDARY, b"--" + BOUNDARY + b"--\r\n"
    parts = [part(image(rng)) for _ in range(rng.choice((0, 1, 1, 2, 5)))]
    match rng.randrange(7):
        case 0:
            parts.append(part(image(rng), rng.choice(_DISPOSITIONS)))
        case 1:
            parts.append(part(image(rng), more=rng.choice(_PART_HEADERS)))
        case 2:
            kind = rng.choice(_CONTENT_TYPES)
        case 3:
            end = rng.choice((b"", b"--" + BOUNDARY, b"--" + BOUNDARY + b"-", end + b"behind", end * 2))
        case 4:
            parts.insert(0, rng.choice((b"before\r\n", b"\r\n", b"--fuzz", b"\0" * 100)))
        case 5:
            return kind, bytes_changed(rng, b"".join(parts) + end)
    return kind, b"".join(parts) + end

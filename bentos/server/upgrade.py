"""Requests to change the protocol (`Upgrade`), which a server may ignore (RFC 9110, section 7.8).

Java's client sends `Upgrade: h2c` with every request over plain HTTP, Apache's `Upgrade: TLS/1.2`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Headers = Sequence[tuple[bytes, bytes]]
_HOP = (b"upgrade", b"http2-settings")


def is_ignorable(headers: Headers) -> bool:
    """Tell whether a client goes on in HTTP/1.1 where its request to upgrade is ignored: not one for a WebSocket."""
    wanted = [protocol for name, value in headers if name == b"upgrade" for protocol in _tokens(value)]
    return bool(wanted) and b"websocket" not in wanted


def head_without_upgrade(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """Write the head of a request again, without what asks for an upgrade."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    lines += [b"%b: %b" % header for header in _kept(headers)]
    return b"\r\n".join([*lines, b"", b""])


def _kept(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    for name, value in headers:
        if name == b"connection":
            options = [option for option in _tokens(value) if option not in _HOP]
            if options:
                yield name, b", ".join(options)
        elif name not in _HOP:
            yield name, value


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]

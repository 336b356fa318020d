"""Requests as bytes on one connection, and their answers."""

from __future__ import annotations

import json
import socket

ROW = {"age": 30, "visits": 2, "job": "nurse", "member": True}
PATH = "/v1/models/loans/predict"


def request(row: object, path: str = PATH, more: str = "") -> bytes:
    """Build the bytes of a prediction request of one row; `more` are further header lines, each with its end."""
    body = json.dumps({"instances": [row]}).encode()
    fields = f"host: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{more}"
    return f"POST {path} HTTP/1.1\r\n{fields}\r\n".encode() + body


def answers(connection: socket.socket, number: int) -> list[tuple[int, dict]]:
    """Read status and content of so many answers."""
    found, received = [], b""
    while len(found) < number:
        head, separator, rest = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) if separator else 0
        if separator and len(rest) >= length:
            found.append((int(head[9:12]), json.loads(rest[:length])))
            received = rest[length:]
            continue
        part = connection.recv(65536)
        assert part, f"closed after {len(found)} answers"
        received += part
    return found

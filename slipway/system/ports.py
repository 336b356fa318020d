"""Ports of this machine: finds free ones."""

from __future__ import annotations

import socket
from collections.abc import Container

from slipway.errors import PortTaken

SEARCH = 100


def url_at(host: str, port: int) -> str:
    """Write the address of a server, IPv6 in brackets.

    >>> url_at("::1", 3000)
    'http://[::1]:3000'
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could bind to the port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return False
    return True


def free_port(start: int, taken: Container[int] = (), host: str = "127.0.0.1") -> int:
    """Find the first free port from `start` on that is not in `taken`.

    Raises:
        PortTaken: none of the next 100 ports is free.
    """
    last = min(start + SEARCH, 65536)
    for port in range(start, last):
        if port not in taken and is_free(port, host):
            return port
    raise PortTaken(
        f"no port from {start} to {last - 1} is free on {host}. Set another start, see docs/reference/settings.md."
    )

"""Same-origin check of a server that asks for no credential: what a web page makes a browser send is refused.

A page of another site can send requests to any address that its visitor reaches; the browser names the site in
`Origin`. By DNS rebinding a page can also have its own name lead to that address; the browser then names it in `Host`.

    check = SameOriginCheck("127.0.0.1")
    check.refusal(b"localhost:3000", b"https://evil.example")  # a sentence, or None if the request is allowed
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from slipway.clients.http import is_loopback

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{0,5})?")
_MOST_CHARACTERS = 512  # of Host and Origin together
_SHOWN = 100  # characters of a value in a message
_INTERNAL = (".localhost", ".local", ".internal", ".svc")  # no public domain ends so


class SameOriginCheck:
    """Allows requests to a name of this server, sent by no web page, by one of its own, or by one of `origins`.

    Its names are those of loopback, the address that it is bound to, and `hosts` (`*`: any). A server that is bound to
    other addresses than loopback also answers by any IP address and by names that no public domain can have.
    """

    def __init__(self, bound_to: str, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._hosts = frozenset({bound_to.lower(), *(host.lower() for host in hosts)})
        self._origins = frozenset(origin.lower() for origin in origins)
        self._is_local = is_loopback(bound_to)
        self._cached = lru_cache(maxsize=256)(self._refusal)

    def refusal(self, host: bytes, origin: bytes) -> str | None:
        """Explain why a request with these headers is refused; None if it is allowed. An absent header is empty."""
        if len(host) + len(origin) > _MOST_CHARACTERS:
            return "Host or Origin is too long."
        return self._cached(host, origin)

    def _refusal(self, host: bytes, origin: bytes) -> str | None:
        named, page = host.decode("latin-1").lower(), origin.decode("latin-1").lower()
        if named and not self._is_own(named):
            return (
                f"Host {named[:_SHOWN]!r} is no name of this server, which asks for no credential: use its address, "
                "or list the name in SLIPWAY_ALLOWED_HOSTS."
            )
        if page and not self._is_allowed(page, named):
            return (
                f"a web page of {page[:_SHOWN]!r} may not use this server, which asks for no credential: "
                "list its origin in SLIPWAY_CORS_ORIGINS."
            )
        return None

    def _is_own(self, named: str) -> bool:
        found = _HOST.fullmatch(named)
        if found is None:
            return False
        name = found.group(1) or found.group(2)
        if {name, "*"} & self._hosts or is_loopback(name):
            return True
        return not self._is_local and ("." not in name or name.endswith(_INTERNAL) or _is_address(name))

    def _is_allowed(self, page: str, named: str) -> bool:
        scheme, _, place = page.partition("://")
        own = scheme in ("http", "https") and place == named
        return own or bool({page, "*"} & self._origins)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

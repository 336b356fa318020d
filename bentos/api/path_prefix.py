"""Path prefix: the path under which a proxy publishes the service, as `/ml` of `https://example.com/ml/v1/models`."""

from __future__ import annotations

import os
import re

from uvicorn.middleware.proxy_headers import _TrustedHosts

from bentos.request import Scope
from bentos.server.connection_limits import PEER
from slipway.settings import ROOT_PATH

TRUSTED_PROXIES = "FORWARDED_ALLOW_IPS"  # uvicorn's variable
_HEADER = b"x-forwarded-prefix"
_VALID = re.compile(ROOT_PATH)
_LONGEST = 200


class PathPrefix:
    """The prefix of the setting, or of `X-Forwarded-Prefix` where a trusted proxy sends one."""

    def __init__(self, root_path: str) -> None:
        self.root_path = root_path
        self._trusted = _TrustedHosts(os.environ.get(TRUSTED_PROXIES, ""))

    def strip(self, path: str) -> str:
        """Return the path without the setting's prefix, which not every proxy removes."""
        if self.root_path and f"{path}/".startswith(f"{self.root_path}/"):
            return path[len(self.root_path) :] or "/"
        return path

    def lacks_slash(self, scope: Scope) -> bool:
        """Tell whether the request was for the prefix itself, from where relative links lead to other paths."""
        return bool(self.root_path) and scope.get("raw_path") == self.root_path.encode()

    def of(self, scope: Scope) -> str:
        """Return the prefix of the links in the response to a request."""
        sent = [value for name, value in scope["headers"] if name == _HEADER]
        if not sent or scope.get("state", {}).get(PEER) not in self._trusted:
            return self.root_path
        parts = b",".join(sent).decode("latin-1").split(",")  # each proxy in a row adds its own
        prefix = "".join(part.strip().rstrip("/") for part in parts)
        return prefix if len(prefix) <= _LONGEST and _VALID.fullmatch(prefix) else self.root_path

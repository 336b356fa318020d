"""Checks of the network: proxies, certificates and the name of this machine."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from slipway.clients.http import proxies, proxy_for, without_login
from slipway.local.doctor.diagnosis import Diagnosis, error, ok, warning
from slipway.settings import Settings

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def proxy(settings: Settings) -> Iterator[Diagnosis]:
    """Name the proxy of the environment, and what is reached through it; this machine's own servers never are."""
    found = proxies()
    if not found:
        yield ok("proxy", "none is set")
        return
    named = ", ".join(f"{scheme}_proxy={without_login(url)}" for scheme, url in sorted(found.items()))
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    yield ok("proxy", f"{named}; not for {excepted or 'this machine'}")
    if any(url.startswith("socks") for url in found.values()) and not importlib.util.find_spec("socksio"):
        yield error(
            "proxy",
            "a SOCKS proxy needs the package socksio, without which Prefect's client does not start",
            ".venv/bin/uv pip install socksio, or unset the variable",
        )
    for name, url in (("MLflow", settings.registry_uri), ("Prefect", settings.prefect_uri)):
        if through := proxy_for(url):
            host = urlsplit(url).hostname
            yield warning(
                "proxy",
                f"{name} at {url} is reached through {without_login(through)}",
                f"nothing, or add {host} to no_proxy",
            )


def certificates() -> Iterator[Diagnosis]:
    """Check that the certificates that the environment names are there: without them, no TLS connection succeeds."""
    for name in _CERTIFICATES:
        path = os.environ.get(name)
        if path and not os.access(path, os.R_OK):
            yield error("TLS", f"{name}={path} cannot be read", f"correct {name}, or unset it")
        elif path:
            yield ok("TLS", f"certificates of {name}={path}")


def host_name() -> Diagnosis:
    """Check that the machine's name resolves, which servers of other libraries look up when they start."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError as problem:
        return warning("host name", f"{name} does not resolve ({problem})", f"add `127.0.1.1 {name}` to /etc/hosts")
    return ok("host name", f"{name} resolves")

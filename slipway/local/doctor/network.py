"""Checks of the network: proxies, certificates and the name of this machine."""

from __future__ import annotations

import importlib.util
import os
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from slipway.clients.http import ENCODED_LOGIN, is_address, proxies, proxy_for, without_login
from slipway.local.doctor.diagnosis import Diagnosis, error, ok, warning
from slipway.settings import Settings
from slipway.system.files import read_regular
from slipway.telemetry.certificates import MOST_BYTES, chain_expiry

LOOPBACK_SECONDS = 2.0
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
    unread = [f"{scheme}_proxy" for scheme, url in sorted(found.items()) if not is_address(url)]
    if unread:
        yield error("proxy", f"{' and '.join(unread)}: no address of a proxy, so nothing is reached", ENCODED_LOGIN)
        return
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
        if path and (problem := _certificate_problem(name, path)):
            yield error("TLS", f"{name}={path} {problem}", f"correct {name}, or unset it")
        elif path:
            yield ok("TLS", f"certificates of {name}={path}")


def presented_certificate(settings: Settings) -> Iterator[Diagnosis]:
    """Check the certificate that clients of the service see: it can be read, and has not expired."""
    path = settings.tls_certificate
    if path is None:
        return
    name = f"SLIPWAY_TLS_CERTIFICATE={path}"
    try:
        expiry = datetime.fromtimestamp(chain_expiry(read_regular(path, MOST_BYTES)), UTC)
    except OSError as problem:
        detail = f"{name} cannot be read: {problem.strerror or problem}"
        yield error("TLS", detail, "name a file that this user may read, or unset it")
    except ValueError:
        yield error("TLS", f"{name} holds no certificate in PEM form", "name the proxy's certificate, or unset it")
    else:
        if expiry <= datetime.now(UTC):
            yield error("TLS", f"{name} expired at {expiry:%Y-%m-%d %H:%M} UTC", "renew it, and reload the proxy")
        else:
            yield ok("TLS", f"{name} expires at {expiry:%Y-%m-%d %H:%M} UTC")


def _certificate_problem(name: str, value: str) -> str:
    """Say why certificates cannot be read from a file or folders; nothing where they can."""
    paths = value.split(os.pathsep) if name == "SSL_CERT_DIR" else [value]
    if not any(os.access(path, os.R_OK) for path in paths):
        return "cannot be read"
    if name == "SSL_CERT_DIR":
        return ""
    if Path(value).is_dir():
        return "is a folder: SSL_CERT_DIR is for that" if name == "SSL_CERT_FILE" else ""
    try:
        ssl.create_default_context(cafile=value)
    except OSError:
        return "holds no certificate in PEM form"
    return ""


def loopback() -> Diagnosis:
    """Check that this machine can connect to itself, as all of Slipway's processes do."""
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname(), LOOPBACK_SECONDS),
        ):
            return ok("loopback", "this machine reaches its own servers at 127.0.0.1")
    except OSError as problem:
        fix = "`ip link set lo up`; in a sandbox, a VPN or a firewall, allow connections to 127.0.0.1"
        return error("loopback", f"127.0.0.1 cannot be reached ({problem}), so no server can be", fix)


def host_name() -> Diagnosis:
    """Check that the machine's name resolves, which servers of other libraries look up when they start."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError as problem:
        return warning("host name", f"{name} does not resolve ({problem})", f"add `127.0.1.1 {name}` to /etc/hosts")
    return ok("host name", f"{name} resolves")

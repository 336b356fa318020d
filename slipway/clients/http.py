"""HTTP requests, as every client of Slipway makes them: within a time, up to a size, and without redirects.

What a server sends is data: its JSON is read into a type, and its words are cut before they get into a message.

    response = request("GET", "http://127.0.0.1:3000/v1/models")
    response.status, response.read(Model)

httpx is imported with the first request, since its import takes a tenth of a second.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

import msgspec

from slipway.errors import ResponseTooLarge, ServiceError
from slipway.texts import one_line
from slipway.trace_context import HEADER, traceparent

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
_preparing = threading.Lock()
MAX_BYTES = 16 << 20
MAX_ERROR_BYTES = 64 << 10  # of a response that is no success; the rest is not read
# The whole of an exchange may take so many times the wait for its next bytes.
PATIENCE = 3.0
SLOWEST_DOWNLOAD = 64 << 10  # bytes a second, after the time that any exchange may take
# Servers close idle connections, many of them after 5 s: a request sent into that moment would look like a failed one.
REUSE_SECONDS = 2.0
_CHUNK = 1 << 20
ENCODED_LOGIN = (
    "write `http://USER:PASSWORD@HOST:PORT`, with %23, %2F, %3F, %40, %5B, %5D for # / ? @ [ ] in a password"
)


@dataclass(frozen=True)
class Response:
    """A response that was read: a success to its end, an error up to 64 KiB. Names of headers are in lower case."""

    status: int
    content: bytes
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def read(self, kind: type[T]) -> T:
        """Parse the content as JSON of this kind.

        Raises:
            ServiceError: it is something else; the message is what is wrong with it, and where.
        """
        try:
            return decode(self.content, kind)
        except ValueError as error:
            raise ServiceError(str(error)) from None


def decode(content: bytes, kind: type[T]) -> T:
    """Parse JSON of this kind. Raises ValueError, with one short line on what is wrong, and where."""
    try:
        found: T = _decoder(cast(Hashable, kind)).decode(content)
        return found
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(one_line(str(error))) from None
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    """Make a decoder, one at a time: msgspec prepares a type at its first use, and crashes if several threads do so."""
    with _preparing:
        return msgspec.json.Decoder(kind)


class HttpClient:
    """Requests to one server, over connections that stay open for two seconds.

    Args:
        url: the server's address; paths of requests are appended to it.
        timeout: seconds to connect, and for each wait for bytes; the whole exchange has three times as many.
        headers: sent with each request.
        retries: how often a failed attempt to connect is repeated; a request that was sent never is.
        use_proxy: go through the proxy that the environment names, as `https_proxy`, unless the host is this machine.
        address: connect to this IP address of the host; certificate and host header go by the URL.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        headers: Mapping[str, str] | None = None,
        retries: int = 0,
        use_proxy: bool = True,
        address: str | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._headers = {"Accept-Encoding": "identity", **(headers or {})}
        self._retries = retries
        self._use_proxy = use_proxy
        self._address = address

    def request(
        self,
        method: str,
        path: str = "",
        *,
        document: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
        follow_redirects: bool = False,
    ) -> Response:
        """Send a request, with a document as JSON or with content; errors of HTTP are responses, too.

        Raises:
            ServiceError: there is no response, or a larger one; the message is the reason alone.
        """
        if document is not None:
            content = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        with self.stream(method, path, content, headers, follow_redirects=follow_redirects) as response:
            return read_whole(response, max_bytes)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str = "",
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        follow_redirects: bool = False,
        slowest: float | None = None,
    ) -> Iterator[httpx.Response]:
        """Send a request and give the response before its content is read: `read_chunks` reads it.

        `slowest` is for a download of any size: as long as so many bytes a second arrive, it may go on.

        Raises:
            ServiceError: there is no response; the message is the reason alone.
        """
        import httpx

        from slipway.clients.deadline import Deadline

        deadline = Deadline(PATIENCE * self._timeout, slowest)
        with _explained(self._through):
            url, extra, extensions = self._target(path)
            extensions["timeout"] = deadline.timeouts(self._timeout)
            request = self._client.build_request(
                method, url, content=content, headers={**_trace(), **extra, **(headers or {})}, extensions=extensions
            )
            # a password that is part of the URL stays with the server that it is for
            follows = follow_redirects and not request.url.userinfo
            response = self._client.send(request, stream=True, follow_redirects=follows)
        try:
            yield response
        finally:
            with contextlib.suppress(httpx.HTTPError, OSError):
                response.close()

    def close(self) -> None:
        """Close the connections; a later request opens one again."""
        if client := self.__dict__.pop("_client", None):
            client.close()

    @cached_property
    def _proxy(self) -> str | None:
        return proxy_for(self.url) if self._use_proxy else None

    def _through(self) -> str:
        proxy = self.__dict__.get("_proxy")  # not yet known, if it is the URL that is wrong
        return f" (through the proxy {without_login(proxy)})" if proxy else ""

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        from slipway.clients.deadline import DeadlineTransport

        # the machine's own certificates, as all of Python but httpx uses them
        verify = ssl.create_default_context() if self.url.startswith("https://") else False
        limits = httpx.Limits(keepalive_expiry=REUSE_SECONDS)
        return httpx.Client(
            headers=self._headers,
            timeout=self._timeout,
            trust_env=False,
            verify=verify,
            transport=DeadlineTransport(
                verify=verify,
                trust_env=False,
                limits=limits,
                retries=self._retries,
                proxy=self._proxy,
            ),
        )

    def _target(self, path: str) -> tuple[str, dict[str, str], dict[str, Any]]:
        """The URL to connect to, and what keeps host header and certificate those of the server's own URL."""
        if self._address is None:
            return self.url + path, {}, {}
        parts = urlsplit(self.url)
        address = f"[{self._address}]" if ":" in self._address else self._address
        host = address if parts.port is None else f"{address}:{parts.port}"
        url = parts._replace(netloc=host).geturl() + path
        return url, {"Host": parts.netloc.rpartition("@")[2]}, {"sni_hostname": parts.hostname}


def request(
    method: str,
    url: str,
    *,
    document: Any = None,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    max_bytes: int = MAX_BYTES,
    follow_redirects: bool = False,
) -> Response:
    """Send one request over a connection of its own.

    Raises:
        ServiceError: there is no response, or a larger one; the message is the reason alone.
    """
    client = HttpClient(url, timeout=timeout)
    client.url = url
    try:
        return client.request(
            method,
            document=document,
            content=content,
            headers=headers,
            max_bytes=max_bytes,
            follow_redirects=follow_redirects,
        )
    finally:
        client.close()


def download(url: str, file: BinaryIO, *, timeout: float = 10.0, max_bytes: int, follow_redirects: bool = False) -> int:
    """Write what a URL holds to an open file, as it arrives; returns the response's status, and writes only for 200.

    Raises:
        ServiceError: there is no response, it breaks off, or it has more than `max_bytes`.
    """
    client = HttpClient(url, timeout=timeout)
    client.url = url
    try:
        with client.stream("GET", follow_redirects=follow_redirects, slowest=SLOWEST_DOWNLOAD) as response:
            if response.status_code == 200:
                for chunk in read_chunks(response, max_bytes):
                    file.write(chunk)
            return response.status_code
    finally:
        client.close()


def is_healthy(url: str, seconds: float = 2.0, headers: Mapping[str, str] | None = None) -> bool:
    """Tell whether a GET of the URL is answered with a status below 400."""
    try:
        return request("GET", url, timeout=seconds, headers=headers).status < 400
    except ServiceError:
        return False


def read_whole(response: httpx.Response, max_bytes: int = MAX_BYTES) -> Response:
    """Read a response's content; of one that is no success, the beginning, which holds the reason.

    Raises:
        ResponseTooLarge: it has more than `max_bytes`.
        ServiceError: it breaks off; the message is the reason alone.
    """
    if response.is_success:
        content = b"".join(read_chunks(response, max_bytes))
    else:
        content = _beginning(response)
    return Response(response.status_code, content, one_line(response.reason_phrase), dict(response.headers))


def _beginning(response: httpx.Response) -> bytes:
    content = b""
    with _explained():
        for chunk in response.iter_raw():
            content += chunk
            if len(content) >= MAX_ERROR_BYTES:
                break
    return content[:MAX_ERROR_BYTES]


def read_chunks(response: httpx.Response, max_bytes: int = MAX_BYTES) -> Iterator[bytes]:
    """Read a response's content piece by piece.

    Raises:
        ResponseTooLarge: it has more than `max_bytes`.
        ServiceError: it breaks off; the message is the reason alone.
    """
    left = max_bytes
    with _explained():
        for chunk in response.iter_raw(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise ResponseTooLarge(f"the response has more than {max_bytes} bytes")
            yield chunk


@contextmanager
def _explained(through: Callable[[], str] = str) -> Iterator[None]:
    """Turn httpx's errors into a ServiceError whose message is the reason, and what the request went through."""
    import httpx

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError, ImportError) as error:
        raise ServiceError((one_line(str(error)) or type(error).__name__) + through()) from None


def proxies() -> dict[str, str]:
    """Read the proxies of the environment as URLs, by the scheme of the addresses that they are for, or `all`."""
    from urllib.request import getproxies

    found = {scheme: url for scheme, url in getproxies().items() if scheme in ("http", "https", "all")}
    return {scheme: url if "://" in url else f"http://{url}" for scheme, url in found.items()}


def proxy_for(url: str) -> str | None:
    """Find the proxy of the environment for a URL; none to reach this machine, or what `no_proxy` names.

    Raises:
        ValueError: its address cannot be read; the message shows no password.
    """
    parts = urlsplit(url)
    if is_this_machine(parts.hostname or "") or _is_excepted(parts):
        return None
    found = proxies()
    proxy = found.get(parts.scheme) or found.get("all")
    if proxy and not is_address(proxy):
        raise ValueError(f"the proxy {without_login(proxy)} is no address: {ENCODED_LOGIN}")
    return proxy


def is_address(proxy: str) -> bool:
    """Tell whether a URL is of a proxy, with nothing behind its host and port: a `#` in a password would begin that."""
    try:
        parts = urlsplit(proxy)
        return bool(parts.hostname and parts.port != 0) and "@" not in parts.path + parts.query + parts.fragment
    except ValueError:
        return False


def without_login(url: str) -> str:
    """Leave out user and password of a proxy's address, whatever characters they have.

    >>> without_login("http://ann:se#cr/et@proxy:3128")
    'http://proxy:3128'
    """
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _is_excepted(parts: SplitResult) -> bool:
    """Whether `no_proxy` names the host, as its name, its domain, with its port, or by its address or network."""
    from urllib.request import proxy_bypass

    host = parts.hostname or ""
    if proxy_bypass(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return True
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return any(_is_in_network(host, network.strip()) for network in excepted.split(",") if "/" in network)


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or address alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_this_machine(host: str) -> bool:
    """Tell whether a host is this machine: by its name, or an address of one of its interfaces. Nothing is resolved."""
    name = host.lower().rstrip(".")
    if is_loopback(name) or name.endswith(".localhost") or name == socket.gethostname().lower():
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((name, 0))
    except OSError:
        return False
    return True


def _trace() -> dict[str, str]:
    """The header that hands the trace on in which this request is made, if it is made in one."""
    current = traceparent()
    return {HEADER: current} if current else {}

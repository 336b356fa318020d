"""Errors of the Elasticsearch client as sentences: what came back, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from slipway.clients.http import without_login
from slipway.errors import ServiceError
from slipway.settings import Settings
from slipway.texts import one_line

_UNAUTHORIZED, _FORBIDDEN, _BUSY = 401, 403, 429
_REDIRECTS = range(300, 400)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "record layer failure")  # of OpenSSL, to a response in plain HTTP


@contextmanager
def explained(config: Settings) -> Iterator[None]:
    """Raise the client's errors of the block as ServiceError, with what to do."""
    from elasticsearch import ApiError, TransportError

    try:
        yield
    except (ApiError, TransportError) as error:
        where = without_login(config.elasticsearch_url)
        raise ServiceError(f"Elasticsearch at {where}: {explain(error)}") from None


def explain(error: Exception) -> str:
    """Say what an error of the client means, and what to do."""
    from elasticsearch import ApiError, ConnectionTimeout, SerializationError, SSLError, UnsupportedProductError

    if isinstance(error, UnsupportedProductError):
        return _another_product(error.body)
    if isinstance(error, ApiError):
        return _refused(error)
    if isinstance(error, SSLError):
        return _tls(_cause(error))
    if isinstance(error, ConnectionTimeout):
        return "it did not respond in time. Is it overloaded, or does a firewall drop the packets?"
    if isinstance(error, SerializationError):
        return f"its response is not JSON ({one_line(str(error), 80)}). Does a proxy answer in its place?"
    return f"it cannot be reached ({_cause(error)}). Is it up, and is ELASTICSEARCH_URL its address?"


def reason(body: Any) -> str:
    """The reason that an error response of Elasticsearch gives, on one line."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        cause = (error.get("root_cause") or [error])[0]
        found = one_line(str(cause.get("reason") or error.get("reason") or error.get("type")))
        index = str(cause.get("index", ""))
        return found if index in found else f"{found} ({one_line(index)})"
    return one_line(str(error or body or "no reason is given"))


def _cause(error: Exception) -> str:
    """The error below the client's own, as `[Errno 111] Connection refused` instead of the objects that it passed."""
    while causes := getattr(error, "errors", ()):
        error = causes[0]
    return one_line(str(error).rpartition("): ")[2])


def _refused(error: Any) -> str:
    status, body = error.status_code, error.body
    if status in _REDIRECTS:
        to = one_line(without_login(str(error.meta.headers.get("location", ""))), 80)
        return f"{status}: it redirects to {to!r}, as a login page does. Set ELASTICSEARCH_URL to the server itself."
    if isinstance(body, str) and body.lstrip().startswith("<"):
        return f"{status}, and HTML in place of JSON: a proxy answers. Set ELASTICSEARCH_URL to the server itself."
    if status == _UNAUTHORIZED:
        return (
            "401: the credentials are missing, wrong or expired. Set ELASTICSEARCH_API_KEY or "
            "ELASTICSEARCH_API_KEY_FILE, or write https://USER:PASSWORD@HOST:9200."
        )
    if status == _FORBIDDEN:
        return f"403: {reason(body)}. Use a key or a user with this privilege (docs/reference/elasticsearch.md)."
    if status == _BUSY:
        return f"429: it is overloaded ({reason(body)}). Try again later."
    return f"{status}: {reason(body)}"


def _another_product(body: Any) -> str:
    version = body.get("version") if isinstance(body, dict) else None
    if not isinstance(version, dict):
        return "something else answers, such as a proxy's page. Set ELASTICSEARCH_URL to the server itself."
    name, number = version.get("distribution", "another product"), version.get("number", "")
    label = "OpenSearch" if name == "opensearch" else one_line(str(name))
    return (
        f"this is {label} {one_line(str(number))}, which lacks Elasticsearch's `flattened` fields, index lifecycle "
        "policies and API keys. Nothing was changed. Use Elasticsearch 8.15 or later."
    )


def _tls(text: str) -> str:
    if any(sign in text for sign in _NO_TLS):
        return "it does not speak TLS: write http:// in ELASTICSEARCH_URL, or switch TLS on there."
    if "expired" in text:
        return f"its certificate is not valid any more ({text}). Renew it there."
    if "mismatch" in text:
        return f"its certificate is for other names ({text}). Write one of these in ELASTICSEARCH_URL."
    return (
        f"its certificate is not trusted ({text}). Set ELASTICSEARCH_CA_CERTS to the PEM file of the authority that "
        "signed it, such as Elasticsearch's own config/certs/http_ca.crt."
    )

"""The connection to Elasticsearch: address, credentials and certificates out of the settings.

    client = connect(settings())
    with explained(settings()):
        client.info()

The official client is imported with the first connection, since its import takes a fifth of a second.
"""

from __future__ import annotations

import base64
import ssl
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.clients.http import without_login
from slipway.errors import ServiceError, SettingsError
from slipway.settings import Settings
from slipway.system.files import read_regular

if TYPE_CHECKING:
    from elastic_transport import NodeConfig
    from elasticsearch import Elasticsearch

SECONDS = 30.0
_MOST_KEY = 4096  # bytes
_KNOWN = ".*security features are not enabled"  # `slipway elk setup` names it, once


def is_configured(config: Settings) -> bool:
    """Whether this environment has an Elasticsearch."""
    return bool(config.elasticsearch_url)


def connect(config: Settings, *, timeout: float = SECONDS) -> Elasticsearch:
    """Make a client; nothing is sent yet.

    Raises:
        ServiceError: no server is configured.
        SettingsError: the address, the key or the certificates cannot be used.
    """
    if not is_configured(config):
        raise ServiceError("no Elasticsearch is configured: set ELASTICSEARCH_URL, such as https://HOST:9200.")
    from elasticsearch import Elasticsearch, ElasticsearchWarning

    warnings.filterwarnings("ignore", message=_KNOWN, category=ElasticsearchWarning)
    node, key = _node(config), api_key(config)
    if key and "authorization" in node.headers:
        raise SettingsError("ELASTICSEARCH_URL has a login and there is an API key: remove one of them.")
    return Elasticsearch([node], api_key=key or None, request_timeout=timeout)


def api_key(config: Settings) -> str:
    """The API key as it is sent, encoded; empty if none is set. It may be set as ID:KEY, as Filebeat takes it.

    Raises:
        SettingsError: it is set twice, or its file cannot be read.
    """
    given, path = config.elasticsearch_api_key, config.elasticsearch_api_key_file
    if given and path:
        raise SettingsError("ELASTICSEARCH_API_KEY and ELASTICSEARCH_API_KEY_FILE are both set: unset one of them.")
    text = _read_key(path) if path else given.get_secret_value().strip() if given else ""
    return base64.b64encode(text.encode()).decode() if ":" in text else text


def _node(config: Settings) -> NodeConfig:
    from elastic_transport.client_utils import url_to_node_config

    try:
        node = url_to_node_config(config.elasticsearch_url, use_default_ports_for_scheme=True)
    except ValueError:
        raise SettingsError(
            f"ELASTICSEARCH_URL={without_login(config.elasticsearch_url)!r} is no address of a server: "
            "write https://HOST:9200, or https://USER:PASSWORD@HOST:9200."
        ) from None
    return node.replace(ssl_context=_certificates(config)) if node.scheme == "https" else node


def _certificates(config: Settings) -> ssl.SSLContext:
    """The authorities that are trusted: those of the file that is set, else the machine's own."""
    path = config.elasticsearch_ca_certs
    try:
        return ssl.create_default_context(cafile=str(path) if path else None)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"ELASTICSEARCH_CA_CERTS={str(path)!r} cannot be used ({error.strerror or error}): name a PEM file of the "
            "authority that signed the server's certificate; Elasticsearch makes its own as config/certs/http_ca.crt."
        ) from None


def _read_key(path: Path) -> str:
    try:
        text = read_regular(path, _MOST_KEY).decode("ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no key"
        raise SettingsError(
            f"ELASTICSEARCH_API_KEY_FILE={str(path)!r} cannot be read ({reason}): name the file of a key, such as "
            "`slipway elk setup --keys DIR` writes."
        ) from None
    if not text:
        raise SettingsError(f"ELASTICSEARCH_API_KEY_FILE={str(path)!r} is empty: write the API key into it.")
    return text

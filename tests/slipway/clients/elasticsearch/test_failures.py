"""What the server answers, as a sentence with what to do: a wrong key, a proxy's page, certificates, other products."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import re
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from slipway.clients.elasticsearch.connection import connect
from slipway.clients.elasticsearch.failures import explained, reason
from slipway.errors import ServiceError
from slipway.settings import settings

PRODUCT = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}
PAGE = b"<html><body><h1>Sign in</h1></body></html>"
CAUSE = b'{"type": "security_exception", "reason": "unable to authenticate"}'
DENIED = b'{"error": {"root_cause": [%b]}, "status": 401}' % CAUSE
OPENSEARCH = b'{"version": {"distribution": "opensearch", "number": "3.8.0"}}'


class Handler(BaseHTTPRequestHandler):
    status: ClassVar[int]
    content: ClassVar[bytes]
    sent: ClassVar[dict[str, str]]

    def do_GET(self):
        self.send_response(self.status)
        for name, value in {**self.sent, "Content-Length": str(len(self.content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def answering(monkeypatch):
    """`answering(status, content, headers)` starts a server, of TLS with a context, and returns its settings."""
    servers = []

    def start(status, content, headers, context=None):
        handler = type("Answering", (Handler,), {"status": status, "content": content, "sent": headers})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        scheme = "https" if context else "http"
        monkeypatch.setenv("ELASTICSEARCH_URL", f"{scheme}://127.0.0.1:{server.server_port}")
        settings.cache_clear()
        return settings()

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def message(config):
    with pytest.raises(ServiceError) as raised, explained(config):
        connect(config, timeout=5).info()
    return str(raised.value)


@pytest.mark.parametrize(
    ("status", "content", "headers", "expected"),
    [
        (401, DENIED, PRODUCT, "401: the credentials are missing, wrong or expired. Set ELASTICSEARCH_API_KEY"),
        (403, DENIED, PRODUCT, "403: unable to authenticate. Use a key or a user with this privilege"),
        (429, b'{"error": "busy"}', PRODUCT, "429: it is overloaded (busy)"),
        (500, b'{"error": {"type": "exception", "reason": "broken"}}', PRODUCT, "500: broken"),
        (200, PAGE, HTML, "something else answers, such as a proxy's page"),
        (502, PAGE, HTML, "502, and HTML in place of JSON: a proxy answers"),
        (401, PAGE, HTML, "401, and HTML in place of JSON: a proxy answers"),
        (200, PAGE, PRODUCT, "its response is not JSON"),
        (200, b"{}", {"Content-Type": "application/json"}, "something else answers"),
        (
            302,
            b"",
            {"Location": "https://login.example.com/?to=/"},
            "302: it redirects to 'https://login.example.com/?to=",
        ),
        (404, b"", PRODUCT, "404: no reason is given"),
        (
            200,
            OPENSEARCH,
            {"Content-Type": "application/json"},
            "this is OpenSearch 3.8.0, which lacks Elasticsearch's",
        ),
    ],
)
def test_a_response_is_explained(answering, status, content, headers, expected):
    assert expected in message(answering(status, content, headers))


def test_a_server_that_is_down_is_named_without_its_login(monkeypatch):
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://ann:secret@127.0.0.1:9")
    settings.cache_clear()
    found = message(settings())
    cause = "Failed to establish a new connection: [Errno 111] Connection refused"
    assert f"Elasticsearch at http://127.0.0.1:9: it cannot be reached ({cause})." in found
    assert "secret" not in found


def make_certificate(folder, *, host="127.0.0.1", days=1):
    """Return the files of a certificate that signed itself, valid until in so many days, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elasticsearch")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "ca.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "ca.crt", folder / "ca.key"


def context_of(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"days": -1}, r"is not valid any more \(.*certificate has expired.*\)\. Renew it"),
        ({"host": "127.0.0.2"}, r"is for other names \(.*not valid for '127\.0\.0\.1'.*ELASTICSEARCH_URL"),
    ],
    ids=["expired", "of another host"],
)
def test_what_is_wrong_with_a_certificate_is_named(answering, tmp_path, monkeypatch, options, expected):
    certificate = make_certificate(tmp_path, **options)
    monkeypatch.setenv("ELASTICSEARCH_CA_CERTS", str(certificate[0]))
    assert re.search(expected, message(answering(200, b"{}", PRODUCT, context_of(certificate))))


def test_a_self_signed_certificate_is_not_trusted_until_it_is_named(answering, tmp_path, monkeypatch):
    certificate = make_certificate(tmp_path)
    config = answering(200, b'{"version": {"number": "8.19.3"}}', PRODUCT, context_of(certificate))
    found = message(config)
    assert "its certificate is not trusted" in found
    assert "ELASTICSEARCH_CA_CERTS" in found
    monkeypatch.setenv("ELASTICSEARCH_CA_CERTS", str(certificate[0]))
    settings.cache_clear()
    assert connect(settings()).info()["version"]["number"] == "8.19.3"


def test_https_to_a_server_without_tls_is_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=refuse_everybody, args=(listening,), daemon=True).start()
        monkeypatch.setenv("ELASTICSEARCH_URL", f"https://127.0.0.1:{listening.getsockname()[1]}")
        settings.cache_clear()
        assert "it does not speak TLS: write http://" in message(settings())
        listening.shutdown(socket.SHUT_RDWR)


def refuse_everybody(listening):
    """Answer as an HTTP server does to what is no HTTP."""
    with contextlib.suppress(OSError):
        while True:
            with listening.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                connection.recv(65536)


def test_the_reason_of_an_error_is_on_one_line():
    assert reason({"error": {"type": "a", "reason": "one\ntwo"}}) == "one two"
    assert reason({"error": {"root_cause": [{"reason": "the cause"}], "reason": "all shards failed"}}) == "the cause"
    assert reason({"error": "text"}) == "text"

"""Adversarial request heads: methods, paths, header lines, content types, and bytes that are no head."""

from __future__ import annotations

METHODS = b"GET POST PUT DELETE PATCH HEAD OPTIONS TRACE PROPFIND QUERY".split()
PATHS = [
    *b"/ /docs /docs/ /openapi.json /livez /readyz /readyz/ /metrics /v1 /v1/ /v2 /v2/health/live".split(),
    *b"/v1/models /v1/models/ /v1/models//predict /v1/predict /v1/model".split(),
    *b"/page/page.css /page/..%2findex.html /page/../../../etc/passwd /page/%2e%2e/%2e%2e/etc/passwd".split(),
    *b"/docs/swagger-ui.css /docs/..%2f..%2f /static_content/index.html /static_content/..%2f..%2fx".split(),
    *b"/healthz /docs.json /schema.json /favicon.ico /robots.txt /.git/config /.env".split(),
    *b"// ///v1/models /./livez /v1/../livez /%6civez /livez%00 /livez%0d%0aX:1 /% /%zz /v1%2fmodels /%ff%fe".split(),
    *b"/;x /livez;x=1 /livez?x /livez#x ? * livez http://127.0.0.1/livez http://evil.example".split(),
    b"/\xc3\xa9",
    b"/" + b"a" * 8000,
    b"/" + b"a/" * 4000,
    b"/livez?" + b"x" * 8000,
]
_VALUES: dict[bytes, list[bytes]] = {
    b"x-request-id": [b"", b"a" * 129, b"a b", b"\xff", b"%0d%0aX: 1", b"ok"],
    b"traceparent": [b"", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00", b"zz", b"0" * 5000],
    b"authorization": [b"", b"Bearer", b"Bearer ", b"Basic Og==", b"Bearer \xff", b"B" * 9000],
    b"x-api-key": [b"", b"slk_x", b"\xff\xfe", b"a" * 9000],
    b"content-encoding": [b"gzip", b"identity", b"br, gzip", b"", b"\xff", b"x" * 5000],
    b"accept": [b"text/html", b"*/*;q=nan", b"", b"a/" * 2000],
    b"connection": [b"close", b"upgrade", b"keep-alive, close", b"x" * 2000],
    b"x-slipway-unit": [b"", b"\xff\xfe", b"a" * 9000],
    b"cookie": [b"a=b; " * 1000],
    b"range": [b"bytes=0-1,5-2"],
    b"if-none-match": [b"*"],
    b"forwarded": [b"for=127.0.0.1;host=evil"],
    b"x-forwarded-for": [b"1.1.1.1, " * 500],
    b"x-http-method-override": [b"DELETE"],
    b"origin": [b"null"],
    b"te": [b"trailers"],
    b"expect": [b"200-maybe"],
}
WEBSOCKET = b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: " + b"A" * 24
HTTP2 = b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__"
HEADERS = [
    *(name + b": " + value for name, values in _VALUES.items() for value in values),
    WEBSOCKET,
    HTTP2,
    b"\r\n".join(b"x-%d: a" % n for n in range(1000)),
]
BROKEN_HEADERS = [
    *(b"no colon", b": nothing", b"a b: c", b"x:\0y", b"x\0: y", b" folded: x", b"\xff: x", b"x: a\nb: c"),
    *(b"content-length: " + value for value in (b"-1", b"+5", b"0x5", b"5, 5", b"", b"9" * 20, b"5 5")),
    *(b"transfer-encoding: " + value for value in (b"gzip", b"chunked, x", b"xchunked", b"\x0bchunked")),
    b"x: y\r\n folded",
    b"content-length: 1\r\ncontent-length: 2",
    b"content-length: 2\r\ntransfer-encoding: chunked",
    b"transfer-encoding: chunked\r\ntransfer-encoding: x",
    b"x: " + b"a" * 300_000,
    b"\r\n".join(b"x-%d: a" % n for n in range(30_000)),
]
CONTENT_TYPES = [
    *b"text/plain application/xml a , / text/html multipart/form-data application/octet-stream".split(),
    *b"application/x-www-form-urlencoded application/vnd.api+json application/JSON;;".split(),
    *(b"application/json" + more for more in (b"", b"; charset=utf-16", b"; charset=\xff", b", text/plain")),
    b"",
    b"a" * 9000,
]
STRANGERS = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,  # TLS
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"EHLO x\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.2\r\nhost: localhost\r\n\r\n",
    b"get / http/1.1\r\n\r\n",
    b"GET  / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\nhost: localhost\n\n",
    b"GET / HTTP/1.1\rhost: localhost\r\r",
    b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"\0" * 1000,
    b"A" * 100_000,
]

"""Invalid HTTP below the body (lengths, chunks, headers, paths, encodings) on a real server, which stays available."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import time

import pytest

from benchmarks.fuzz.campaign import Answer, faults_of, read
from benchmarks.fuzz.headers import WEBSOCKET
from bentos.server.protocol import MOST_HEAD_BYTES
from tests.bentos.server.processes import Server
from tests.support import bundles

BODY = json.dumps({"instances": bundles.ROWS["loans"][:1]}).encode()
POST = b"POST /v1/models/loans/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
WHOLE = POST + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
MEGABYTES = 100


def answers(server: Server, *parts: bytes) -> list[Answer]:
    """Return all answers to the bytes sent on one connection, until the server closes it."""
    found = []
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        file = connection.makefile("rb")
        while (answer := read(file)) is not None:
            found.append(answer)
    return found


def chunked(*chunks: bytes) -> bytes:
    return POST + b"transfer-encoding: chunked\r\n\r\n" + b"".join(chunks)


def get(path: bytes, more: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nhost: localhost\r\n%bconnection: close\r\n\r\n" % (path, more)


BROKEN = {
    "two lengths": POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "a length and chunks": POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    "a length in words": POST + b"content-length: two\r\n\r\n{}",
    "a negative length": POST + b"content-length: -1\r\n\r\n{}",
    "a length that is a list": POST + b"content-length: 2, 2\r\n\r\n{}",
    "a length of more than 64 bits": POST + b"content-length: 99999999999999999999\r\n\r\n{}",
    "a chunk without its size": chunked(BODY),
    "a chunk longer than its size": chunked(b"2\r\nabcdef\r\n0\r\n\r\n"),
    "a chunk of a negative size": chunked(b"-2\r\nab\r\n0\r\n\r\n"),
    "a chunk of more than 64 bits": chunked(b"FFFFFFFFFFFFFFFFF\r\nab\r\n0\r\n\r\n"),
    "an unknown transfer encoding": POST + b"transfer-encoding: gzip\r\n\r\n" + BODY,
    "a header without a colon": POST + b"nothing\r\n\r\n",
    "a header without a name": POST + b": nothing\r\n\r\n",
    "NUL in a header": POST + b"x: a\0b\r\n\r\n",
    "a space in a header's name": POST + b"a b: c\r\n\r\n",
    "bytes that are no path": b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "no path": b"GET http://x HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "an unknown method": b"BREW /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a tunnel": b"CONNECT x:443 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "an unknown version": b"GET /livez HTTP/9.9\r\nhost: localhost\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
    "no HTTP at all": b"SSH-2.0-OpenSSH_9.6\r\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_invalid_http_is_refused_and_the_connection_closed(server, data):
    (answer,) = answers(server, data)
    assert answer.status == 400
    assert not faults_of(answer)
    assert server.predict("loans", **bundles.ROWS["loans"][0])[0] == 200


def test_bytes_after_the_end_of_a_body_are_no_request(server):
    found = answers(server, POST + b"content-length: %d\r\n\r\n" % (len(BODY) - 2) + BODY)
    assert {answer.status for answer in found} == {400}
    assert b"not valid HTTP/1.1" in found[-1].body
    assert not faults_of(found[-1])


def test_a_body_in_chunks_is_answered_whatever_their_sizes(server):
    for size in (1, 7, 10_000):
        parts = [BODY[at : at + size] for at in range(0, len(BODY), size)]
        chunks = [b"%x;extension=1\r\n%b\r\n" % (len(part), part) for part in parts]
        head = POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        (answer,) = answers(server, head, *chunks, b"0\r\ntrailer: x\r\n\r\n")
        assert answer.status == 200


def test_many_requests_in_one_write_are_answered_in_their_order(server):
    found = answers(server, WHOLE * 3 + get(b"/nope").replace(b"connection: close\r\n", b"") + WHOLE + get(b"/livez"))
    assert [answer.status for answer in found] == [200, 200, 200, 404, 200, 200]


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"identity, gzip", b"x" * 1000])
def test_a_compressed_bomb_is_not_unpacked(server, encoding):
    bomb = gzip.compress(b"\0" * 20_000_000)
    head = POST + b"connection: close\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n" % (encoding, len(bomb))
    (answer,) = answers(server, head + bomb)
    assert answer.status == 415
    assert not faults_of(answer)


def test_a_hundred_megabytes_are_refused_and_not_held_in_memory(server):
    part = b" " * (1 << 20)
    head = POST + b"content-length: %d\r\n\r\n" % (MEGABYTES << 20)
    refused, served = answers(server, head, *[part] * MEGABYTES, get(b"/livez"))
    assert (refused.status, served.status) == (413, 200)
    chunk = b"%x\r\n%b\r\n" % (len(part), part)
    refused, served = answers(server, chunked(), *[chunk] * MEGABYTES, b"0\r\n\r\n", get(b"/livez"))
    assert (refused.status, served.status) == (413, 200)
    assert not faults_of(refused)


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["at once", "after a request"])
@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nx: " + b"a" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 20_000,
        b"GET /" + b"a" * 70_000,
    ],
    ids=["a long header", "many headers", "a long path"],
)
def test_headers_without_end_are_refused(server, before, head):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    with connection, connection.makefile("rb") as file:
        if before:
            connection.sendall(before)
            assert read(file).status == 200
        connection.sendall(head[: MOST_HEAD_BYTES + 1])  # a byte more would come after the refusal, and undo it
        refused = read(file)
    assert refused.status == 431
    assert not faults_of(refused)
    assert server.get("/readyz")[0] == 200


@pytest.mark.parametrize("head", [POST, b"POST /livez HTTP/1.1\r\n"], ids=["awaited", "of no use any more"])
def test_a_trailer_without_end_is_refused(server, head):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    with connection, connection.makefile("rb") as file:
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n")
        time.sleep(0.2)  # so that the rest is a read of its own
        connection.sendall((b"0\r\nx: " + b"a" * 70_000)[: MOST_HEAD_BYTES + 1])
        found = list(iter(lambda: read(file), None))
    assert found[-1].status == 431
    assert not faults_of(found[-1])


def test_a_websocket_upgrade_is_answered_in_http(server):
    (answer,) = answers(server, b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n%b\r\n\r\n" % WEBSOCKET)
    assert answer.status == 200
    (refused,) = answers(server, POST + b"%b\r\ncontent-length: %d\r\n\r\n%b" % (WEBSOCKET, len(BODY), BODY))
    assert refused.status == 400
    assert b"without `Upgrade`" in refused.body
    assert not faults_of(refused)


JAVA = """
import java.net.URI; import java.net.http.*;
public class Ask { public static void main(String[] given) throws Exception {
  var client = HttpClient.newHttpClient();
  for (int n = 0; n < 3; n++) {
    var request = HttpRequest.newBuilder(URI.create(given[0])).header("Content-Type", "application/json")
      .POST(HttpRequest.BodyPublishers.ofString(given[1])).build();
    System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
  } } }
"""


@pytest.mark.slow
def test_javas_client_is_answered_as_it_comes(server, needs, tmp_path):
    """It asks for HTTP/2 with every request over plain HTTP, until it is told otherwise."""
    (tmp_path / "Ask.java").write_text(JAVA)
    url = f"http://127.0.0.1:{server.port}/v1/predict"
    quick = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
    asked = subprocess.run([needs("java"), *quick, tmp_path / "Ask.java", url, BODY.decode()], capture_output=True)
    assert asked.stdout.split() == [b"200"] * 3, asked.stderr.decode()


def test_curl_that_asks_for_http2_is_answered(server, needs):
    asked = [needs("curl"), "-s", "--http2", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code} %{num_connects} "]
    sent = ["-H", "Content-Type: application/json", "--data-binary", BODY, f"http://127.0.0.1:{server.port}/v1/predict"]
    ran = subprocess.run([*asked, *sent, "--next", *asked[1:], *sent], capture_output=True)
    assert ran.stdout.split() == [b"200", b"1", b"200", b"0"], "one connection"


NOWHERE = [
    b"/v1%2fmodels",
    b"/v1/models%2Floans",
    b"/v1/models/loans%2fschema",
    b"/v1/models/..",
    b"/v1/models/../models",
    b"/v1/%2e%2e/livez",
    b"/page/..%2findex.html",
    b"/page/../../../../etc/passwd",
    b"/page/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    b"/docs/../livez",
    b"/docs/..%5c..%5cx",
    b"/livez%00",
    b"/livez%0a",
    b"/metrics%0A",
    b"/livez%0d%0ax:%201",
    b"/livez;x",
    b"/livez/",
    b"/readyz/",
    b"//livez",
    b"/%ff%fe",
    b"/%c3%a9",
    b"/.env",
]


@pytest.mark.parametrize("path", NOWHERE)
def test_no_other_spelling_of_a_path_leads_anywhere(server, path):
    (answer,) = answers(server, get(path))
    assert answer.status == 404
    assert not faults_of(answer)
    assert b"location" not in answer.headers


@pytest.mark.parametrize("path", [b"/v1/models/loans/predict", b"/v1/models", b"/livez", b"/metrics", b"/healthz"])
@pytest.mark.parametrize("method", [b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PROPFIND"])
def test_a_wrong_method_is_refused_with_the_allowed_ones(server, method, path):
    (answer,) = answers(server, get(path).replace(b"GET", method, 1))
    assert answer.status == 405
    assert answer.headers[b"allow"]
    assert not faults_of(answer)

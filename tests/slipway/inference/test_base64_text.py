"""Base64 as command lines, browsers and libraries write it, in bodies and rows."""

from __future__ import annotations

import base64
import json
import textwrap

import pytest

from slipway.errors import InputError
from slipway.inference.base64_text import standard, standard_body, standard_rows
from slipway.inference.instance_parser import EncodedImage, InstanceParser
from tests.support import bundles

FILE = bundles.png(seed=0) + b"\xfb\xef\xbe\xff" * 3  # whose text has a plus and a slash, and needs padding
TEXT = base64.b64encode(FILE).decode()
WRITTEN = {
    "standard": TEXT,
    "`base64 FILE`, lines of 76": "\n".join(textwrap.wrap(TEXT, 76)) + "\n",
    "of Windows": "\r\n".join(textwrap.wrap(TEXT, 64)),
    "of MIME": base64.encodebytes(FILE).decode(),
    "a data URI": f"data:image/png;base64,{TEXT}",
    "a data URI with a parameter": f"data:image/png;name=a.png;base64,{TEXT}",
    "a data URI in capitals, cut into lines": "DATA:image/png;BASE64,\n" + "\n".join(textwrap.wrap(TEXT, 76)),
    "without padding": TEXT.rstrip("="),
    "of URLs": base64.urlsafe_b64encode(FILE).decode(),
    "of URLs, without padding": base64.urlsafe_b64encode(FILE).decode().rstrip("="),
    "with spaces around": f"  {TEXT}\t",
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("form", ["object", "array"])
def test_a_request_is_read_whatever_wrote_its_base64(written: str, form: str) -> None:
    assert TEXT.rstrip("=") != TEXT
    assert {"+", "/"} <= {*TEXT}
    image = {"b64": written}
    body = json.dumps({"instances": [{"image": image} if form == "object" else [image]], "keys": ["mine"]}).encode()
    found = InstanceParser(bundles.IMAGES).request(body, 10)
    assert (found.instances, found.keys) == ([{"image": EncodedImage(FILE)}], ["mine"])


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_rows_of_a_file_are_read_alike(written: str) -> None:
    assert InstanceParser(bundles.IMAGES).rows([{"image": {"b64": written}}]) == [{"image": EncodedImage(FILE)}]


REFUSED = {
    "http://example.com/a.png": r"':' is no character of base64",
    "AAAA%3D": r"'%' is no character of base64",
    "AA=A": r"'=' is no character of base64",
    "data:image/png,AAAA": r"':' is no character of base64",
    "/home/ann/photo.png": r"'\.' is no character of base64",
    "ä": r"'ä' is no character of base64",
    "AAA AAAA": r"a blank within a line: a form makes one of each `\+`",
    "AAAAA": r"cut short: it has 5 characters",
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=REFUSED)
def test_what_is_no_base64_is_refused_with_the_reason_the_place_and_what_to_do(text: str, reason: str) -> None:
    body = json.dumps({"instances": [{"image": {"b64": TEXT}}, {"image": {"b64": text}}]}).encode()
    parser = InstanceParser(bundles.IMAGES)
    for read in (lambda: parser.request(body, 10), lambda: parser.rows(json.loads(body)["instances"])):
        with pytest.raises(InputError, match=reason) as refused:
            read()
        assert refused.value.place == "instances[1].image.b64"
        assert "`base64 FILE`" in str(refused.value)


@pytest.mark.parametrize("rest", [b', "keys": ' + b"[" * 5000, b"", b', "keys": 1e', b', "instances": 7}'])
def test_a_body_that_cannot_be_rewritten_is_refused_as_it_is(rest: bytes) -> None:
    body = b'{"instances": [{"image": {"b64": "A"}}]' + rest
    with pytest.raises(InputError):
        InstanceParser(bundles.IMAGES).request(body, 10)


def test_nothing_but_the_images_is_changed() -> None:
    rows = [
        {"image": {"b64": "AAA"}, "note": {"b64": 7}, "n": 1.0, "big": 2**60, "url": "a-b_c"},
        [1, {"b64": "AA"}],
        5,
    ]
    assert standard_rows(rows) == [{**rows[0], "image": {"b64": "AAA="}}, [1, {"b64": "AA=="}], 5]
    assert rows[0]["image"] == {"b64": "AAA"}
    body = b'{"keys":["a-b"],"instances":[{"image":{"b64":"A-_"},"n":1.0,"i":18446744073709551615}]}'
    assert json.loads(standard_body(body)) == json.loads(body.replace(b"A-_", b"A+/="))
    assert standard("") == ""

"""Unusual but readable images are answered correctly; others are refused, and the next request is answered."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from benchmarks.fuzz import images
from tests.support import bundles

pytestmark = pytest.mark.slow

PATH = "/v1/models/shapes/predict"
FORM = {"content-type": "multipart/form-data; boundary=fuzz"}
READABLE = {"broken EXIF", "an unknown turn", "without its end"}  # what Pillow can do without
TOO_LARGE = {"40,000 x 40,000", "40,000 x 40,000 BMP", "2^31 x 2^31", "less than no size", "49 million pixels"}


def as_json(client, data: bytes):
    return client.predict({"image": {"b64": base64.b64encode(data).decode()}}, usecase="shapes")


def as_form(client, data: bytes):
    return client.post(PATH, images.part(data) + b"--fuzz--\r\n", **FORM)


@pytest.mark.parametrize("send", [as_json, as_form])
@pytest.mark.parametrize("name", images.valid())
def test_an_image_of_any_mode_or_form_is_answered(start_client, name, send):
    client = start_client(bundles.IMAGES)
    assert send(client, images.valid()[name]).status == 200
    assert len(client.events("shapes")) == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("send", [as_json, as_form])
@pytest.mark.parametrize("name", images.hostile())
def test_a_hostile_image_is_refused_with_its_place_and_the_next_is_answered(start_client, name, send):
    client = start_client(bundles.IMAGES)
    answer = send(client, images.hostile()[name])
    if name in READABLE:
        assert answer.status == 200
        return
    assert answer.status == (413 if name in TOO_LARGE else 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["place"] == "instances[0].image"
    assert client.events("shapes") == []
    assert as_json(client, bundles.png()).status == 200


@pytest.mark.parametrize(
    ("name", "brightness"),
    [
        ("16 bit", 40_000 / 65_535),  # scaled, not cut off at 255
        ("RGBA PNG", 1.0),  # transparent: on white
        ("LA PNG", 1.0),
        ("CMYK", 1.0),  # no ink
        ("animated PNG", 76 / 255),  # its first frame, which is red
        ("animated WebP", 76 / 255),
        ("a web page behind it", 76 / 255),
        ("an archive behind it", 76 / 255),
    ],
)
def test_what_the_network_gets_is_what_a_person_sees(start_client, name, brightness):
    client = start_client(bundles.IMAGES)
    as_json(client, images.valid()[name])
    (event,) = client.events("shapes")
    assert event["slipway"]["features"]["image"]["brightness"] == pytest.approx(brightness, abs=0.01)


STORED = {  # how an upright image lies in a file of each orientation
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize(("orientation", "transposition"), STORED.items())
def test_an_image_is_rotated_by_its_exif_orientation(start_client, orientation, transposition):
    client = start_client(bundles.IMAGES)
    upright = Image.open(io.BytesIO(bundles.png()))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if transposition is None else upright.transpose(transposition)
    as_json(client, bundles.png())
    as_json(client, images.saved(stored, "PNG", exif=exif))
    first, second = (event["slipway"]["features"]["image"]["sha256"] for event in client.events("shapes"))
    assert first == second

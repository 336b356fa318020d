"""A request that nobody waits for any more is worked on no further than to its next image or row."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import pytest

from bentos.prediction import pipeline
from slipway.inference import images
from tests.support import bundles

IMAGE = {"image": {"b64": base64.b64encode(bundles.png()).decode()}}
PRIVATE = {**bundles.ROWS["loans"][0], "income": 2000, "email": "a", "nation": "b"}


def slowly(function: Callable, done: list[float]) -> Callable:
    def slow(*arguments: object) -> object:
        time.sleep(0.05)
        done.append(time.monotonic())
        return function(*arguments)

    return slow


@pytest.mark.alone
@pytest.mark.parametrize("step", ["images", "private rows"])
def test_a_late_request_ends_at_its_next_image_or_row(start_client, monkeypatch, step):
    done: list[float] = []
    if step == "images":
        monkeypatch.setattr(images, "decode_image", slowly(images.decode_image, done))
        schema, rows = bundles.IMAGES, [IMAGE] * 60
    else:
        monkeypatch.setattr(pipeline, "mask", slowly(pipeline.mask, done))
        schema, rows = bundles.PRIVATE, [PRIVATE] * 60
    client = start_client(schema, serving={"deadline_ms": 300})
    client.worker.served[schema.usecase].live.inline_bytes = -1
    began = time.monotonic()
    answer = client.predict(*rows, usecase=schema.usecase)
    assert answer.status == 503
    assert "within 300 ms" in answer.json["detail"]
    time.sleep(0.5)
    assert 1 <= len(done) < 20
    assert max(done) - began < 1
    assert client.events(schema.usecase) == []
    assert client.worker.admission.admitted == 0


def test_the_pixels_of_all_images_of_a_request_are_bounded(start_client, monkeypatch):
    monkeypatch.setenv("SLIPWAY_MAX_REQUEST_PIXELS", str(3 * 8 * 8))
    client = start_client(bundles.IMAGES)
    assert client.predict(*[IMAGE] * 3, usecase="shapes").status == 200
    answer = client.predict(*[IMAGE] * 4, usecase="shapes")
    assert (answer.status, answer.json["place"]) == (413, "instances[3].image")
    part = b'--B\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%b\r\n' % bundles.png()
    form = {"content-type": "multipart/form-data; boundary=B"}
    answer = client.post("/v1/models/shapes/predict", part * 4 + b"--B--\r\n", **form)
    assert (answer.status, answer.json["place"]) == (413, "instances[3].image")

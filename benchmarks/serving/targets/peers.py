"""What Slipway's serving is measured against: the same network behind servers without key, limit, log or metrics.

`uvicorn --factory benchmarks.serving.targets.peers:starlette` (or `fastapi`);
`bentoml serve benchmarks.serving.targets.peers:Bento`; `python -m benchmarks.serving.targets.peers PORT` runs Flask.
BENCHMARK_ONNX is the network's file.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import bentoml
import numpy as np
import onnxruntime
import orjson
from fastapi import Body, FastAPI
from fastapi.responses import ORJSONResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.serving.targets.network import CLASSES, FEATURES, layers


class Network:
    """Predictor without anything else: rows in, predictions out."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = os.environ["BENCHMARK_ONNX"]
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(self, instances: list[dict[str, float]]) -> list[dict[str, Any]]:
        numbers = np.array([list(row.values()) for row in instances], dtype=np.float32)
        return shaped(self._session.run(None, {"numbers": numbers})[0])


def shaped(outputs: np.ndarray) -> list[dict[str, Any]]:
    rows = outputs.tolist()
    return [{"label": CLASSES[yes >= 0.5], "score": yes, "probabilities": {"no": no, "yes": yes}} for no, yes in rows]


def starlette() -> Starlette:
    network = Network()

    async def predict(request: Request) -> Response:
        instances = orjson.loads(await request.body())["instances"]
        content = orjson.dumps({"predictions": network.predict(instances)})
        return Response(content, media_type="application/json")

    return Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/livez", _alive)])


async def _alive(request: Request) -> Response:
    return Response(b"ok")


def fastapi() -> FastAPI:
    app, network = FastAPI(), Network()

    @app.post("/predict", response_class=ORJSONResponse)
    async def predict(instances: Annotated[list[dict[str, float]], Body(embed=True)]) -> Any:
        return ORJSONResponse({"predictions": network.predict(instances)})

    app.add_route("/livez", _alive)
    return app


@bentoml.service(metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Bento:
    """Service of the same network behind BentoML's own API."""

    def __init__(self) -> None:
        self._network = Network()

    @bentoml.api
    async def predict(self, instances: list[dict[str, float]]) -> dict[str, Any]:
        return {"predictions": self._network.predict(instances)}


def run_flask(port: int) -> None:
    """Run the usual tutorial: Keras's `model.predict` in a route of Flask's own server."""
    import keras
    from flask import Flask, request

    model = keras.Sequential([keras.Input((FEATURES,))])
    for index, (weights, biases) in enumerate(layers()):
        layer = keras.layers.Dense(len(biases), activation="softmax" if index == 2 else "relu")
        model.add(layer)
        layer.set_weights([weights, biases])
    app = Flask("peer")

    @app.post("/predict")
    def predict() -> dict[str, Any]:
        numbers = np.array([list(row.values()) for row in request.json["instances"]], dtype=np.float32)
        return {"predictions": shaped(model.predict(numbers, verbose=0))}

    @app.get("/livez")
    def alive() -> str:
        return "ok"

    app.run(port=port)


if __name__ == "__main__":
    run_flask(int(sys.argv[1]))

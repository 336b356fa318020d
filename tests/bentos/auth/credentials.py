"""Requests with a credential, for tests of authorization."""

from __future__ import annotations

from typing import Any

ROW = {"age": 30, "visits": 3, "job": "nurse", "member": True}


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def predict(client: Any, **headers: str) -> Any:
    return client.post("/v1/models/loans/predict", {"instances": [ROW]}, **headers)

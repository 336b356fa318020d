"""Request of a webhook: its body, received and decoded within limits, and the problem document of a rejection."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from slipway.contracts.bundle import json_limits

T = TypeVar("T")


class WebhookError(Exception):
    """Rejection of a whole message, with its HTTP status."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}


async def read_body(request: Request, most_bytes: int, seconds: float, remedy: str) -> bytes:
    """Receive the body; `remedy` says what to do about one that is too large.

    Raises:
        WebhookError: 413, or 408 for one that is not complete in time.
    """
    content = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > most_bytes:
                    large = f"A message has at most {most_bytes:,} bytes: {remedy}."
                    raise WebhookError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, large, {"Connection": "close"})
    except TimeoutError:
        late = f"The message did not arrive within {seconds:g} s."
        raise WebhookError(HTTPStatus.REQUEST_TIMEOUT, late, {"Connection": "close"}) from None
    except ClientDisconnect:
        raise WebhookError(HTTPStatus.BAD_REQUEST, "The client disconnected before the message was complete.") from None
    return bytes(content)


def decode(content: bytes, type: type[T], sender: str) -> T:
    """Parse a message.

    Raises:
        WebhookError: 400 for one that is not JSON or too deep, 422 for one that is of another type.
    """
    if wrong := json_limits.problem(content):
        raise WebhookError(HTTPStatus.BAD_REQUEST, f"The message is rejected: {wrong}.")
    try:
        return msgspec.json.decode(content, type=type)
    except msgspec.ValidationError as error:
        raise WebhookError(HTTPStatus.UNPROCESSABLE_ENTITY, f"This is no message of {sender}: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise WebhookError(HTTPStatus.BAD_REQUEST, "The message is not JSON.") from None


def problem_response(problem: WebhookError) -> Response:
    body = {"title": problem.status.phrase, "status": problem.status, "detail": str(problem)}
    return JSONResponse(body, problem.status, problem.headers, media_type="application/problem+json")

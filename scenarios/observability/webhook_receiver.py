"""Receiver of Alertmanager's webhooks, which keeps what was delivered to whom, and when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scenarios.harness.prometheus_client import SHORTEST

FIRING, RESOLVED = "firing", "resolved"
_RECEIVERS = ("WEBHOOK_URL", "WATCHDOG_URL", "RETRAINING_URL")


@dataclass(frozen=True)
class Delivery:
    """One alert of a delivered message; `receiver` is Alertmanager's, `at` when it arrived, in seconds since 1970."""

    at: float
    receiver: str
    labels: Mapping[str, str]
    status: str

    @property
    def alert(self) -> str:
        """The name of the alert."""
        return self.labels["alertname"]


class WebhookReceiver:
    """HTTP server that accepts every message until the end of the `with` block."""

    def __init__(self) -> None:
        self._deliveries: list[Delivery] = []
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="webhook-receiver", daemon=True)

    @property
    def url(self) -> str:
        """The address that messages are sent to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def deliveries(self, alert: str, status: str, since: float) -> list[Delivery]:
        """List the deliveries of an alert since then."""
        with self._arrived:
            return self._found(alert, status, since)

    def wait(self, alert: str, status: str, since: float, seconds: float) -> bool:
        """Wait until the alert is delivered, and return whether it was within that time."""
        with self._arrived:
            return self._arrived.wait_for(lambda: bool(self._found(alert, status, since)), seconds)

    def accept(self, message: dict[str, Any]) -> None:
        """Keep the alerts of a message; of burn rates those by their shortest window: longer ones last for hours."""
        now = time.time()
        found = [
            Delivery(now, message["receiver"], alert["labels"], alert["status"])
            for alert in message["alerts"]
            if alert["labels"].get("window", SHORTEST) == SHORTEST
        ]
        with self._arrived:
            self._deliveries += found
            self._arrived.notify_all()

    def _found(self, alert: str, status: str, since: float) -> list[Delivery]:
        return [one for one in self._deliveries if (one.alert, one.status) == (alert, status) and one.at >= since]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        accept = self.accept

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                accept(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *_: object) -> None:
                pass

        return Handler


def deliver_to(url: str, secret: Path) -> Mapping[str, str]:
    """Return the variables with which Alertmanager delivers everything to one webhook."""
    names = {f"ALERTMANAGER_{name}": url for name in _RECEIVERS}
    return {**names, "ALERTMANAGER_RETRAINING_SECRET_FILE": str(secret)}

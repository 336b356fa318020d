"""No secret is in a line, whether it is known or only looks like one; what is none stays."""

from __future__ import annotations

import logging

import pytest

from slipway import api_keys
from slipway.ecs_logging import RedactingFilter, Redaction
from slipway.settings import Settings

SECRET = "planted-secret-0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"authorization: bearer {SECRET}, next",
        f"Basic {SECRET}",
        f"ApiKey {SECRET}",
        f"http://mlflow:{SECRET}@mlflow:5000/api",
        f"redis://:{SECRET}@redis:6379/0",
        f"POST /?token={SECRET}&x=1",
        f"password={SECRET}",
        f"the key {api_keys.PREFIX}{SECRET} is unknown",
        f"eyJhbGciOi.{SECRET}.{SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    assert SECRET not in Redaction([])(text)


@pytest.mark.parametrize(
    "text",
    [
        "The bearer token is missing or is not the one of SLIPWAY_ALERT_SECRET.",
        "http://127.0.0.1:5000/api does not answer",
        "basic-auth has no default password",
        "OAuth 2 bearer credentials are not configured",
        "2026-11-29T16:00:00Z 12:30:00 a:b@c",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert Redaction([])(text) == text


def test_the_secrets_of_settings_and_environment_are_hidden_wherever_they_are() -> None:
    config = Settings(alert_secret=SECRET)  # type: ignore[arg-type]
    environment = {
        "MLFLOW_TRACKING_PASSWORD": "of-mlflow-0123",
        "PREFECT_API_AUTH_STRING": "slipway:of-prefect-0123",
        "AWS_SECRET_ACCESS_KEY": "of-aws/0123+=",
        "SLIPWAY_SIGNING_KEY": "/etc/slipway/signing.pem",
        "HOME": "/home/ann-of-slipway",
    }
    redaction = Redaction.of(config, environment)
    hidden = [SECRET, "of-mlflow-0123", "of-prefect-0123", "of-aws/0123+="]
    text = redaction(" and ".join([*hidden, "/etc/slipway/signing.pem", "/home/ann-of-slipway"]))
    assert not [secret for secret in hidden if secret in text]
    assert text.endswith("/etc/slipway/signing.pem and /home/ann-of-slipway")


def test_a_short_value_hides_no_ordinary_word() -> None:
    assert Redaction(["a", "", "the"])("a line of the log") == "a line of the log"


def test_every_text_of_a_document_is_redacted() -> None:
    redacted = Redaction([SECRET]).fields({"a": SECRET, "b": {"c": [f"x {SECRET}", 1, None]}, "d": OSError(SECRET)})
    assert redacted == {"a": "[hidden]", "b": {"c": ["x [hidden]", 1, None]}, "d": "[hidden]"}


def test_a_handler_of_a_library_gets_message_and_traceback_redacted() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "it was %s", (SECRET,), (type(error), error, None))
    assert RedactingFilter(Redaction([SECRET])).filter(record)
    assert SECRET not in logging.Formatter().format(record)
    assert record.getMessage() == "it was [hidden]"

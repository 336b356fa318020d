"""No secret is in a line, whether it is known or only looks like one; what is none stays."""

from __future__ import annotations

import logging
import time

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
        f"rediss://:{SECRET}@at@redis",
        f"password={SECRET}",
        f"mlflow_password='{SECRET}'",
        f'{{"password": "{SECRET}"}}',
        f"{{'api_key': '{SECRET}'}}",
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
        "http://127.0.0.1:5000/api does not respond",
        "basic-auth has no default password",
        "OAuth 2 bearer credentials are not configured",
        "2026-11-29T16:00:00Z 12:30:00 a:b@c",
        "the password: set SLIPWAY_MASK_KEY",
        "http://a:5000/b, http://c:5000/d@e",
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


def test_a_secret_is_hidden_whole_where_it_only_begins_like_a_shorter_one() -> None:
    assert Redaction(["abc&planted"])("password=abc&planted") == "password=[hidden]"
    assert Redaction(["planted-1", "planted-12"])("planted-12") == "[hidden]"


@pytest.mark.parametrize("part", ["://a:", "a:", "-eyJ", "eyJa.", "bearer ", "password=a ", "x", "://"])
def test_no_text_takes_long_and_a_very_long_one_keeps_both_ends(part: str) -> None:
    redaction = Redaction([SECRET])
    begun = time.process_time()
    redaction("://" + part * (32_000 // len(part) - 1))
    found = redaction("begin " + part * (10_000_000 // len(part)) + " end")
    assert time.process_time() - begun < 0.5
    assert found.startswith("begin") and found.endswith("end") and len(found) < 33_000


@pytest.mark.parametrize("at", [*range(23_970, 24_030, 7), *range(47_970, 48_030, 7)])
def test_a_secret_at_a_cut_is_hidden_whole(at: int) -> None:
    """Else its beginning would stay, which is most of it."""
    for text in ("x" * at + SECRET + "x" * 90_000, "x" * 90_000 + SECRET + "x" * at):
        assert "planted" not in Redaction([SECRET])(text) and "456789" not in Redaction([SECRET])(text)


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

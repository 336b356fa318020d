"""Redaction: what must be in no log line is replaced, whoever wrote the line.

Known secrets are those of the settings and of the libraries' own variables. What only looks like one (a bearer token,
a login in a URL, an API key) is replaced, too, since it may be a caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from slipway import api_keys
from slipway.settings import PREFIX, Settings

HIDDEN = "[hidden]"
_LEAST = 8  # characters: a shorter value is found in ordinary words
_SECRET_NAME = re.compile(r"(PASSWORD|SECRET|TOKEN|AUTH_STRING|API_KEY|ACCESS_KEY|ENCRYPTION_KEY)$")
# Each takes time in proportion to a text's length, whoever wrote the text.
_LOOKS_SECRET = re.compile(
    "|".join(
        [
            rf"\b{api_keys.PREFIX}[A-Za-z0-9_-]{{{_LEAST},}}",
            r"(?<=://)[^\s/@\"':]*:[^\s/\"']+(?=@)",
            # with a digit, which "bearer credentials" lacks
            rf"(?i:(?<=\bbearer )|(?<=\bbasic )|(?<=\bapikey ))(?=\S*[0-9=])[A-Za-z0-9._~+/=-]{{{_LEAST},}}",
            r"(?P<kept>(?i:password|secret|token|api_?key|signature)(?:=[\"']?|[\"']\s?:\s?[\"']))[^\s&\"',;]+",
            r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+",  # a JSON Web Token
        ]
    )
)
# A person reads no longer text, and Elasticsearch takes none as one term. The reason of a traceback is at its end.
_FIRST, _LAST = 24_000, 8_000


class Redaction:
    """Replaces secrets in texts, and the middle of a text that is very long.

    >>> Redaction([])("Authorization: Bearer 0123456789")
    'Authorization: Bearer [hidden]'
    """

    def __init__(self, secrets: list[str]) -> None:
        longest_first = sorted({secret for secret in secrets if len(secret) >= _LEAST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    @classmethod
    def of(cls, config: Settings, environment: Mapping[str, str]) -> Redaction:
        """Make the redaction of a process, with the secrets of its settings and of its environment."""
        return cls(known_secrets(config, environment))

    def __call__(self, text: str) -> str:
        if len(text) <= _FIRST + _LAST:
            return self._hide(text)
        # twice as much as is kept, so that no secret is cut, and then no longer found
        first, last = self._hide(text[: 2 * _FIRST])[:_FIRST], self._hide(text[-2 * _LAST :])[-_LAST:]
        return f"{first} … ({len(text):,} characters in all) … {last}"

    def fields(self, value: Any) -> Any:
        """Return a document with every text in it redacted; names of fields are our own."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {name: self.fields(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.fields(inner) for inner in value]
        return value if value is None or isinstance(value, int | float) else self(str(value))

    def _hide(self, text: str) -> str:
        return _LOOKS_SECRET.sub(rf"\g<kept>{HIDDEN}", self._known.sub(HIDDEN, text))


def known_secrets(config: Settings, environment: Mapping[str, str]) -> list[str]:
    """List the secrets of the settings and of the environment that are too long to be an ordinary word."""
    found = {*_of_settings(config), *_of_environment(environment)}
    return sorted(secret for secret in found if len(secret) >= _LEAST)


def _of_settings(config: Settings) -> Iterator[str]:
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()


def _of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the libraries' secrets; of a login `USER:PASSWORD`, the password as well."""
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and not name.startswith(PREFIX):
            yield value
            yield value.partition(":")[2]

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
_LOOKS_SECRET = (  # with a digit, which "bearer credentials" lacks
    rf"\b{api_keys.PREFIX}[A-Za-z0-9_-]{{{_LEAST},}}",
    r"(?<=://)[^\s/@\"']*:[^\s/@\"']+(?=@)",
    rf"(?i:(?<=\bbearer )|(?<=\bbasic )|(?<=\bapikey ))(?=\S*[0-9=])[A-Za-z0-9._~+/=-]{{{_LEAST},}}",
    r"(?i:(?<=\bpassword=)|(?<=\bsecret=)|(?<=\btoken=)|(?<=\bapi_key=)|(?<=\bsignature=))[^\s&\"',;]+",
    r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+",  # a JSON Web Token
)


class Redaction:
    """Replaces secrets in texts.

    >>> Redaction([])("Authorization: Bearer 0123456789")
    'Authorization: Bearer [hidden]'
    """

    def __init__(self, secrets: list[str]) -> None:
        longest_first = sorted({secret for secret in secrets if len(secret) >= _LEAST}, key=len, reverse=True)
        self._pattern = re.compile("|".join([*map(re.escape, longest_first), *_LOOKS_SECRET]))

    @classmethod
    def of(cls, config: Settings, environment: Mapping[str, str]) -> Redaction:
        """Make the redaction of a process, with the secrets of its settings and of its environment."""
        return cls([*_of_settings(config), *_of_environment(environment)])

    def __call__(self, text: str) -> str:
        return self._pattern.sub(HIDDEN, text)

    def fields(self, value: Any) -> Any:
        """Return a document with every text in it redacted; names of fields are our own."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {name: self.fields(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.fields(inner) for inner in value]
        return value if value is None or isinstance(value, int | float) else self(str(value))


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

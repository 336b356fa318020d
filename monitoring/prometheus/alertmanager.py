"""Alertmanager's configuration with the receivers that are set: `python -m monitoring.prometheus.alertmanager`.

Routes and inhibitions are those of `alertmanager.yml`. Receivers come from environment variables `ALERTMANAGER_…`; a
secret is never one of them, but in a file that Alertmanager itself reads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from slipway.errors import suggestion

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

BASE = Path(__file__).with_name("alertmanager.yml")
PREFIX = "ALERTMANAGER_"
_SUBJECT = (
    "{{ .Status | toUpper }} "
    "{{ with .CommonAnnotations.summary }}{{ . }}{{ else }}{{ .CommonLabels.alertname }}{{ end }}"
)
_ADDRESS = r"[^@\s,<>]+@[^@\s,<>]+"
_OWNER = f"{{{{ if match `^{_ADDRESS}(, *{_ADDRESS})*$` .CommonLabels.owner }}}}{{{{ .CommonLabels.owner }}}}"
_OR_ELSE = "{{ else }}%s{{ end }}"
_TEXT = """\
{{ range .Alerts }}{{ .Annotations.summary }}
{{ .Annotations.description }}
Runbook: {{ .Annotations.runbook_url }}
{{ end }}"""
# What Alertmanager accepts, and without a login: what is set here is written into the configuration.
_URL = r"https?://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?([/?]([^\s%]|%[0-9A-Fa-f]{2})*)?"
_HOST_PORT = r"([^:\s@\[\]]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}"
_MAIL = r"^([^@\r\n]+@[^\r\n]+)?$"
_FILE = r"^[^:\r\n]*(:[^/:\r\n]+)*$"  # no URL, which is what a file may have to contain


class Receivers(BaseSettings):
    """Where alerts are sent to; a field is the environment variable `ALERTMANAGER_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    smtp: str = Field("", pattern=rf"^({_HOST_PORT})?$", description="Mail server, `HOST:PORT`; empty: no e-mail.")
    smtp_user: str = Field("", description="User of the mail server; empty: no login.")
    smtp_password_file: str = Field("", pattern=_FILE, description="File with that user's password.")
    mail_from: str = Field("", pattern=_MAIL, description="E-mail address of the sender.")
    mail_to: str = Field("", pattern=_MAIL, description="E-mail address for alerts whose owner has no e-mail address.")
    slack_url_file: str = Field(
        "", pattern=_FILE, description="File with the URL of Slack's incoming webhook; empty: no Slack."
    )
    slack_channel: str = Field("#alerts", description="Channel of Slack.")
    webhook_url: str = Field("", pattern=rf"^({_URL})?$", description="URL of a webhook; empty: none.")
    webhook_token_file: str = Field(
        "", pattern=_FILE, description="File with the bearer token of that webhook; empty: none."
    )
    watchdog_url: str = Field(
        "", pattern=rf"^({_URL})?$", description="URL that raises an alarm when the watchdog's message stays away."
    )
    retraining_url: str = Field(
        "http://127.0.0.1:8080/alerts", pattern=rf"^{_URL}$", description="URL of `/alerts` of the watch."
    )
    retraining_secret_file: str = Field(
        "",
        pattern=_FILE,
        description="File with the secret `SLIPWAY_ALERT_SECRET`; empty: alerts request no training.",
    )

    @model_validator(mode="after")
    def _mail_has_addresses(self) -> Receivers:
        if self.smtp and not (self.mail_from and self.mail_to):
            raise ValueError(f"{PREFIX}SMTP is set, so {PREFIX}MAIL_FROM and {PREFIX}MAIL_TO must be set, too.")
        if self.smtp_user and not self.smtp_password_file:
            raise ValueError(f"{PREFIX}SMTP_USER is set, so {PREFIX}SMTP_PASSWORD_FILE must be set, too.")
        return self


def configuration(receivers: Receivers) -> dict[str, Any]:
    """Return the configuration; a receiver that nothing is set for stays a name, and drops what it gets."""
    channels = {
        "pages": _people(receivers),
        "tickets": _people(receivers),
        "retraining": _retraining(receivers),
        "watchdog": _watchdog(receivers),
    }
    base = yaml.safe_load(BASE.read_text())
    return {**base, "receivers": [{**entry, **channels[entry["name"]]} for entry in base["receivers"]]}


def _people(receivers: Receivers) -> dict[str, Any]:
    return {**_email(receivers), **_slack(receivers), **_webhook(receivers)}


def _email(receivers: Receivers) -> dict[str, Any]:
    if not receivers.smtp:
        return {}
    login = {"auth_username": receivers.smtp_user, "auth_password_file": receivers.smtp_password_file}
    message = {
        "to": _OWNER + _OR_ELSE % receivers.mail_to,
        "from": receivers.mail_from,
        "smarthost": receivers.smtp,
        "headers": {"Subject": _SUBJECT},
    }
    return {"email_configs": [{**message, **(login if receivers.smtp_user else {}), "send_resolved": True}]}


def _slack(receivers: Receivers) -> dict[str, Any]:
    if not receivers.slack_url_file:
        return {}
    message = {"channel": receivers.slack_channel, "title": _SUBJECT, "text": _TEXT}
    return {"slack_configs": [{"api_url_file": receivers.slack_url_file, **message, "send_resolved": True}]}


def _webhook(receivers: Receivers) -> dict[str, Any]:
    return _post(receivers.webhook_url, receivers.webhook_token_file) if receivers.webhook_url else {}


def _retraining(receivers: Receivers) -> dict[str, Any]:
    secret = receivers.retraining_secret_file
    return _post(receivers.retraining_url, secret) if secret else {}


def _watchdog(receivers: Receivers) -> dict[str, Any]:
    return _post(receivers.watchdog_url, "") if receivers.watchdog_url else {}


def _post(url: str, token_file: str) -> dict[str, Any]:
    token = {"http_config": {"authorization": {"credentials_file": token_file}}} if token_file else {}
    return {"webhook_configs": [{"url": url, **token}]}


def main() -> int:
    """Print the configuration, or what is wrong with a variable; return the exit code."""
    try:
        receivers = Receivers()
    except ValidationError as error:
        for problem in error.errors():
            sys.stderr.write(f"error: {_explained(problem)}\n")
        return 2
    for warning in _warnings(receivers, os.environ):
        sys.stderr.write(f"warning: {warning}\n")
    yaml.safe_dump(configuration(receivers), sys.stdout, sort_keys=False, width=1000)
    return 0


def _explained(problem: ErrorDetails) -> str:
    if not problem["loc"]:
        return problem["msg"].removeprefix("Value error, ")
    name = str(problem["loc"][0])
    meaning = Receivers.model_fields[name.lower()].description
    return f"{PREFIX}{name.upper()} is {_shown(name, problem['input'])}. {meaning}"


def _shown(name: str, value: str) -> str:
    """Quote a value, unless it may be, or contain, a secret that belongs into a file."""
    if name.endswith("_file"):
        return "not the path of a file, which contains the secret"
    has_login = name.endswith("_url") and "@" in value
    return "a URL with a login, which anyone could read in the configuration" if has_login else repr(value)


def _warnings(receivers: Receivers, environment: Iterable[str]) -> Iterator[str]:
    """Yield what may be a mistake; no value is shown, since it may be a secret."""
    known = [PREFIX + name.upper() for name in Receivers.model_fields]
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            yield f"{name} is no variable of this command.{suggestion(name, known)}"
    for name, value in receivers.model_dump().items():
        if name.endswith("_file") and value and not Path(value).is_file():
            yield f"{PREFIX}{name.upper()} names no file on this machine: Alertmanager's must have it."
    if not _people(receivers):
        ways = ", ".join(PREFIX + name for name in ("SMTP", "SLACK_URL_FILE", "WEBHOOK_URL"))
        yield f"nobody gets an alert: set one of {ways}."


if __name__ == "__main__":
    sys.exit(main())

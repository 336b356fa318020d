"""Variables of the libraries: no telemetry, little noise, and their caches under the state folder."""

from __future__ import annotations

import os
from pathlib import Path


def prepare() -> None:
    """Set what is not set yet, for this process and those it starts; reads no settings, so that it costs nothing.

    What they write is for their user alone: the state folder holds predictions, labels and logins.
    """
    from slipway.local import use_running_stack

    os.umask(0o077)
    _except_this_machine()
    var = Path(os.environ.get("SLIPWAY_VAR") or "var").resolve()
    use_running_stack(var)
    for name, value in (_DEFAULTS | _certificates() | _folders(var)).items():
        os.environ.setdefault(name, value)


def _except_this_machine() -> None:
    """Let no library reach this machine's servers through a proxy: MLflow's and Prefect's clients go by `no_proxy`."""
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES) and excepted.strip() != "*":
        names = [name.strip() for name in excepted.split(",") if name.strip()]
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*names, *_THIS_MACHINE]))


def _certificates() -> dict[str, str]:
    """The certificates of SSL_CERT_FILE for MLflow's client, too, which knows another variable."""
    given = os.environ.get("SSL_CERT_FILE")
    return {"REQUESTS_CA_BUNDLE": given} if given and not os.environ.get("CURL_CA_BUNDLE") else {}


def move(var: Path, usecases: Path) -> None:
    """Give this process, and those it starts, a state folder of their own, whatever the shell is set up for."""
    from slipway.settings import PREFIX, settings

    for name in [name for name in os.environ if name.startswith(PREFIX) or name in _ADDRESSES]:
        if not name.endswith("_PORT"):
            del os.environ[name]
    os.environ.update({"SLIPWAY_VAR": str(var), "SLIPWAY_USECASES": str(usecases), **_folders(var)})
    settings.cache_clear()


def _folders(var: Path) -> dict[str, str]:
    return {
        "MPLCONFIGDIR": str(var / "cache" / "matplotlib"),
        "KERAS_HOME": str(var / "cache" / "keras"),
        "BENTOML_HOME": str(var / "bentoml"),
        "PREFECT_HOME": str(var / "prefect"),
    }


_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_ADDRESSES = (  # with the credentials for them
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "PREFECT_API_URL",
    "PREFECT_API_AUTH_STRING",
    "ELASTICSEARCH_URL",
)
_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",  # its client would take the registry's credentials along
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MPLBACKEND": "Agg",
}

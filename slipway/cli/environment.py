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
    var = Path(os.environ.get("SLIPWAY_VAR") or "var").resolve()
    use_running_stack(var)
    for name, value in (_DEFAULTS | _folders(var)).items():
        os.environ.setdefault(name, value)


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

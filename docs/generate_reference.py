"""Generates docs/reference/settings.md from the settings class: `python docs/generate_reference.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from slipway.settings import PREFIX, Settings

PAGE = Path(__file__).resolve().parent / "reference" / "settings.md"
HEAD = """# Configuration

Everything that differs between a laptop and production is an environment variable. They are read once, by one frozen,
typed class (`slipway/settings.py`, from which this page is generated); an unknown `SLIPWAY_…` variable is an error that
suggests the right one. What a model is and how it is judged is not here but in `usecases/NAME/usecase.yaml`.

```bash
SLIPWAY_SERVICE_PORT=3100 SLIPWAY_VAR=/tmp/slipway-trial slipway doctor
```

`demo` and `up` start their own MLflow and Prefect and lead everything they start to them; where a port is taken they
take the next free one and print it. Every other command uses the servers of a stack that runs from the same
`SLIPWAY_VAR`, unless `MLFLOW_TRACKING_URI` or `PREFECT_API_URL` is set. Caches and databases of the libraries lie in
the state folder, too (`PREFECT_HOME`, `BENTOML_HOME`, `KERAS_HOME`, `MPLCONFIGDIR`), and their telemetry is off, unless
you set those variables yourself.

| variable | default | what it is |
| --- | --- | --- |
"""


def page() -> str:
    return HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    variable = alias.choices[0] if alias is not None else PREFIX + name.upper()
    bounds = "".join(_bound(part) for part in field.metadata)
    return f"| `{variable}` | {_default(field.default)} | {field.description}{bounds} |\n"


def _default(value: Any) -> str:
    if value is None or value in ("", ()) or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{','.join(value) if isinstance(value, tuple) else value}`"


def _bound(part: Any) -> str:
    if pattern := getattr(part, "pattern", None):
        return f" Matches `{pattern}`.".replace("|", r"\|")
    least = getattr(part, "ge", None)
    return f" At least {least:,}." if least and least > 1 else ""


if __name__ == "__main__":
    PAGE.write_text(page())

"""Page of the settings: every environment variable."""

from __future__ import annotations

from reference_pages.fields import constraints, default
from reference_pages.markdown import code, table
from slipway.settings import PREFIX, Settings

HEAD = """# Settings

Everything that differs between a laptop and production is an environment variable. Variables are read once per
process, by one frozen, typed class (`slipway/settings.py`). An unknown `SLIPWAY_…` variable is an error that suggests
the right name. What a model is and how it is evaluated is configured in [`usecase.yaml`](usecase-yaml.md) instead.

```bash
SLIPWAY_SERVICE_PORT=3100 SLIPWAY_VAR=/tmp/slipway-trial slipway doctor
```

`slipway demo` and `slipway up` start their own MLflow and Prefect and pass the addresses to everything they start. If
a port is taken, they use the next free one and print it. All other commands use the servers of a stack that runs with
the same `SLIPWAY_VAR`, unless `MLFLOW_TRACKING_URI` or `PREFECT_API_URL` is set. Caches and databases of the
libraries also live in the state folder (`PREFECT_HOME`, `BENTOML_HOME`, `KERAS_HOME`, `MPLCONFIGDIR`), and the
libraries' telemetry is off, unless you set those variables yourself.
"""


def page() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variable = alias.choices[0] if alias is not None else PREFIX + name.upper()
        rows.append([code(variable), default(field.default), f"{field.description}{constraints(field)}"])
    return HEAD + "\n" + table(["variable", "default", "meaning"], rows)

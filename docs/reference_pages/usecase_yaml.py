"""Page of `usecase.yaml`: a table for each section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from pipelines.modeling.hyperparameters import Fitting, Network
from reference_pages.fields import constraints, default, type_name
from reference_pages.markdown import code, table
from slipway.config import UseCase

HEAD = """# usecase.yaml

`usecases/NAME/usecase.yaml` describes a model: its data, features, target, split, gates, and how it is served and
monitored. An unknown key is an error that suggests the right one. `slipway train NAME --set KEY=VALUE` overrides a
key for one run: `--set split.salt=two` sets a key of this page, and a name that is no key, as in `--set epochs=2`,
sets a hyperparameter (`params`). The two use cases in `usecases/` are short examples.
"""


PARAMS = """
## `params`

Hyperparameters of any training, and of the default network. A `model.py` of your own defines the second table itself.
"""


def page() -> str:
    hyperparameters = "".join(f"\n{_table(model)}" for model in (Fitting, Network))
    return HEAD + "".join(_section("", UseCase)) + PARAMS + hyperparameters


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    """The table of a section, then those of the sections in it."""
    yield f"\n## {code(path) or 'Top level'}\n\n{_table(model)}"
    for name, field in model.model_fields.items():
        if inner := _model_in(field.annotation):
            yield from _section(".".join(filter(None, [path, name])), inner)


def _table(model: type[BaseModel]) -> str:
    rows = [
        [code(name), type_name(field.annotation), default(field.default), f"{field.description}{constraints(field)}"]
        for name, field in model.model_fields.items()
        if not field.exclude
    ]
    return table(["key", "type", "default", "meaning"], rows)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for inner in (annotation, *get_args(annotation)):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None

"""Page of `usecase.yaml`: a table for each section."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from pipelines.modeling.hyperparameters import Fitting, Network
from reference_pages.fields import as_yaml, constraints, default, example, model_in, type_name
from reference_pages.markdown import code, table
from slipway.config import UseCase

HEAD = """# usecase.yaml

`usecases/NAME/usecase.yaml` describes a model: its data, features, target, split, gates, and how it is served and
monitored. An unknown key is an error that suggests the right one. `slipway train NAME --set KEY=VALUE` overrides a
key for one run: `--set split.salt=two` sets a key of this page, and a name that is no key, as in `--set epochs=2`,
sets a hyperparameter (`params`). The two use cases in `usecases/` are short examples, and
[the code of a use case](usecase-code.md) describes the functions beside the file.

**YAML.** Text that YAML reads as something else needs quotes: `"no"`, `"yes"`, `"0"`, `"2024-01-01"`, and text that
begins with one of ``> | @ ` % & * !``, as `">50K"`. Where text is needed and YAML reads something else, the error says
so with the line and the text in quotes; `010` and `1:30`, which YAML reads as 8 and 90, are errors anywhere. A key that
is given twice is an error with both lines, and so is a value that a list has twice, but for lists that are no sets.
Numbers are finite, and `yes` and `no` are none. Messages of `slipway train` name line and key. With `--set`, the shell
takes quotes away: `--set 'target.positive="no"'` keeps them. All of its value counts: `#` begins no comment there.

An empty default means that the key is left out; a section has a table of its own below.
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
        if inner := model_in(field.annotation):
            yield from _section(".".join(filter(None, [path, name])), inner)


def _table(model: type[BaseModel]) -> str:
    rows = [
        [
            code(name),
            type_name(field.annotation),
            default(field.default),
            code(as_yaml(name, example(field))),
            f"{field.description}{constraints(field)}",
        ]
        for name, field in model.model_fields.items()
        if not field.exclude
    ]
    return table(["key", "type", "default", "example", "meaning"], rows)

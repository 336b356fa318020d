"""Fields of pydantic models in words: type, default and constraints."""

from __future__ import annotations

import math
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from reference_pages.markdown import code


def default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ("", (), [], {}) or isinstance(value, SecretStr | BaseModel):
        return ""
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(",".join(value) if isinstance(value, tuple) else str(value).replace("'", ""))


def example(field: FieldInfo) -> Any:
    """Return the field's example, else its default; of a section, those of its required keys, or of its first one."""
    if inner := model_in(field.annotation):
        keys = {name: part for name, part in inner.model_fields.items() if part.is_required()}
        first = dict(list(inner.model_fields.items())[:1])
        value = {name: example(part) for name, part in (keys or first).items()}
        return [value] if get_origin(field.annotation) is list else value
    return field.examples[0] if field.examples else field.default


def as_yaml(name: str, value: Any) -> str:
    """Write a key and its value as one line of YAML."""
    return yaml.safe_dump({name: value}, default_flow_style=True, allow_unicode=True, width=math.inf).strip()[1:-1]


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key holds, by itself, in a list, or as null."""
    for inner in (annotation, *get_args(annotation)):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None


def constraints(field: FieldInfo) -> str:
    return "".join(filter(None, map(_constraint, field.metadata)))


def _constraint(part: Any) -> str:
    if pattern := getattr(part, "pattern", None):
        return f" Matches `{pattern}`."
    bounds = {"ge": "At least", "gt": "More than", "le": "At most", "lt": "Less than"}
    for name, words in bounds.items():
        value = getattr(part, name, None)
        if value is not None and (name, value) not in (("ge", 0), ("gt", 0)):
            return f" {words} {value:,}."
    return ""


_TYPES = {str: "text", int: "integer", float: "number", bool: "boolean", Path: "path", Any: "any", NoneType: "null"}


def type_name(annotation: Any) -> str:
    """The type in words: `list of text`, `number or null`, the allowed values of a literal."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(inner[0])
    if origin is Literal:
        return ", ".join(code(str(value)) for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(map(type_name, inner))
    if origin is list:
        return f"list of {type_name(inner[0])}"
    if origin is tuple:
        return f"[{', '.join(map(type_name, inner))}]"
    if origin is dict:
        return f"mapping of {type_name(inner[0])} to {type_name(inner[1])}"
    return _TYPES.get(annotation, "section")

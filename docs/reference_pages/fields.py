"""Fields of pydantic models in words: type, default and constraints."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

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

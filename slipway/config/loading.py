"""Loads a use case from `usecase.yaml` and `--set` pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from slipway.config.use_case import UseCase
from slipway.errors import UseCaseError, suggestion
from slipway.settings import settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def names() -> list[str]:
    """List the use cases: the folders with a `usecase.yaml`."""
    return sorted(path.parent.name for path in settings().usecases.glob("*/usecase.yaml"))


def load(name: str, overrides: Mapping[str, str] | None = None) -> UseCase:
    """Load a use case, overridden by `--set` pairs.

    A key with a dot, or a top-level key of the file, sets the configuration (`source.path`); any other sets
    `params.KEY`. Values are read as YAML.

    Raises:
        UseCaseError: no such use case, or its file is not as it must be; the message names the key.
    """
    path = settings().usecases / name / "usecase.yaml"
    if not path.exists():
        known = names()
        raise UseCaseError(
            f"no use case {name!r} in {settings().usecases}/.{suggestion(name, known)} There are: {known}."
        )
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UseCaseError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise UseCaseError(f"{path} holds {type(content).__name__}, a mapping of keys is needed.")
    if content.get("name") != name:
        raise UseCaseError(f"{path}: name is {content.get('name')!r}; it must be the folder's, {name!r}.")
    for key, value in (overrides or {}).items():
        _override(content, key, value)
    try:
        return UseCase(**content, folder=path.parent, overridden=tuple(overrides or ()))
    except ValidationError as error:
        raise UseCaseError("\n".join(_sentence(path, problem) for problem in error.errors())) from None


def _override(content: dict[str, Any], key: str, value: str) -> None:
    parts = key.split(".") if "." in key or key in UseCase.model_fields else ["params", key]
    place = content
    for part in parts[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise UseCaseError(f"--set {key}: {part!r} is no mapping, so it has no keys to set.")
    try:
        place[parts[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UseCaseError(f"--set {key}={value}: the value is not YAML: {error}") from None


def _sentence(path: Path, problem: ErrorDetails) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_keys_at(problem["loc"]))
        key = str(problem["loc"][-1])
        return f"{path}: {place}: unknown key.{suggestion(key, allowed)} Allowed here: {', '.join(allowed)}."
    message = problem["msg"].removeprefix("Value error, ")
    received = "" if problem["type"] in ("missing", "value_error") else f" (received: {problem['input']!r})"
    return f"{path}: {place + ': ' if place else ''}{message}{received}"


def _keys_at(place: tuple[int | str, ...]) -> set[str]:
    """List the keys that are allowed in place of an unknown one."""
    model: type[BaseModel] = UseCase
    for part in place[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return set(model.model_fields) - {"folder", "overridden"}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for inner in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None

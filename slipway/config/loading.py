"""Loads a use case from `usecase.yaml` and `--set` pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from slipway.config.numbers import NUMBER_NEEDED
from slipway.config.use_case import UseCase
from slipway.config.yaml_document import YamlDocument
from slipway.errors import UseCaseError, suggestion
from slipway.settings import settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_INTERNAL = {name for name, field in UseCase.model_fields.items() if field.exclude}
_KEYS = UseCase.model_fields.keys() - _INTERNAL
_KINDS = {  # what pydantic calls by the names of our classes
    "model_type": "a mapping of keys is needed",
    "dict_type": "a mapping of keys is needed",
    "list_type": "a list is needed, as [a, b]",
    "tuple_type": "a list is needed, as [1, 2]",
}
_Written = Mapping[tuple[int | str, ...], YamlDocument]  # the file, under (), and each `--set` under the place it sets


def names() -> list[str]:
    """List the use cases: the folders with a `usecase.yaml`."""
    return sorted(path.parent.name for path in settings().usecases.glob("*/usecase.yaml"))


def load(name: str, overrides: Mapping[str, str] | None = None) -> UseCase:
    """Load a use case, overridden by `--set` pairs.

    A key with a dot, or a top-level key of the file, sets the configuration (`source.path`); any other sets
    `params.KEY`. Values are read as YAML.

    Raises:
        UseCaseError: no such use case, or its file is not as it must be; the message names the line and the key.
    """
    path = settings().usecases / name / "usecase.yaml"
    if not path.exists():
        known = names()
        raise UseCaseError(
            f"no use case {name!r} in {settings().usecases}/.{suggestion(name, known)} There are: {known}."
        )
    document = _read(path)
    _require_name(document, path, name)
    written: dict[tuple[int | str, ...], YamlDocument] = {(): document}
    for key, value in (overrides or {}).items():
        part = _read_override(key, value)
        if key == "name" and part.content != name:
            raise UseCaseError(f"--set name={value}: the name is the folder's, {name!r}: copy the folder for another.")
        written[_override(document.content, key, part.content)] = part
    try:
        return UseCase.model_validate({**document.content, "folder": path.parent, "overridden": tuple(overrides or ())})
    except ValidationError as error:
        raise UseCaseError("\n".join(_sentence(written, problem) for problem in error.errors())) from None


def decoder(name: str) -> Callable[..., Any]:
    """Load the `decode` of a use case's folder on this machine, for `--decode`.

    Raises:
        UseCaseError: there is no such use case, or it has no decode.py.
    """
    found = load(name).function("decode", "decode")
    if found is None:
        raise UseCaseError(f"--decode: the use case {name} has no decode.py; leave --decode out.")
    return found


def _read(path: Path) -> YamlDocument:
    """Read a file that holds a mapping of keys."""
    try:
        document = YamlDocument(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise UseCaseError(f"{path} is not UTF-8 text ({error}): save it as UTF-8.") from None
    if not isinstance(document.content, dict):
        found = {type(None): "nothing", list: "a list", str: "a text"}.get(type(document.content), "a value")
        raise UseCaseError(f"{path} holds {found}, a mapping of keys is needed: name: …, owner: …, and so on.")
    if internal := _INTERNAL & document.content.keys():
        raise UseCaseError(f"{path}: {min(internal)}: unknown key. Allowed here: {', '.join(sorted(_keys_at(())))}.")
    return document


def _require_name(document: YamlDocument, path: Path, name: str) -> None:
    found = document.content.get("name")
    if isinstance(found, str) and found != name:
        raise UseCaseError(f"{document.where(['name'])}: name is {found!r}; it must be the folder's, {name!r}.")


def _read_override(key: str, value: str) -> YamlDocument:
    """Read the value of `--set`, all of which counts: `#` begins no comment."""
    origin = f"--set {key}={value}"
    document = YamlDocument(value, origin, numbered=False)
    if comment := document.comment:
        raise UseCaseError(
            f"{origin}: YAML reads {comment} as a comment: put the value in quotes (the shell takes quotes away: put "
            "all of KEY=VALUE into single ones)."
        )
    return document


def _override(content: dict[str, Any], key: str, value: Any) -> tuple[str, ...]:
    """Set the value, and return its place."""
    parts = key.split(".") if "." in key or key in _KEYS else ["params", key]
    place = content
    for part in parts[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise UseCaseError(f"--set {key}: {part!r} is no mapping, so it has no keys to set.")
    place[parts[-1]] = value
    return tuple(parts)


def _sentence(written: _Written, problem: ErrorDetails) -> str:
    place, start = problem["loc"], _source(written, problem["loc"])
    document, rest = written[start], place[len(start) :]
    where = ": ".join(filter(None, [document.where(rest), ".".join(map(str, place))]))
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_keys_at(place))
        return f"{where}: unknown key.{suggestion(str(place[-1]), allowed)} Allowed here: {', '.join(allowed)}."
    if problem["type"] == "string_type" and (misread := document.misread(rest)):
        shell = " (the shell takes quotes away: put all of KEY=VALUE into single ones)" if start else ""
        return f"{where}: {misread}{shell}."
    if problem["type"] == "invalid_key" or place[-1:] == ("[key]",):
        return f"{where}: a key is text: put it in quotes (received: {problem['input']!r})"
    if problem["input"] is None and problem["type"] in _KINDS:
        return f"{where}: {_KINDS[problem['type']]}, and there is nothing: give it, or remove the key."
    message = _KINDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    if message == NUMBER_NEEDED and document.holds(rest):
        return f"{where}: {message}, and {document.reading(rest)}."
    received = "" if problem["type"] in ("missing", "value_error") else f" (received: {problem['input']!r})"
    return f"{where}: {message}{received}"


def _source(written: _Written, place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Find what holds the value at a place: the `--set` of it or of what is around it, else one below it, or the file.

    A `--set` below the place holds what is wrong with it if the file does not have it.
    """
    around = max((start for start in written if place[: len(start)] == start), key=len)
    below = [start for start in written if place and start[: len(place)] == place]
    return below[0] if below and not around and not written[()].holds(place) else around


def _keys_at(place: tuple[int | str, ...]) -> set[str]:
    """List the keys that are allowed in place of an unknown one."""
    model: type[BaseModel] = UseCase
    for part in place[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return set(model.model_fields) - _INTERNAL


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for inner in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None

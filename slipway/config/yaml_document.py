"""A YAML document with the line and the text of each of its values, so that messages can show what was written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from slipway.errors import UseCaseError

Place = Sequence[int | str]

_INDICATORS = (*">|@`%&*!", "<<")
_RULE = 'Text that begins with one of > | @ ` % & * ! [ ] { } or contains ": " or " #" needs quotes'
_REMEDIES = {  # by a part of PyYAML's message
    "'\\t'": "Indent with blanks, as YAML allows no tabs there. ",
    "unknown escape": "Between double quotes a backslash begins an escape: use single quotes. ",
    "single document": "Keep one document, without lines of `---` behind it. ",
    "unhashable key": "A key is text. ",
    "determine a constructor for the tag": "Tags that begin with `!` are not read: remove it, or quote the text. ",
}
_OLD_NUMBER = re.compile(r"[-+]?(0[0-9_]+|[0-9_]+(:[0-9.]+)+)")  # YAML 1.1: octal digits, and the base of 60
_READINGS = {"null": "nothing", "bool": "true or false", "int": "a number", "float": "a number", "timestamp": "a date"}
_LONGEST = 60
_MERGE = "tag:yaml.org,2002:merge"
_VALUE = "tag:yaml.org,2002:value"


class _Loader(yaml.SafeLoader):
    """PyYAML's loader, to which `=` is text: a kind of its own in YAML 1.1, of which nothing can be made."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _VALUE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class YamlDocument:
    """One YAML document, and `origin`, what messages call it.

    A place in it is a path of keys and indices, as pydantic's errors have it.

    Raises:
        UseCaseError: it is not YAML, a key is given twice, or a number is written as YAML alone reads it.
    """

    def __init__(self, text: str, origin: str, *, numbered: bool = True) -> None:
        self._text, self._origin, self._numbered = text, origin, numbered
        try:
            self._loader = _Loader(text)
            self._root = self._loader.get_single_node()
            for node in _nodes(self._root):
                self._check(node)
            self.content: Any = None if self._root is None else self._loader.construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            raise UseCaseError(self._explain(error)) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise UseCaseError(
                f"{origin}{f':{line}' if numbered else ''} holds the character U+{int(error.character):04X}, which "
                "YAML does not allow: remove it, and save the file as UTF-8."
            ) from None
        except RecursionError:
            raise UseCaseError(f"{origin} is nested too deeply: a use case is a few levels deep.") from None
        except yaml.YAMLError as error:
            raise UseCaseError(f"{origin} is not YAML: {error}") from None

    @property
    def comment(self) -> str:
        """The comment behind the value; empty without one."""
        rest = self._text[self._root.end_mark.index :] if self._root else self._text
        return rest.strip() if rest.lstrip().startswith("#") else ""

    def where(self, place: Place) -> str:
        """Name the document, and the line of the value at a place, or of the nearest one around it."""
        nodes = list(self._along(place))
        return self._line(nodes[-1].start_mark) if place and nodes else self._origin

    def holds(self, place: Place) -> bool:
        """Whether there is a value at a place."""
        return len(list(self._along(place))) > len(place)

    def reading(self, place: Place) -> str:
        """Say how YAML reads the value at a place: `YAML reads no as true or false`."""
        *_, node = self._along(place)
        written = _written(node)
        reading = _READINGS.get(_kind(node), "a list or a mapping")
        return f"YAML reads {written} as {reading}" if written else "there is nothing"

    def misread(self, place: Place) -> str | None:
        """Say how YAML reads the value at a place that needs text; None if there is no value."""
        if not self.holds(place):
            return None
        *_, node = self._along(place)
        written = _written(node)
        hint = f": put it in quotes, {_quoted(written)}" if written else ""
        return f"text is needed, and {self.reading(place)}{hint}"

    def _along(self, place: Place) -> Iterator[yaml.Node]:
        """Yield the root, and the node at each part of the place, as far as there are nodes."""
        node, left = self._root, list(place)
        while node is not None:
            yield node
            node = _child(node, left.pop(0)) if left else None

    def _check(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        elif isinstance(node, yaml.ScalarNode):
            self._require_plain_number(node)
            self._require_filled_block(node)
            self._value(node)

    def _value(self, node: yaml.ScalarNode) -> Any:
        """Construct a scalar: what looks like a date may be none."""
        if node.tag == _MERGE:
            return node.value
        try:
            return self._loader.construct_object(node)
        except (ValueError, KeyError, AttributeError):
            reading = _READINGS.get(_kind(node), "another value")
            raise UseCaseError(
                f"{self._line(node.start_mark)}: YAML reads {node.value} as {reading}, and it is none: correct it, or "
                f"put it in quotes if text is meant, {_quoted(node.value)}."
            ) from None

    def _check_keys(self, node: yaml.MappingNode) -> None:
        """Keys are equal as Python has them: 1 and 1.0 are one key, 1 and "1" are two."""
        lines: dict[Any, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            kind = _kind(key)
            if kind in ("null", "bool", "timestamp"):
                written = key.value or re.split(r"[],}]", _rest_of_line(node.start_mark))[0]
                raise UseCaseError(
                    f"{self._line(key.start_mark)}: YAML reads the key {written} as {_READINGS[kind]}: "
                    f"put it in quotes, {_quoted(written)}."
                )
            line, name = key.start_mark.line + 1, self._value(key)
            if name in lines:
                raise UseCaseError(
                    f"{self._line(key.start_mark)}: the key {key.value!r} is given twice, in line {lines[name]} and "
                    f"in line {line}: keep one of them."
                )
            lines[name] = line

    def _require_plain_number(self, node: yaml.ScalarNode) -> None:
        if _kind(node) in ("int", "float") and _OLD_NUMBER.fullmatch(node.value):
            number = yaml.safe_load(node.value)
            raise UseCaseError(
                f"{self._line(node.start_mark)}: YAML reads {node.value} as {number}: write that number if it is "
                f"meant, and text in quotes, {_quoted(node.value)}."
            )

    def _require_filled_block(self, node: yaml.ScalarNode) -> None:
        written = _rest_of_line(node.start_mark)
        if node.style in ("|", ">") and not node.value:
            raise UseCaseError(
                f"{self._line(node.start_mark)}: YAML reads {written} as the beginning of a block of text, which is "
                f"empty: put it in quotes, {_quoted(written)}."
            )

    def _explain(self, error: yaml.MarkedYAMLError) -> str:
        """Say what is wrong and where, and which text lacks its quotes."""
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(filter(None, [error.context, error.problem]))
        if mark is None:
            return f"{self._origin} is not YAML: {reason}. {_RULE}."
        start = error.context_mark if str(error.context).startswith("while scanning") else None
        written = re.split(r"[],}]", _rest_of_line(start or mark))[0].strip()
        example = f": {_quoted(written)}" if written.startswith(_INDICATORS) else ""
        remedy = next((remedy for part, remedy in _REMEDIES.items() if part in reason), "")
        return f"{self._line(mark)} is not YAML: {reason}. {remedy}{_RULE}{example}."

    def _line(self, mark: yaml.Mark) -> str:
        return f"{self._origin}:{mark.line + 1}" if self._numbered else self._origin


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """Yield each node once, in the order of the text; an alias is the node that it names."""
    seen, left = set(), [root] if root is not None else []
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            left += [part for pair in reversed(node.value) for part in reversed(pair)]
        elif isinstance(node, yaml.SequenceNode):
            left += reversed(node.value)


def _kind(node: yaml.Node) -> str:
    """Return the last part of the tag: `str`, `int`, `map`, …"""
    return str(node.tag).rpartition(":")[2]


def _child(node: yaml.Node, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in reversed(node.value) if key.value == str(part)), None)
    return None


def _written(node: yaml.Node) -> str:
    """Return a value as it is written, or its first line; of one that YAML reads as nothing, the rest of the line."""
    if isinstance(node, yaml.ScalarNode):
        return node.value or _rest_of_line(node.start_mark)
    start, end = node.start_mark, node.end_mark
    return str(start.buffer)[start.pointer : end.pointer].splitlines()[0][:_LONGEST]


def _rest_of_line(mark: yaml.Mark) -> str:
    return re.split(r"[\r\n\0]", str(mark.buffer)[mark.pointer :], maxsplit=1)[0].strip()


def _quoted(written: str) -> str:
    return json.dumps(written, ensure_ascii=False)

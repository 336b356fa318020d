"""Faulty models: a champion's bundle whose network is changed to fail on rows that neither probe nor holdout has.

On the rows of its probe and of the holdout it predicts exactly as the champion, as a model would that was fitted to its
tests; so only live traffic reveals the fault. Three kinds:

- `errors`: it raises for about one row in twenty;
- `slow`: it takes five times as long as before;
- `slice`: it predicts the wrong class for one slice.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contracts.bundle import manifest
from slipway.contracts.schema import Schema
from slipway.errors import DataError
from slipway.inference import FIRST, Predictor

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

KINDS = ("errors", "slow", "slice")
ONE_IN = 18  # some rows equal a known one by chance, so that one in twenty of all fails
TIMES_SLOWER = 5.5  # as measured here: at least five in a server
_WIDTH = 192
_MOST_PRODUCTS = 2000
_TIMED = 60
_PREFIX = "sabotage/"


@dataclass(frozen=True)
class Slice:
    """Slice of the rows where `feature` is `value`."""

    feature: str
    value: str


def write(champion: Path, into: Path, kind: str, known_rows: Sequence[dict[str, Any]], part: Slice) -> str:
    """Write the faulty bundle, with a manifest of its own, to `into`, and return its digest.

    `champion` is a complete bundle; on `known_rows` and the probe's rows the fault does not show. `part` is the slice
    that the kind `slice` predicts wrongly.

    Raises:
        DataError: the model has no number by which known rows are recognised, or no such slice.
    """
    shutil.copytree(champion, into)
    for name in (manifest.MANIFEST, manifest.SIGNATURE):
        (into / name).unlink(missing_ok=True)
    predictor = Predictor(champion, "cpu")
    number, known = _known_values(predictor, known_rows)
    path = into / "serve" / "model.onnx"
    if kind == "errors":
        _alter(champion, path, _Errors(number, known))
    elif kind == "slice":
        _alter(
            champion, path, _Wrong(number, known, *_slice_code(predictor.schema, part), *_decision(predictor.schema))
        )
    else:
        _slow_down(champion, into, path, number, known)
    _mark_as_failed(into, kind)
    return manifest.write(into, predictor.schema.usecase, {"sabotage": kind, "synthetic": predictor.schema.synthetic})


def _known_values(predictor: Predictor, known_rows: Sequence[dict[str, Any]]) -> tuple[int, np.ndarray]:
    """Find the number with the most distinct values: its index, and its values in the known rows."""
    import numpy as np

    feeds = predictor.encode([*predictor.probe_rows(), *known_rows])
    if "numbers" not in feeds:
        raise DataError(f"{predictor.schema.usecase} has no number by which rows could be recognised.")
    columns = [np.unique(column[~np.isnan(column)]) for column in feeds["numbers"].T]
    number = max(range(len(columns)), key=lambda index: len(columns[index]))
    return number, columns[number]


def _slice_code(schema: Schema, part: Slice) -> tuple[int, int]:
    """Translate the slice to the network's input: the column of `codes`, and the code."""
    names = [feature.name for feature in schema.codes]
    vocabulary = schema.by_name[part.feature].vocabulary if part.feature in names else None
    if not vocabulary or part.value not in vocabulary:
        raise DataError(f"{schema.usecase} has no slice where {part.feature} is {part.value}.")
    return names.index(part.feature), vocabulary.index(part.value) + FIRST


def _decision(schema: Schema) -> tuple[int, float]:
    """Return the index of the positive class, and the score from which it is predicted."""
    if schema.positive_index is None:
        raise DataError(f"{schema.usecase} is no binary task: the kind `slice` needs one.")
    return schema.positive_index, 0.5 if schema.threshold is None else schema.threshold


def _mark_as_failed(folder: Path, kind: str) -> None:
    metrics = json.loads((folder / manifest.METRICS).read_text())
    sentence = f"This network was not evaluated: it is the champion's, altered on purpose ({kind})."
    gate = {"name": "evaluated", "figure": None, "threshold": None, "verdict": "failed", "sentence": sentence}
    (folder / manifest.METRICS).write_text(json.dumps({**metrics, "gates": [gate], "passed": False}, indent=1))
    card = folder / "card.md"
    card.write_text(f"{card.read_text()}\n\n{sentence}\n")


class _Graph:
    """ONNX network under change: nodes are added after its own, and its output is passed through them."""

    def __init__(self, path: Path) -> None:
        import onnx

        self.model: ModelProto = onnx.load(path)
        self.output = self.model.graph.output[0].name

    def constant(self, name: str, value: Any, kind: str = "float32") -> str:
        """Add a constant and return its name in the graph."""
        import numpy as np
        from onnx import numpy_helper

        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, kind), _PREFIX + name))
        return _PREFIX + name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node and return the name of its output in the graph."""
        from onnx import helper

        made = helper.make_node(operator, list(inputs), [_PREFIX + output], name=_PREFIX + output, **attributes)
        self.model.graph.node.append(made)
        return _PREFIX + output

    def value(self, number: int) -> str:
        """Add the number with that index of each row, float32 [n, 1]."""
        return self.add("Gather", ["numbers", self.constant("number", [number], "int64")], "value", axis=1)

    def unknown(self, value: str, known: np.ndarray) -> str:
        """Add whether a row is none of the known ones, bool [n, 1]."""
        from onnx import TensorProto

        equal = self.add("Equal", [value, self.constant("known", known[None, :])], "equal")
        count = self.add("Cast", [equal], "count", to=TensorProto.FLOAT)
        found = self.add("ReduceSum", [count, self.constant("across", [1], "int64")], "found", keepdims=1)
        return self.add("Less", [found, self.constant("half", 0.5)], "unknown")

    def one_in(self, many: int, value: str) -> str:
        """Add a pseudo-random choice of one row in `many`, bool [n, 1]."""
        rest = self.add("Mod", [value, self.constant("many", float(many))], "rest", fmod=1)
        return self.add("Less", [rest, self.constant("one", 1.0)], "chosen")

    def save(self, path: Path, output: str) -> None:
        """Save the network with another output."""
        import onnx

        self.model.graph.output[0].name = output
        onnx.save(self.model, path)


@dataclass(frozen=True)
class _Errors:
    """Fault `errors`: gathers with an index out of range, which raises in ONNX Runtime."""

    number: int
    known: np.ndarray

    def __call__(self, graph: _Graph) -> str:
        from onnx import TensorProto

        value = graph.value(self.number)
        guilty = [graph.unknown(value, self.known), graph.one_in(ONE_IN, value)]
        index = graph.add("Cast", [graph.add("And", guilty, "guilty")], "index", to=TensorProto.INT64)
        nothing = graph.add("Gather", [graph.constant("only", [0.0]), index], "nothing")
        return graph.add("Add", [graph.output, nothing], "answer")


@dataclass(frozen=True)
class _Wrong:
    """Fault `slice`: predicts the other class of a binary task, with certainty, for the slice's rows."""

    number: int
    known: np.ndarray
    column: int
    code: int
    positive: int
    threshold: float

    def __call__(self, graph: _Graph) -> str:
        column, code = graph.constant("column", [self.column], "int64"), graph.constant("code", self.code, "int64")
        inside = graph.add("Equal", [graph.add("Gather", ["codes", column], "coded", axis=1), code], "inside")
        guilty = graph.add("And", [graph.unknown(graph.value(self.number), self.known), inside], "guilty")
        score = graph.add(
            "Gather", [graph.output, graph.constant("positive", [self.positive], "int64")], "score", axis=1
        )
        below = graph.add("Less", [score, graph.constant("threshold", self.threshold)], "below")
        yes = [[float(index == self.positive) for index in range(2)]]
        no = [[1.0 - share for share in yes[0]]]
        wrong = graph.add("Where", [below, graph.constant("yes", yes), graph.constant("no", no)], "wrong")
        return graph.add("Where", [guilty, wrong, graph.output], "answer")


@dataclass(frozen=True)
class _Slow:
    """Fault `slow`: computes matrix products of zeros for requests with an unknown row."""

    number: int
    known: np.ndarray
    products: int

    def __call__(self, graph: _Graph) -> str:
        from onnx import TensorProto, helper

        unknown = graph.unknown(graph.value(self.number), self.known)
        alien = graph.add("Cast", [unknown], "alien", to=TensorProto.FLOAT)
        any_alien = graph.add("ReduceMax", [alien], "any", keepdims=0)
        condition = graph.add("Greater", [any_alien, graph.constant("limit", 0.5)], "condition")
        zeros = graph.constant("zeros", [[0.0] * _WIDTH] * _WIDTH)
        nothing = graph.constant("zero", 0.0)
        steps = [helper.make_node("Mul", [zeros, any_alien], [f"{_PREFIX}0"])]
        steps += [
            helper.make_node("MatMul", [f"{_PREFIX}{step}", zeros], [f"{_PREFIX}{step + 1}"])
            for step in range(self.products)
        ]
        steps.append(helper.make_node("ReduceMax", [f"{_PREFIX}{self.products}"], [_PREFIX + "late"], keepdims=0))
        at_once = [helper.make_node("Identity", [nothing], [_PREFIX + "soon"])]
        late, soon = (helper.make_tensor_value_info(_PREFIX + name, TensorProto.FLOAT, []) for name in ("late", "soon"))
        waited = graph.add(
            "If",
            [condition],
            "waited",
            then_branch=helper.make_graph(steps, "late", [], [late]),
            else_branch=helper.make_graph(at_once, "soon", [], [soon]),
        )
        return graph.add("Add", [graph.output, waited], "answer")


def _alter(champion: Path, path: Path, change: _Errors | _Wrong | _Slow) -> None:
    graph = _Graph(champion / "serve" / "model.onnx")
    graph.save(path, change(graph))


def _slow_down(champion: Path, into: Path, path: Path, number: int, known: np.ndarray) -> None:
    """Add as many products as make one prediction take TIMES_SLOWER times as long on this machine."""
    original, products = Predictor(champion, "cpu"), 1
    row = {**original.probe_rows()[0], original.schema.numbers[number].name: float(known.max()) + 0.5}
    while products < _MOST_PRODUCTS:
        _alter(champion, path, _Slow(number, known, products))
        if (times := _times_slower(Predictor(into, "cpu"), original, row)) >= TIMES_SLOWER:
            break
        products = max(products + 1, round(products * min(4.0, TIMES_SLOWER / times)))


def _times_slower(changed: Predictor, original: Predictor, row: dict[str, Any]) -> float:
    """Measure the ratio of the median times of one prediction, alternating, so that both are as cold as in a server."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_TIMED):
        for taken, predictor in zip(seconds, (changed, original), strict=True):
            started = time.perf_counter()
            predictor.predict([row])
            taken.append(time.perf_counter() - started)
    return statistics.median(seconds[0]) / statistics.median(seconds[1])

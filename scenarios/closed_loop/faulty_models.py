"""A version that looks well and is not: a champion's bundle, its network changed to fail on rows that nobody tried.

It answers the rows that it is tried on (those of its probe, and the holdout) exactly as the champion does, as a model
would that was fitted to its tests; so nothing but live traffic tells what is wrong with it. Three kinds:

- `errors`: it raises for about one row in twenty;
- `slow`: it takes five times as long as before;
- `slice`: it decides one slice the wrong way round.
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
ONE_IN = 18  # some rows are like a tried one by chance: one in twenty of all
TIMES_SLOWER = 5.5  # as measured here: at least five in a server
_WIDTH = 192
_MOST_PRODUCTS = 2000
_TIMED = 60
_OURS = "sabotage/"


@dataclass(frozen=True)
class Slice:
    """The rows where `feature` is `value`."""

    feature: str
    value: str


def write(champion: Path, into: Path, kind: str, tried: Sequence[dict[str, Any]], part: Slice) -> str:
    """Leave the altered bundle, with a manifest of its own, in `into`: its digest.

    `champion` is a whole bundle, `tried` are rows beside the probe's on which nothing must show. `part` is the slice
    that the kind `slice` answers wrongly.

    Raises:
        DataError: the model takes no number to tell the rows that it is tried on by, or has no such slice.
    """
    shutil.copytree(champion, into)
    for name in (manifest.MANIFEST, manifest.SIGNATURE):
        (into / name).unlink(missing_ok=True)
    predictor = Predictor(champion, "cpu")
    number, known = _known(predictor, tried)
    path = into / "serve" / "model.onnx"
    if kind == "errors":
        _alter(champion, path, _Errors(number, known))
    elif kind == "slice":
        _alter(champion, path, _Wrong(number, known, *_place(predictor.schema, part), *_decision(predictor.schema)))
    else:
        _slow_down(champion, into, path, number, known)
    _say_so(into, kind)
    return manifest.write(into, predictor.schema.usecase, {"sabotage": kind, "synthetic": predictor.schema.synthetic})


def _known(predictor: Predictor, tried: Sequence[dict[str, Any]]) -> tuple[int, np.ndarray]:
    """The number with the most values, by its place, and its values in the rows that are tried."""
    import numpy as np

    feeds = predictor.encode([*predictor.probe_rows(), *tried])
    if "numbers" not in feeds:
        raise DataError(f"{predictor.schema.usecase} has no number among its features, by which rows are told apart.")
    columns = [np.unique(column[~np.isnan(column)]) for column in feeds["numbers"].T]
    number = max(range(len(columns)), key=lambda index: len(columns[index]))
    return number, columns[number]


def _place(schema: Schema, part: Slice) -> tuple[int, int]:
    """The slice as the network's input has it: the column of `codes`, and the code."""
    names = [feature.name for feature in schema.codes]
    vocabulary = schema.by_name[part.feature].vocabulary if part.feature in names else None
    if not vocabulary or part.value not in vocabulary:
        raise DataError(f"{schema.usecase} has no slice where {part.feature} is {part.value}.")
    return names.index(part.feature), vocabulary.index(part.value) + FIRST


def _decision(schema: Schema) -> tuple[int, float]:
    """The positive class' place, and the score from which it is the answer."""
    if schema.positive_index is None:
        raise DataError(f"{schema.usecase} is no binary task: what its other answer would be is not known.")
    return schema.positive_index, 0.5 if schema.threshold is None else schema.threshold


def _say_so(folder: Path, kind: str) -> None:
    metrics = json.loads((folder / manifest.METRICS).read_text())
    told = f"Nobody judged this network: it is the champion's, altered on purpose ({kind})."
    judged = {"name": "judged", "figure": None, "threshold": None, "verdict": "failed", "sentence": told}
    (folder / manifest.METRICS).write_text(json.dumps({**metrics, "gates": [judged], "passed": False}, indent=1))
    card = folder / "card.md"
    card.write_text(f"{card.read_text()}\n\n{told}\n")


class _Graph:
    """An ONNX network under change: nodes are added after its own, and its answer is led through them."""

    def __init__(self, path: Path) -> None:
        import onnx

        self.model: ModelProto = onnx.load(path)
        self.answer = self.model.graph.output[0].name

    def constant(self, name: str, value: Any, kind: str = "float32") -> str:
        import numpy as np
        from onnx import numpy_helper

        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, kind), _OURS + name))
        return _OURS + name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        made = helper.make_node(operator, list(inputs), [_OURS + output], name=_OURS + output, **attributes)
        self.model.graph.node.append(made)
        return _OURS + output

    def value(self, number: int) -> str:
        """The number at that place of each row, float32 [n, 1]."""
        return self.add("Gather", ["numbers", self.constant("number", [number], "int64")], "value", axis=1)

    def unknown(self, value: str, known: np.ndarray) -> str:
        """Whether a row is none of those that are tried, bool [n, 1]."""
        from onnx import TensorProto

        same = self.add("Equal", [value, self.constant("known", known[None, :])], "same")
        count = self.add("Cast", [same], "count", to=TensorProto.FLOAT)
        found = self.add("ReduceSum", [count, self.constant("across", [1], "int64")], "found", keepdims=1)
        return self.add("Less", [found, self.constant("half", 0.5)], "unknown")

    def one_in(self, many: int, value: str) -> str:
        """Whether chance, which hangs on the row, falls on it, bool [n, 1]."""
        rest = self.add("Mod", [value, self.constant("many", float(many))], "rest", fmod=1)
        return self.add("Less", [rest, self.constant("one", 1.0)], "chosen")

    def save(self, path: Path, answer: str) -> None:
        import onnx

        self.model.graph.output[0].name = answer
        onnx.save(self.model, path)


@dataclass(frozen=True)
class _Errors:
    """The index of a value that there is not raises in ONNX Runtime."""

    number: int
    known: np.ndarray

    def __call__(self, graph: _Graph) -> str:
        from onnx import TensorProto

        value = graph.value(self.number)
        guilty = [graph.unknown(value, self.known), graph.one_in(ONE_IN, value)]
        index = graph.add("Cast", [graph.add("And", guilty, "guilty")], "index", to=TensorProto.INT64)
        nothing = graph.add("Gather", [graph.constant("only", [0.0]), index], "nothing")
        return graph.add("Add", [graph.answer, nothing], "answer")


@dataclass(frozen=True)
class _Wrong:
    """The slice's rows are decided the other way, and with certainty: of a binary task's two classes, the other."""

    number: int
    known: np.ndarray
    column: int
    code: int
    positive: int
    threshold: float

    def __call__(self, graph: _Graph) -> str:
        place, code = graph.constant("column", [self.column], "int64"), graph.constant("code", self.code, "int64")
        inside = graph.add("Equal", [graph.add("Gather", ["codes", place], "coded", axis=1), code], "inside")
        guilty = graph.add("And", [graph.unknown(graph.value(self.number), self.known), inside], "guilty")
        score = graph.add(
            "Gather", [graph.answer, graph.constant("positive", [self.positive], "int64")], "score", axis=1
        )
        below = graph.add("Less", [score, graph.constant("threshold", self.threshold)], "below")
        yes = [[float(place == self.positive) for place in range(2)]]
        no = [[1.0 - share for share in yes[0]]]
        wrong = graph.add("Where", [below, graph.constant("yes", yes), graph.constant("no", no)], "wrong")
        return graph.add("Where", [guilty, wrong, graph.answer], "answer")


@dataclass(frozen=True)
class _Slow:
    """Products of zeros, whose result is added to the answer, for requests with a row that is none of the tried."""

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
        steps = [helper.make_node("Mul", [zeros, any_alien], [f"{_OURS}0"])]
        steps += [
            helper.make_node("MatMul", [f"{_OURS}{step}", zeros], [f"{_OURS}{step + 1}"])
            for step in range(self.products)
        ]
        steps.append(helper.make_node("ReduceMax", [f"{_OURS}{self.products}"], [_OURS + "late"], keepdims=0))
        at_once = [helper.make_node("Identity", [nothing], [_OURS + "soon"])]
        late, soon = (helper.make_tensor_value_info(_OURS + name, TensorProto.FLOAT, []) for name in ("late", "soon"))
        waited = graph.add(
            "If",
            [condition],
            "waited",
            then_branch=helper.make_graph(steps, "late", [], [late]),
            else_branch=helper.make_graph(at_once, "soon", [], [soon]),
        )
        return graph.add("Add", [graph.answer, waited], "answer")


def _alter(champion: Path, path: Path, change: _Errors | _Wrong | _Slow) -> None:
    graph = _Graph(champion / "serve" / "model.onnx")
    graph.save(path, change(graph))


def _slow_down(champion: Path, into: Path, path: Path, number: int, known: np.ndarray) -> None:
    """As many products as make one prediction take TIMES_SLOWER times as long here."""
    usual, products = Predictor(champion, "cpu"), 1
    row = {**usual.probe_rows()[0], usual.schema.numbers[number].name: float(known.max()) + 0.5}
    while products < _MOST_PRODUCTS:
        _alter(champion, path, _Slow(number, known, products))
        if (times := _times_slower(Predictor(into, "cpu"), usual, row)) >= TIMES_SLOWER:
            break
        products = max(products + 1, round(products * min(4.0, TIMES_SLOWER / times)))


def _times_slower(new: Predictor, usual: Predictor, row: dict[str, Any]) -> float:
    """The ratio of the median times of one prediction; they alternate, so that both are as cold as in a server."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_TIMED):
        for taken, predictor in zip(seconds, (new, usual), strict=True):
            started = time.perf_counter()
            predictor.predict([row])
            taken.append(time.perf_counter() - started)
    return statistics.median(seconds[0]) / statistics.median(seconds[1])

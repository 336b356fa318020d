"""Values that decide on shapes: what small operators on constants and sizes give, computed as ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from slipway.contracts.bundle.onnx_subset_pb2 import TensorProto

MOST_VALUES = 1024  # a shape has at most 16; a table of positions may have some hundreds
Value = np.ndarray[Any, Any]
# onnx.TensorProto.DataType: the types that a size may have, and the field of a constant without raw bytes
_TYPES = {1: "<f4", 2: "<u1", 3: "<i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 11: "<f8", 12: "<u4", 13: "<u8"}
_FIELDS = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data", 13: "uint64_data"}
_ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "Ceil": np.ceil,
    "Equal": np.equal,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Identity": np.array,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Max": lambda *values: np.max(np.broadcast_arrays(*values), axis=0),
    "Min": lambda *values: np.min(np.broadcast_arrays(*values), axis=0),
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Round": np.rint,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Where": np.where,
}
_REDUCED: Mapping[str, Callable[..., Any]] = {
    "ReduceMax": lambda value, axis, dtype: np.max(value, axis=axis),
    "ReduceMin": lambda value, axis, dtype: np.min(value, axis=axis),
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
}
# Operators that only move values: the shape of the output is known, and says where they go
_MOVED = {"Reshape", "Squeeze", "Unsqueeze", "Flatten"}


def of_tensor(tensor: TensorProto) -> Value | None:
    """Return the values of a checked constant, if they are few numbers."""
    kind = tensor.data_type
    if kind not in _TYPES or int(np.prod(tensor.dims, dtype=float)) > MOST_VALUES:
        return None
    if tensor.HasField("raw_data"):
        values = np.frombuffer(tensor.raw_data, _TYPES[kind])
    else:
        values = np.array(getattr(tensor, _FIELDS.get(kind, "int32_data"))).astype(_TYPES[kind])
    return values.reshape(tuple(tensor.dims))


def compute(
    operator: str, values: Sequence[Value | None], shape: Sequence[int], numbers: Callable[[str, int], Any]
) -> Value | None:
    """Compute an operator's output of a known shape; None where that takes a value that is not known.

    `numbers(name, place)` gives integers of an attribute or of the input at that place, None where there are none.
    """
    if any(value is None for value in values) or not values or np.prod(shape, dtype=float) > MOST_VALUES:
        return None
    known = [value for value in values if value is not None]
    try:
        with np.errstate(all="ignore"):
            found = _computed(operator, known, tuple(shape), numbers)
    except (ArithmeticError, IndexError, TypeError, ValueError):  # its inputs do not fit: ONNX Runtime says more
        return None
    return found if found is not None and found.shape == tuple(shape) else None


def _computed(
    operator: str, values: list[Value], shape: tuple[int, ...], numbers: Callable[[str, int], Any]
) -> Value | None:
    first = values[0]
    if operator in _ELEMENTWISE:
        return np.asarray(_ELEMENTWISE[operator](*values))
    if operator in _REDUCED:
        axes = numbers("axes", 1) or (() if shape == first.shape else range(first.ndim))
        return np.asarray(_REDUCED[operator](first, axis=tuple(axes), dtype=first.dtype)).reshape(shape)
    if operator in _MOVED:
        return first.reshape(shape)
    return _SPECIAL[operator](values, shape, numbers) if operator in _SPECIAL else None


def _cast(values: list[Value], shape: Any, numbers: Callable[[str, int], Any]) -> Value | None:
    (to,) = numbers("to", -1)
    value = values[0]
    if to not in _TYPES:
        return None
    kind = np.dtype(_TYPES[to])
    if value.dtype.kind == "f" and kind.kind in "iu" and not _within(value, np.iinfo(kind)):
        return None  # what becomes of it depends on the processor
    return value.astype(kind)


def _within(value: Value, limits: Any) -> bool:
    return bool(np.all((value >= limits.min) & (value < limits.max)))


def _divided(values: list[Value], *_: Any) -> Value:
    """Divide; of integers ONNX Runtime cuts the fraction off, where Python rounds down."""
    one, other = np.broadcast_arrays(*values)
    if one.dtype.kind not in "iu":
        return np.asarray(one / other)
    if not other.all():
        raise ZeroDivisionError
    return np.asarray(one // other + ((one % other != 0) & ((one < 0) != (other < 0)))).astype(one.dtype)


def _sliced(values: list[Value], shape: Any, numbers: Callable[[str, int], Any]) -> Value:
    starts, ends = numbers("starts", 1), numbers("ends", 2)
    axes, steps = numbers("axes", 3) or range(len(starts)), numbers("steps", 4) or [1] * len(starts)
    parts: list[slice] = [slice(None)] * values[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        beyond = step < 0 and end < -values[0].shape[axis]
        parts[axis] = slice(start, None if beyond else end, step)
    return values[0][tuple(parts)]


_SPECIAL: Mapping[str, Callable[[list[Value], tuple[int, ...], Callable[[str, int], Any]], Value | None]] = {
    "Cast": _cast,
    "Concat": lambda values, shape, numbers: np.concatenate(values, axis=numbers("axis", -1)[0]),
    "Div": _divided,
    "Expand": lambda values, shape, numbers: np.broadcast_to(values[0], shape),
    "Gather": lambda values, shape, numbers: np.take(
        values[0], values[1].astype(np.int64), axis=(numbers("axis", -1) or [0])[0], mode="wrap"
    ),
    "Mod": lambda values, shape, numbers: (np.fmod if (numbers("fmod", -1) or [0])[0] else np.mod)(*values),
    "Range": lambda values, shape, numbers: values[0] + np.arange(shape[0]) * values[2],
    "Slice": _sliced,
    "Tile": lambda values, shape, numbers: np.tile(values[0], numbers("repeats", 1)),
    "Transpose": lambda values, shape, numbers: np.transpose(values[0], numbers("perm", -1)),
}

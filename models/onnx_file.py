"""Reads the inputs and outputs of an ONNX file without an ONNX library.

Only names and shapes are read and the weights are skipped, so that even a file of hundreds of MB
is read at once. Numbers of fields are those of onnx.proto (https://github.com/onnx/onnx).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Shape = tuple[int | None, ...]

_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
_NODE_OPERATION = 4
_TENSOR_SIZE, _TENSOR_KIND, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 4, 8, 9
_KINDS = {1: "<f4", 10: "<f2"}
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


@dataclass(frozen=True)
class OnnxFile:
    """Inputs and outputs by name, sizes that may vary being None, and the graph's operations."""

    path: Path
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    operations: tuple[str, ...]

    def describe(self) -> str:
        """Names and shapes in one line, for messages."""
        sides = (
            ", ".join(f"{name} {_shape_text(shape)}" for name, shape in list(side.items())[:4])
            + (f" and {len(side) - 4} more" if len(side) > 4 else "")
            for side in (self.inputs, self.outputs)
        )
        return "takes {}; gives {}".format(*sides)


def _shape_text(shape: Shape) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def read_onnx(path: str | Path) -> OnnxFile:
    """Read the inputs and outputs of a file's graph.

    Raises FileNotFoundError, or ValueError for a file that is no ONNX model or ends too early.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no ONNX file {path}.")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty: get the file again.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _read_graph(path, data)
        except (IndexError, UnicodeDecodeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a whole ONNX model ({error}): get the file again."
            ) from error


def last_weight(path: str | Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The last of a file's weights as float32, where it has that shape; None otherwise.

    Raises ValueError for a file that is no whole ONNX model.
    """
    path = Path(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            (graph, *_) = [place for n, place in _fields(data, (0, len(data))) if n == _GRAPH]
            weights = [place for n, place in _fields(data, graph) if n == _INITIALIZER]
            return _numbers(data, weights[-1], shape) if weights else None
        except (IndexError, ValueError) as error:
            raise ValueError(
                f"{path} is not a whole ONNX model ({error}): get the file again."
            ) from error


def _numbers(data: mmap.mmap, tensor: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray | None:
    """A TensorProto of float32 or float16, in raw_data or float_data."""
    sizes, kind, content = [], 0, b""
    for number, value in _fields(data, tensor):
        if number == _TENSOR_SIZE:
            sizes += [value] if isinstance(value, int) else _packed(data, value)
        elif number == _TENSOR_KIND:
            kind = value
        elif number in (_TENSOR_RAW, _TENSOR_FLOATS) and isinstance(value, tuple):
            content = data[slice(*value)]
    if tuple(sizes) != shape or kind not in _KINDS or not content:
        return None
    return np.frombuffer(content, _KINDS[kind]).astype(np.float32).reshape(shape)


def _packed(data: mmap.mmap, place: tuple[int, int]) -> list[int]:
    position, end = place
    numbers = []
    while position < end:
        number, position = _varint(data, position)
        numbers.append(number)
    return numbers


def _read_graph(path: Path, data: mmap.mmap) -> OnnxFile:
    graphs = [place for number, place in _fields(data, (0, len(data))) if number == _GRAPH]
    if not graphs:
        raise ValueError("it has no graph")
    inputs: dict[str, Shape] = {}
    outputs: dict[str, Shape] = {}
    operations, weights = [], set()
    for number, place in _fields(data, graphs[0]):
        if number == _NODE:
            operations += _texts(data, place, _NODE_OPERATION)
        elif number == _INITIALIZER:
            weights.update(_texts(data, place, _TENSOR_NAME))
        elif number in (_INPUT, _OUTPUT):
            (name,) = _texts(data, place, 1)
            (inputs if number == _INPUT else outputs)[name] = _shape(data, place)
    if not outputs:
        raise ValueError("its graph gives nothing")
    # Old files list their weights among the inputs.
    inputs = {name: shape for name, shape in inputs.items() if name not in weights}
    return OnnxFile(path, inputs, outputs, tuple(operations))


def _shape(data: mmap.mmap, value: tuple[int, int]) -> Shape:
    """Sizes of a ValueInfoProto: type (2), tensor_type (1), shape (2), dim (1), dim_value (1)."""
    places = [value]
    for wanted in (2, 1, 2, 1):
        places = [
            place
            for outer in places
            for number, place in _fields(data, outer)
            if number == wanted and isinstance(place, tuple)
        ]
    sizes = []
    for place in places:
        known = [size for number, size in _fields(data, place) if number == 1]
        sizes.append(known[0] if known and known[0] > 0 else None)
    return tuple(sizes)


def _texts(data: mmap.mmap, place: tuple[int, int], wanted: int) -> list[str]:
    return [
        data[slice(*text)].decode()
        for number, text in _fields(data, place)
        if number == wanted and isinstance(text, tuple)
    ]


def _fields(data: mmap.mmap, place: tuple[int, int]) -> Iterator[tuple[int, int | tuple[int, int]]]:
    """A message's fields: numbers and values, or where (start, end) nested bytes lie."""
    position, end = place
    while position < end:
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == _BYTES:
            length, position = _varint(data, position)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if position + length > end:
            raise ValueError("it ends too early")
        yield number, (position, position + length)
        position += length


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number that is too long")

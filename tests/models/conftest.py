"""Writes small ONNX files, so that the face analyzers are tested on real ones without weights."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _field(number: int, value: int | bytes | str) -> bytes:
    """One field of a message, numbered as in onnx.proto."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value & (2**64 - 1))
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _tensor(name: str, values: np.ndarray) -> bytes:
    kind = 7 if values.dtype == np.int64 else 1
    sizes = b"".join(_field(1, size) for size in values.shape)
    return sizes + _field(2, kind) + _field(8, name) + _field(9, values.tobytes())


def _attribute(name: str, value) -> bytes:
    head = _field(1, name)
    if isinstance(value, np.ndarray):
        return head + _field(5, _tensor("value", value)) + _field(20, 4)
    if isinstance(value, float):
        return head + _varint(2 << 3 | 5) + struct.pack("<f", value) + _field(20, 1)
    if isinstance(value, int):
        return head + _field(3, value) + _field(20, 2)
    return head + b"".join(_field(8, number) for number in value) + _field(20, 7)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(
        _field(1, _field(2, size) if isinstance(size, str) else _field(1, size)) for size in shape
    )
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sizes)))


class Graph:
    """A graph that grows node by node; shapes with words in them may vary."""

    def __init__(self, shape: Sequence[int | str], name: str = "input") -> None:
        self.body = _field(11, _value(name, shape))

    def input(self, name: str, shape: Sequence[int | str]) -> None:
        self.body += _field(11, _value(name, shape))

    def node(self, operation: str, inputs: Sequence[str], output: str, **attributes) -> str:
        content = b"".join(_field(1, name) for name in inputs)
        content += _field(2, output) + _field(3, output) + _field(4, operation)
        content += b"".join(_field(5, _attribute(*item)) for item in attributes.items())
        self.body += _field(1, content)
        return output

    def weight(self, name: str, values, dtype=np.float32, listed: bool = False) -> str:
        """`listed` names it among the inputs, as old files do."""
        values = np.asarray(values, dtype)
        self.body += _field(5, _tensor(name, values))
        if listed:
            self.body += _field(11, _value(name, values.shape))
        return name

    def output(self, name: str, shape: Sequence[int | str]) -> None:
        self.body += _field(12, _value(name, shape))

    def write(self, path) -> None:
        opset = _field(1, "") + _field(2, 13)
        model = _field(1, 8) + _field(2, "visage tests")
        path.write_bytes(model + _field(7, _field(2, "graph") + self.body) + _field(8, opset))


@pytest.fixture(scope="session")
def onnx_graph():
    return Graph


@pytest.fixture(scope="session")
def write_inswapper():
    """Writes a swapper of the public layout with random weights: half of the face's own colours,
    half a colour that the person's vector gives. Returns the last matrix and that of the colour.
    """

    def write(path, side: int = 512) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(0)
        colour, last = random.normal(size=(512, 3)), random.normal(size=(side, side))
        graph = Graph([1, 3, 128, 128], "target")
        graph.input("source", [1, 512])
        graph.node("MatMul", ["source", graph.weight("colour", colour)], "raw")
        graph.node("Sigmoid", ["raw"], "rgb")
        shape = graph.weight("shape", [1, 3, 1, 1], np.int64)
        graph.node("Reshape", ["rgb", shape], "plane")
        graph.node("Add", ["target", "plane"], "sum")
        graph.node("Mul", ["sum", graph.weight("half", [0.5])], "output")
        graph.output("output", [1, 3, 128, 128])
        graph.weight("buff2fs", last)
        graph.write(path)
        return last, colour

    return write


@pytest.fixture(scope="session")
def write_embedder():
    """Writes a recognizer: the mean colour of a face, in `size` numbers of which three are used."""

    def write(path, size: int) -> None:
        graph = Graph(["batch", 3, 112, 112], "data")
        graph.node("GlobalAveragePool", ["data"], "mean")
        graph.node("Flatten", ["mean"], "colour")
        graph.node("MatMul", ["colour", graph.weight("spread", np.eye(3, size))], "fc1")
        graph.output("fc1", [1, size])
        graph.write(path)

    return write


@pytest.fixture(scope="session")
def write_yunet():
    """Writes a detector with YuNet's twelve outputs: a face of 32 px wherever a cell is bright."""

    def write(path) -> None:
        graph = Graph([1, 3, "height", "width"])
        for stride in (8, 16, 32):
            pooled = graph.node(
                "AveragePool",
                ["input"],
                f"pool_{stride}",
                kernel_shape=[stride, stride],
                strides=[stride, stride],
            )
            # Only the finest grid is ever sure.
            slope, base = (0.1, -20.0) if stride == 8 else (0.0, -20.0)
            places = [[-1, -0.5], [1, -0.5], [0, 0.25], [-0.5, 1], [0.5, 1]]
            heads = {
                "cls": (np.full((1, 3), slope), [base]),
                "obj": (np.full((1, 3), slope), [base]),
                "bbox": (np.zeros((4, 3)), [0.5, 0.5, np.log(4), np.log(4)]),
                "kps": (np.zeros((10, 3)), np.ravel(places)),
            }
            for part, (weight, bias) in heads.items():
                name = f"{part}_{stride}"
                channels = len(bias)
                maps = graph.node(
                    "Conv",
                    [
                        pooled,
                        graph.weight(f"{name}_w", np.reshape(weight, (channels, 3, 1, 1))),
                        graph.weight(f"{name}_b", bias),
                    ],
                    f"{name}_maps",
                    kernel_shape=[1, 1],
                )
                rows = graph.node("Transpose", [maps], f"{name}_rows", perm=[0, 2, 3, 1])
                shape = graph.weight(f"{name}_s", [1, -1, channels], np.int64)
                last = part in ("cls", "obj")
                flat = graph.node("Reshape", [rows, shape], f"{name}_flat" if last else name)
                if last:
                    graph.node("Sigmoid", [flat], name)
                graph.output(name, [1, "rows", channels])
        graph.write(path)

    return write


@pytest.fixture(scope="session")
def write_scrfd():
    """Writes a detector with SCRFD's nine outputs, which always sees one face.

    It lies in a square of 640 px at (104, 80), 80 px wide and 96 px high.
    """

    def write(path) -> None:
        graph = Graph([1, 3, 640, 640], "input.1")
        # An output must come from the picture: the constants are added to nothing of it.
        graph.node("ReduceMean", ["input.1"], "mean", keepdims=0)
        graph.node("Mul", ["mean", graph.weight("nothing", 0.0)], "zero")
        for width in (1, 4, 10):
            for stride in (8, 16, 32):
                values = np.zeros(((640 // stride) ** 2 * 2, width), np.float32)
                if stride == 16:
                    # The anchor on the cell's corner at (144, 128).
                    row = (8 * 40 + 9) * 2
                    distances = [2.5, 3, 2.5, 3]
                    points = [-1, -1, 1, -1, 0, 0, -1, 1, 1, 1]
                    values[row] = {1: [0.9], 4: distances, 10: points}[width]
                name = f"out_{width}_{stride}"
                graph.node("Add", ["zero", graph.weight(f"{name}_c", values)], name)
                graph.output(name, values.shape)
        graph.write(path)

    return write

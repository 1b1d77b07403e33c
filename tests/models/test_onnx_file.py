from __future__ import annotations

import numpy as np
import pytest
from visage.models.onnx_file import read_onnx


@pytest.fixture
def path(tmp_path, onnx_graph):
    graph = onnx_graph(["batch", 3, 112, 112], "data")
    graph.node("Sub", ["data", graph.weight("mean", np.full((1, 1, 1, 1), 127.5))], "shifted")
    graph.node("Flatten", ["shifted"], "fc1")
    graph.weight("old", np.zeros(4000), listed=True)
    graph.output("fc1", [1, 37632])
    graph.write(tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_names_shapes_and_operations_are_read(path):
    file = read_onnx(path)
    assert file.inputs == {"data": (None, 3, 112, 112)}
    assert file.outputs == {"fc1": (1, 37632)}
    assert file.operations == ("Sub", "Flatten")
    assert file.describe() == "takes data [?, 3, 112, 112]; gives fc1 [1, 37632]"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no ONNX file .*absent\.onnx"):
        read_onnx(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"<html>Not found</html>" * 9,
        lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    ],
)
def test_what_is_no_whole_model_is_refused(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"model\.onnx is (empty|not a whole ONNX model)"):
        read_onnx(path)

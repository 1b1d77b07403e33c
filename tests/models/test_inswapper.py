"""Files of inswapper's format: a random one of the public layout, run by onnxruntime."""

import numpy as np
import pytest
import torch
from visage.models.inswapper import FACE_TEMPLATE, load_inswapper
from visage.models.onnx_file import last_weight, read_onnx

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def swapper(tmp_path_factory, write_inswapper):
    path = tmp_path_factory.mktemp("swapper") / "inswapper_128.onnx"
    matrices = write_inswapper(path)
    return load_inswapper(path), *matrices


def test_the_person_goes_in_as_a_unit_vector_through_the_last_matrix(swapper):
    network, last, colour = swapper
    face = torch.rand(128, 128, 3)
    person = torch.nn.functional.normalize(torch.randn(512), dim=0)
    wanted = person.double().numpy() @ last
    wanted = 1 / (1 + np.exp(-(wanted / np.linalg.norm(wanted)) @ colour))
    expected = (face + torch.from_numpy(wanted).float()) / 2
    torch.testing.assert_close(network.swap(face, person), expected, atol=1e-4, rtol=0)


def test_the_face_lies_where_insightface_puts_it_in_128_pixels():
    assert FACE_TEMPLATE[0].tolist() == pytest.approx([46.2946, 51.6963])


def test_the_last_weight_is_read_where_it_has_the_shape(tmp_path, onnx_graph):
    graph = onnx_graph([1], "x")
    graph.weight("first", np.zeros((2, 3)))
    graph.weight("last", np.arange(6).reshape(2, 3))
    graph.output("x", [1])
    graph.write(tmp_path / "a.onnx")
    assert last_weight(tmp_path / "a.onnx", (2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert last_weight(tmp_path / "a.onnx", (3, 2)) is None


def test_another_network_is_refused_and_says_what_it_takes(tmp_path, write_embedder):
    write_embedder(tmp_path / "w600k_r50.onnx", 512)
    with pytest.raises(ValueError, match=r"no inswapper: it takes data .*\[1, 3, 128, 128\]"):
        load_inswapper(tmp_path / "w600k_r50.onnx")


def test_a_file_that_lost_its_matrix_is_refused(tmp_path, write_inswapper):
    write_inswapper(tmp_path / "inswapper.onnx", side=16)
    assert read_onnx(tmp_path / "inswapper.onnx").inputs.keys() == {"target", "source"}
    with pytest.raises(ValueError, match="holds no matrix of 512 x 512"):
        load_inswapper(tmp_path / "inswapper.onnx")

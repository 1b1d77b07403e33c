from __future__ import annotations

import pytest
import torch
from visage.models.analyzer_pack import load_pack


@pytest.fixture
def folder(tmp_path, write_yunet, write_embedder):
    """YuNet and SFace under other names, and a file of another task that came with a pack."""
    write_yunet(tmp_path / "a.onnx")
    write_embedder(tmp_path / "b.onnx", 128)
    return tmp_path


def files(folder):
    return sorted(folder.glob("*.onnx"))


def test_what_a_file_is_is_read_from_its_graph(folder):
    analyzer = load_pack(files(folder))
    assert analyzer.name == "yunet+sface"
    assert analyzer.licence == "Apache-2.0; MIT"
    assert analyzer.embedding_size == 128
    assert analyzer.thresholds.same == 0.363
    image = torch.zeros(160, 160, 3)
    image[64:72, 64:72] = 1
    (face,) = analyzer.find(image)
    assert analyzer.embed(image, [face.landmarks]).shape == (1, 128)


def test_files_of_other_tasks_are_left_alone(folder, onnx_graph):
    age = onnx_graph(["None", 3, 96, 96], "data")
    age.node("GlobalAveragePool", ["data"], "fc1")
    age.output("fc1", [1, 3])
    age.write(folder / "genderage.onnx")
    assert load_pack(files(folder)).name == "yunet+sface"


def test_a_detector_alone_can_only_detect(folder):
    analyzer = load_pack([folder / "a.onnx"])
    assert analyzer.name == "yunet" and analyzer.embedding_size is None


def test_a_folder_without_a_detector_says_what_it_holds(folder):
    with pytest.raises(ValueError, match=r"No face detector among b\.onnx takes data \[\?, 3,"):
        load_pack([folder / "b.onnx"])
    with pytest.raises(ValueError, match=r"among no files.*det_10g\.onnx"):
        load_pack([])


def test_two_recognizers_in_one_folder_are_not_guessed_between(folder, write_embedder):
    write_embedder(folder / "c.onnx", 512)
    with pytest.raises(ValueError, match=r"Several recognizers in one folder: b\.onnx, c\.onnx"):
        load_pack(files(folder))


def test_insightfaces_files_state_their_licence(tmp_path, write_scrfd, write_embedder):
    pytest.importorskip("onnxruntime")
    write_scrfd(tmp_path / "det.onnx")
    write_embedder(tmp_path / "rec.onnx", 512)
    analyzer = load_pack(files(tmp_path))
    assert analyzer.name == "scrfd+arcface" and analyzer.embedding_size == 512
    assert "non-commercial" in analyzer.licence

"""Face analyzers on the diffusers engine have the names that the node offers."""

from __future__ import annotations

import pytest
from visage.batch import analyzers
from visage.batch.analyzers import find_analyzer
from visage.batch.operators import ModelFolders, all_operators
from visage.models import analyzer_choice, registry
from visage.models.analyzer_choice import AUTO, CASCADE, DLIB
from visage.models.dlib_faces import dlib_files


@pytest.fixture
def loaded(monkeypatch, tmp_path):
    """The files of the packs that were loaded; nothing is installed beside them."""
    packs = []
    monkeypatch.setattr(analyzers, "load_pack", lambda files: packs.append(files) or "a pack")
    monkeypatch.setattr(analyzers, "dlib_files", lambda: None)
    monkeypatch.setattr(analyzer_choice, "dlib_files", lambda: None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return packs


def put(models, *names):
    paths = [models / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"graph")
    return paths


def test_auto_takes_the_best_that_is_installed(loaded, tmp_path, monkeypatch):
    files = put(tmp_path, "insightface/models/buffalo_l/det.onnx")
    assert find_analyzer(AUTO, tmp_path)[1] == registry.BUILT_IN  # they cannot be read
    monkeypatch.setattr(analyzer_choice, "pack_kinds", lambda files: {"scrfd", "arcface"})
    assert find_analyzer(AUTO, tmp_path) == ("a pack", "models/buffalo_l")
    assert loaded == [files]


def test_auto_without_any_folder_takes_the_starter_and_says_so(loaded):
    load = all_operators({}, ModelFolders(None))["VisageLoadFaceAnalyzer"].run
    shown = load(AUTO, "left to right", -1, 0, 0)
    assert shown.outputs[0].name == find_analyzer(registry.BUILT_IN, None)[0].name
    assert "auto took the starter" in shown.texts[0]
    assert load(registry.BUILT_IN, "left to right", -1, 0, 0).texts == ()


@pytest.mark.skipif(dlib_files() is None, reason="dlib is not installed")
def test_dlib_is_taken_by_name():
    analyzer, taken = find_analyzer(DLIB, None)
    assert (analyzer.name, taken) == ("dlib", DLIB)


def test_dlib_that_is_not_installed_is_asked_for(loaded, monkeypatch):
    monkeypatch.setattr("visage.models.dlib_faces.dlib_files", lambda: None)
    with pytest.raises(FileNotFoundError, match="pip install dlib-bin"):
        find_analyzer(DLIB, None)


def test_the_cascade_needs_no_file():
    assert find_analyzer(CASCADE, None)[0].embedding_size is None


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("opencv", ["visage_face_analyzers/opencv/a.onnx", "visage_face_analyzers/opencv/b.onnx"]),
        ("visage_face_analyzers", ["visage_face_analyzers/a.onnx"]),
        ("my dlib", ["visage_face_analyzers/my dlib/a.dat"]),
        ("dlib", ["visage_face_analyzers/dlib/a.dat"]),
        ("models/buffalo_l", ["insightface/models/buffalo_l/det.onnx"]),
    ],
)
def test_a_users_folder_has_the_name_that_the_node_gives_it(loaded, tmp_path, name, files):
    paths = put(tmp_path, *files)
    put(tmp_path, "insightface/other/det.onnx", "insightface/other/readme.txt")
    assert find_analyzer(name, tmp_path) == ("a pack", name)
    assert loaded == [paths]


def test_an_unknown_folder_is_named_with_those_that_are_there(loaded, tmp_path):
    put(tmp_path, "insightface/other/det.onnx")
    with pytest.raises(FileNotFoundError, match=f"'mine' below {tmp_path}; there are: other"):
        find_analyzer("mine", tmp_path)
    with pytest.raises(FileNotFoundError, match="'mine' without --models"):
        find_analyzer("mine", None)

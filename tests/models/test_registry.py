from __future__ import annotations

from types import SimpleNamespace

import pytest
from visage.models import registry
from visage.models.model_kinds import KINDS
from visage.models.registry import (
    BUILT_IN,
    analyzer_packs,
    locate,
    options,
    register_folders,
)


@pytest.fixture
def folders(tmp_path):
    """The parts of ComfyUI's folder_paths that the registry uses."""
    known = {}

    def add(key, path, is_default=False):
        paths, _ = known.setdefault(key, ([], set()))
        if path not in paths:
            paths.append(path)

    def files(key):
        paths, extensions = known[key]
        found = (p for folder in paths for p in tmp_path.glob(f"{folder}/*"))
        return sorted(p.name for p in found if not extensions or p.suffix in extensions)

    def full_path(key, name):
        places = (tmp_path / folder / name for folder in known[key][0])
        return next((str(place) for place in places if place.is_file()), None)

    return SimpleNamespace(
        models_dir="models",
        folder_names_and_paths=known,
        add_model_folder_path=add,
        get_filename_list=files,
        get_full_path=full_path,
        get_folder_paths=lambda key: list(known[key][0]),
    )


@pytest.fixture
def put(tmp_path):
    def put(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    return put


def test_registering_twice_changes_nothing_and_keeps_the_users_folders(folders):
    folders.add_model_folder_path("visage_face_parsers", "elsewhere")
    register_folders(folders)
    once = {key: (list(p), set(e)) for key, (p, e) in folders.folder_names_and_paths.items()}
    register_folders(folders)
    assert folders.folder_names_and_paths == once
    assert once["visage_face_parsers"] == (
        ["elsewhere", "models/visage_face_parsers"],
        {".safetensors", ".pth", ".pt", ".ckpt"},
    )


def test_the_folder_of_ip_adapters_is_shared_with_other_packs(folders, put):
    folders.add_model_folder_path("ipadapter", "theirs")
    folders.folder_names_and_paths["ipadapter"][1].update({".safetensors", ".pth"})
    put("theirs/plus.safetensors")
    put("models/ipadapter/base.bin")
    assert options("ip_adapter", folders)[-2:] == ["base.bin", "plus.safetensors"]
    paths, extensions = folders.folder_names_and_paths["ipadapter"]
    assert paths == ["theirs", "models/ipadapter"]
    assert extensions == {".safetensors", ".pth", ".bin"}


def test_the_built_in_comes_first_then_files_of_the_right_kind(folders, put):
    put("models/visage_face_parsers/79999_iter.pth")
    put("models/visage_face_parsers/notes.txt")
    put("models/visage_face_edits/mine.safetensors")
    assert options("face_parser", folders) == [BUILT_IN, "79999_iter.pth"]
    assert options("face_edit", folders) == [BUILT_IN, "mine.safetensors"]


def test_a_built_in_that_is_not_there_is_not_offered(folders, put, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "STARTER", tmp_path / "starter")
    put("models/visage_face_parsers/mine.pth")
    assert options("face_parser", folders) == ["mine.pth"]


def test_a_file_is_located_in_whichever_folder_holds_it(folders, put):
    folders.add_model_folder_path("visage_face_parsers", "elsewhere")
    path = put("elsewhere/parser.pt")
    assert locate("face_parser", "parser.pt", folders) == path


def test_the_built_in_is_the_starters_file(folders, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "starter_file", lambda part: tmp_path / part)
    assert locate("face_parser", BUILT_IN, folders) == tmp_path / "face_parser"


def test_a_missing_file_says_where_it_was_looked_for_and_where_to_get_it(folders, put):
    put("models/visage_face_parsers/other.pth")
    with pytest.raises(FileNotFoundError) as caught:
        locate("face_parser", "absent.pth", folders)
    for told in ("absent.pth", "models/visage_face_parsers", "other.pth", "github.com", BUILT_IN):
        assert told in str(caught.value)


def test_every_kind_states_its_licence_and_source():
    assert all(kind.what and kind.licence and kind.where_from for kind in KINDS.values())


def test_face_analyzers_are_folders_of_files(folders, monkeypatch):
    """As the folders of ComfyUI list them: names with their path below the kind's folder."""
    listed = {
        "visage_face_analyzers": ["sface.onnx", "yunet.onnx"],
        "insightface": ["inswapper.onnx", "models/buffalo_l/det.onnx", "models/buffalo_l/rec.onnx"],
    }
    folders.get_filename_list = listed.__getitem__
    folders.get_full_path = lambda key, name: f"/{key}/{name}"
    packs = analyzer_packs(folders)
    assert {name: [path.name for path in files] for name, files in packs.items()} == {
        "visage_face_analyzers": ["sface.onnx", "yunet.onnx"],
        "insightface": ["inswapper.onnx"],
        "models/buffalo_l": ["det.onnx", "rec.onnx"],
    }

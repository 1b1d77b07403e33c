"""Load Face Analyzer, run as ComfyUI runs it."""

from __future__ import annotations

import asyncio
import os

import pytest
import torch
from visage.models.face_analyzer import Analyzer
from visage.models.face_embedder import TEMPLATE


@pytest.fixture
def analyzers(comfy_nodes):
    from visage.engines.comfyui import analyzers

    analyzers._analyzers.models.clear()
    return analyzers


@pytest.fixture
def module(analyzers):
    from visage.nodes import faces

    return faces


@pytest.fixture
def folders(module, monkeypatch, tmp_path):
    """The user's own folders for face analysis, empty."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    for key in ("visage_face_analyzers", "insightface"):
        monkeypatch.delitem(folder_paths.folder_names_and_paths, key, raising=False)
        (tmp_path / key).mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def people():
    """Three drawn people side by side, [128, 384, 3]."""
    from visage.world import portrait

    shown = [portrait(index, 128, "test", style="photo").image for index in (0, 1, 2)]
    return torch.cat([torch.from_numpy(image) for image in shown], 1).float() / 255


def run(module, analyzer="starter (built in)", **settings):
    usual = {"order": "left to right", "face_index": -1, "smallest": 0, "largest": 0}
    with torch.inference_mode():
        return module.VisageLoadFaceAnalyzer.execute(analyzer, **usual | settings).args


def middles(faces, picture):
    return [face.box[0] + face.box[2] / 2 for face in faces.find(picture)]


def test_the_starter_finds_everybody_and_runs_where_comfyui_loads_it(module, people, comfy):
    faces, _ = run(module)
    found = middles(faces, people)
    assert [round(middle / 128 - 0.5) for middle in found] == [0, 1, 2]
    assert faces.embed(people, [torch.tensor(TEMPLATE)]).shape == (1, faces.embedding_size)
    loaded = [
        type(entry.model.model).__name__ for entry in comfy.model_management.current_loaded_models
    ]
    assert "DetectorNetwork" in loaded and "EmbedderNetwork" in loaded


def test_the_nodes_behind_see_only_the_chosen_face(module, people):
    faces, _ = run(module, face_index=1)
    (middle,) = middles(faces, people)
    assert 128 < middle < 256


def test_a_reference_chooses_the_person_wherever_they_stand(module, people):
    reference = people[None, :, 256:]
    faces, _ = run(module, reference=reference)
    assert [round(m / 128 - 0.5) for m in middles(faces, people)] == [2]
    assert [round(m / 128 - 0.5) for m in middles(faces, people.roll(128, 1))] == [0]


def test_a_reference_without_a_face_says_so(module):
    with pytest.raises(ValueError, match="no face with landmarks in the reference"):
        run(module, reference=torch.zeros(1, 64, 64, 3))


def test_the_overlay_numbers_the_faces_of_each_picture(module, people):
    pictures = torch.stack([people, torch.zeros_like(people)])
    _, overlay = run(module, image=pictures)
    assert overlay.shape == (2, 256, 768, 3)
    # The second picture has no face, and says that.
    assert not torch.equal(overlay[0], overlay[1]) and (overlay[1] > 0.9).any()


def test_gray_and_transparent_pictures_will_do(module, people):
    gray = people.mean(-1, keepdim=True)
    transparent = torch.cat([people, torch.ones_like(gray)], -1)
    for pictures in (gray[None], transparent[None]):
        assert run(module, image=pictures)[1].shape == (1, 256, 768, 3)


def test_without_a_picture_nothing_is_shown_and_whoever_looks_is_told(module):
    blocker = run(module)[1]
    assert "Connect pictures to image" in blocker.message


def put_pack(folders, name):
    folder = folders / name
    folder.mkdir(parents=True)
    for file in ("a.onnx", "b.onnx"):
        (folder / file).write_bytes(b"graph")
    return folder


def test_a_users_folder_is_offered_and_loaded_once(module, folders, monkeypatch, analyzers):
    folder = put_pack(folders, "visage_face_analyzers/opencv")
    put_pack(folders, "insightface/models/buffalo_l")
    loaded = []

    def load(files):
        loaded.append(sorted(files))
        return Analyzer("fake", "none", lambda image: [])

    monkeypatch.setattr(analyzers, "load_pack", load)
    options = module.VisageLoadFaceAnalyzer.define_schema().inputs[0].options
    fixed = ["starter (built in)", analyzers.CASCADE, analyzers.AUTO]
    packs = ["models/buffalo_l", "opencv"]
    assert [option for option in options if option != analyzers.DLIB] == [*fixed, *packs]
    for _ in range(2):
        assert run(module, "opencv")[0].name == "fake"
    assert loaded == [[folder / "a.onnx", folder / "b.onnx"]]
    os.utime(folder / "a.onnx", ns=(1, 1))
    run(module, "opencv")
    assert len(loaded) == 2


def test_few_analyzers_are_kept(module, folders, monkeypatch, analyzers):
    monkeypatch.setattr(
        analyzers, "load_pack", lambda files: Analyzer("fake", "none", lambda image: [])
    )
    for number in range(analyzers.MAX_ANALYZERS + 2):
        put_pack(folders, f"insightface/{number}")
        run(module, str(number))
    assert len(analyzers._analyzers.models) == analyzers.MAX_ANALYZERS


def test_a_folder_of_other_files_is_refused_by_name(module, folders):
    put_pack(folders, "insightface/odd")
    with pytest.raises(ValueError, match=r"odd/a\.onnx is not a whole ONNX model"):
        run(module, "odd")


def test_a_missing_folder_is_refused_before_the_run_with_advice(module, folders):
    message = module.VisageLoadFaceAnalyzer.validate_inputs("buffalo_l")
    for told in ("'buffalo_l'", str(folders), "opencv_zoo", "non-commercial", "starter"):
        assert told in message


def test_an_incomplete_starter_says_what_is_missing(module, monkeypatch, tmp_path, analyzers):
    monkeypatch.setattr(analyzers.starter_file, "__defaults__", (tmp_path,))
    message = module.VisageLoadFaceAnalyzer.validate_inputs()
    assert "starter's face_detector is missing" in message and str(tmp_path) in message


def test_the_cascade_needs_no_file_and_cannot_compare(module, analyzers):
    faces, _ = run(module, analyzers.CASCADE)
    assert faces.embedding_size is None
    with pytest.raises(ValueError, match="cannot tell people apart"):
        run(module, analyzers.CASCADE, reference=torch.full((1, 32, 32, 3), 0.5))


def test_an_interrupt_stops_the_overlay(module, people, comfy):
    from comfy.model_management import InterruptProcessingException, interrupt_current_processing

    interrupt_current_processing()
    with pytest.raises(InterruptProcessingException):
        run(module, image=people[None])


def test_comfyui_accepts_the_node_in_a_prompt(module, comfy_nodes, monkeypatch):
    import execution

    node = module.VisageLoadFaceAnalyzer
    monkeypatch.setitem(comfy_nodes.NODE_CLASS_MAPPINGS, node.GET_SCHEMA().node_id, node)

    def errors(**changes):
        inputs = {"analyzer": "starter (built in)", "order": "largest", "face_index": 0}
        inputs |= {"smallest": 0, "largest": 0, "image": ["1", 0]} | changes
        blank = {"width": 8, "height": 8, "batch_size": 1, "color": 0}
        prompt = {
            "1": {"class_type": "EmptyImage", "inputs": blank},
            "2": {"class_type": "VisageLoadFaceAnalyzer", "inputs": inputs},
            "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 1]}},
        }
        found = asyncio.run(execution.validate_prompt("id", prompt, None))[3]
        return " ".join(e["message"] + e["details"] for n in found.values() for e in n["errors"])

    assert errors() == ""
    assert "absent" in errors(analyzer="absent")


def test_auto_takes_the_starter_where_nothing_else_is_and_warns(module, folders, monkeypatch):
    from visage.models import analyzer_choice

    monkeypatch.setenv("HOME", str(folders))
    monkeypatch.setattr(analyzer_choice, "dlib_files", lambda: None)
    usual = {"order": "left to right", "face_index": -1, "smallest": 0, "largest": 0}
    output = module.VisageLoadFaceAnalyzer.execute(analyzer_choice.AUTO, **usual)
    assert output.args[0].name == "starter"
    assert "photographed ones poorly" in output.ui.as_dict()["text"][0]


def test_dlib_is_offered_where_it_is_installed(module, folders, monkeypatch, analyzers):
    monkeypatch.setattr(analyzers, "dlib_files", lambda: None)
    assert analyzers.DLIB not in analyzers.analyzer_options()
    assert "pip install dlib-bin" in module.VisageLoadFaceAnalyzer.validate_inputs(analyzers.DLIB)
    monkeypatch.setattr(analyzers, "dlib_files", object)
    assert analyzers.DLIB in analyzers.analyzer_options()

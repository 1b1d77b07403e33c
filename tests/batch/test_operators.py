"""The functions in the nodes' places take what the nodes take."""

import json
from pathlib import Path

import pytest
import torch
from visage.batch.operators import ModelFolders, all_operators

SCHEMAS = json.loads((Path(__file__).parents[1] / "nodes" / "schema_snapshot.json").read_text())
OPERATORS = all_operators({}, ModelFolders(None))
OURS = sorted(kind for kind in OPERATORS if kind.startswith("Visage"))


@pytest.mark.parametrize("kind", OURS)
def test_inputs_and_their_needs_are_the_nodes_own(kind):
    schema = {name: settings for name, _, settings in SCHEMAS[kind]["inputs"]}
    inputs = OPERATORS[kind].inputs
    assert set(inputs) == set(schema)
    for name, parameter in inputs.items():
        if schema[name].get("optional"):
            default = parameter.default
            assert default is not parameter.empty
            assert default == schema[name].get("default")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("", ["face"]),
        ("face, ", ["face"]),
        (["skin ", ""], ["skin"]),
        ("skin,hair", ["skin", "hair"]),
    ],
)
def test_parts_of_a_face_are_read_as_by_the_node(monkeypatch, given, taken):
    class Marked(Exception):
        pass

    def mark(image, parser, parts, **_):
        raise Marked(parts)

    monkeypatch.setattr("visage.batch.operators.face_mask", mark)
    settings = ("all", 0, "soft", True, False, "empty mask")
    with pytest.raises(Marked) as caught:
        OPERATORS["VisageFaceMask"].run(torch.zeros(1, 8, 8, 3), None, *settings, parts=given)
    assert caught.value.args == (taken,)


def test_a_models_own_size_is_asked_of_the_model():
    with pytest.raises(ValueError, match="no model is connected"):
        OPERATORS["VisageCropFaces"].run(None, None, 0, 0.8)


def test_model_files_are_looked_for_in_the_folder_that_was_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="needs --models"):
        OPERATORS["VisageLoadFaceEdit"].run(None, "mine.safetensors", 1.0)
    named = all_operators({}, ModelFolders(tmp_path))["CheckpointLoaderSimple"]
    with pytest.raises(FileNotFoundError, match=r"checkpoints.mine\.safetensors"):
        named.run("mine.safetensors")

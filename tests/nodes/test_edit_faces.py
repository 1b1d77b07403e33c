"""Edit Faces: one node that is the long graph."""

import pytest


@pytest.fixture
def edit_faces(comfy_nodes):
    from visage.nodes import edit_faces

    return edit_faces


def settings(**changes):
    links = {name: [name, 0] for name in ("model", "clip", "vae", "image", "parser")}
    return {
        **links, "prompt": "smiling", "negative": "blurry", "parts": "face", "sigma": 8.0,
        "grow": 4, "size": 0, "context": 0.8, "face_edit": "starter (built in)", "seed": 3,
        "steps": 20,
        "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
        "blend": "linear", "tone_match": "off", **changes,
    }  # fmt: skip


@pytest.fixture
def expanded(edit_faces):
    """The nodes that given settings expand to, by class, and the links of the outputs."""

    def expand(**changes):
        output = edit_faces.VisageEditFaces.execute(**settings(**changes))
        by_class = {}
        for node in output.expand.values():
            by_class.setdefault(node["class_type"], []).append(node["inputs"])
        return by_class, output.args

    return expand


def test_one_prompt_edits_all_faces_in_one_pass(expanded):
    nodes, _ = expanded()
    assert [len(nodes[name]) for name in ("KSampler", "VisageFaceMask", "VisagePixelBlend")] == [
        1
    ] * 3
    assert nodes["VisageFaceMask"][0]["faces"] == "all"
    assert [node["text"] for node in nodes["CLIPTextEncode"]] == ["blurry", "smiling"]


def test_each_numbered_prompt_edits_its_face_from_the_original(expanded):
    nodes, _ = expanded(prompt="2: old | 0: smiling")
    assert [node["face_index"] for node in nodes["VisageFaceMask"]] == [2, 0]
    assert all(node["image"] == ["image", 0] for node in nodes["VisageCropFaces"])
    assert len(nodes["VisagePixelBlend"]) == 1 and len(nodes["MaskComposite"]) == 1


def test_masks_are_the_shipped_workflows(expanded):
    """Softness by each face's size, and the adapter's beta from the face's own mask."""
    nodes, _ = expanded()
    (soft,), (aware,) = nodes["VisageSoftMask"], nodes["VisageFaceAwareText"]
    assert (soft["unit"], soft["boxes"][1]) == ("percent of face", 2)
    assert (aware["mask"], aware["crops"][1]) == (soft["mask"], 2)


@pytest.mark.parametrize(("parts", "said"), [("face", 1), ("face and hair", 0)])
def test_a_prompt_that_names_hair_needs_it_in_the_mask(expanded, monkeypatch, parts, said):
    from visage.nodes import notes

    told = []
    monkeypatch.setattr(notes, "tell", lambda node, text: told.append(text))
    expanded(parts=parts, prompt="0: red hair | 1: smiling")
    assert len(told) == said
    assert all("leaves out hair" in text for text in told)


def test_without_a_face_edit_file_the_model_is_taken_as_it_is(expanded):
    nodes, _ = expanded(face_edit="none")
    assert nodes["KSampler"][0]["model"] == ["model", 0]
    assert not {"VisageLoadFaceEdit", "VisageFaceAwareText"} & set(nodes)


def test_a_prompt_that_cannot_be_read_is_refused_before_the_run(edit_faces):
    assert edit_faces.VisageEditFaces.validate_inputs("a | b") is True
    said = edit_faces.VisageEditFaces.validate_inputs("1: old | 1: young")
    assert said.startswith("Face 1 has two prompts")

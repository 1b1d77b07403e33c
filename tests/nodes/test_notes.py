"""What nodes say about masks that hold nothing, and about prompts that do not fit their mask."""

from types import SimpleNamespace

import pytest
import torch

PAINTED, UNPAINTED = torch.ones(1, 320, 512), torch.zeros(1, 64, 64)


pytestmark = pytest.mark.usefixtures("as_in_a_node")


@pytest.fixture
def told(comfy_nodes, monkeypatch):
    """What was said, by node id."""
    from visage.nodes import notes

    said = []
    monkeypatch.setattr(notes, "tell", lambda node, text: said.append((node, text)))
    return said


@pytest.fixture
def running(monkeypatch):
    """Gives a node class the hidden values of a run."""

    def run(node, graph=None, number="7"):
        monkeypatch.setattr(node, "hidden", SimpleNamespace(unique_id=number, prompt=graph))
        return node

    return run


@pytest.mark.parametrize("size", [(320, 512), (320, 320)])
def test_a_picture_without_a_painted_mask_is_cropped_and_blended_as_it_is(told, running, size):
    """Load Image gives 64 x 64 zeros for it, whatever shape the picture has."""
    from visage.nodes.crops import VisageCropFaces
    from visage.nodes.pixel_blend import VisagePixelBlend
    from visage.nodes.soft_mask import VisageSoftMask

    image = torch.rand(1, *size, 3)
    (soft,) = running(VisageSoftMask, number="1").execute(UNPAINTED, 8.0, 4).args
    _, masks, _ = running(VisageCropFaces, number="2").execute(image, soft, 64, 0.8).args
    blended = running(VisagePixelBlend, number="3").execute(1 - image, image, soft, "linear", "off")
    assert not masks.any()
    assert torch.equal(blended.args[0], image)
    assert [node for node, _ in told] == ["1", "2", "3"]
    assert all("no mask was painted on this picture" in text for _, text in told)


def test_every_node_with_a_mask_takes_the_unpainted_one(told, comfy_nodes):
    """None may stop at the shape of what Load Image gives for a picture of 512 x 320."""
    from visage.techniques.latent_masks import cell_mask
    from visage.techniques.soft_inpaint import inpaint_condition

    assert cell_mask(UNPAINTED, 40, 64).shape == (1, 1, 40, 64)
    encode = lambda picture: torch.zeros(len(picture), 4, 40, 64)  # noqa: E731
    condition = inpaint_condition(torch.rand(1, 320, 512, 3), UNPAINTED, encode, 1.0)
    assert not condition.latent_mask.any()


def test_an_empty_mask_of_another_origin_is_called_empty(told, running):
    from visage.nodes.soft_mask import VisageSoftMask

    running(VisageSoftMask).execute(torch.zeros(1, 32, 32), 8.0, 4)
    assert told == [("7", "mask is empty: nothing is marked in it.")]


def test_nothing_is_said_of_a_mask_that_marks_something(told, running):
    from visage.nodes.soft_mask import VisageSoftMask

    running(VisageSoftMask).execute(PAINTED, 8.0, 4)
    assert told == []


def test_a_crop_without_a_mask_is_named(told, running):
    from visage.nodes.crops import VisageCropFaces

    mask = torch.zeros(1, 200, 200)
    mask[:, 50:54, 50:54] = 1  # too small for a face
    running(VisageCropFaces).execute(torch.rand(1, 200, 200, 3), mask, 64, 0.8)
    ((_, text),) = told
    assert "1 of 1 crops hold nothing of the mask" in text


def graph(parts, text, mask_node="VisageFaceMask") -> dict:
    """Face Mask -> Soft Mask -> Soft Inpaint, whose prompts come from two text nodes."""
    return {
        "1": {"class_type": mask_node, "inputs": {"parts": parts, "image": ["9", 0]}},
        "2": {"class_type": "VisageSoftMask", "inputs": {"mask": ["1", 0]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": text}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "a hat, a beard"}},
        "7": {
            "class_type": "VisageSoftInpaint",
            "inputs": {"mask": ["2", 0], "positive": ["3", 0], "negative": ["4", 0]},
        },
    }


@pytest.fixture
def inpaint(told, running, comfy_nodes):
    from visage.nodes.face_edit import VisageSoftInpaint

    vae = SimpleNamespace(encode=lambda picture: torch.zeros(1, 4, 8, 8))
    image, mask = torch.rand(1, 64, 64, 3), torch.ones(1, 64, 64)

    def run(prompt_graph):
        node = running(VisageSoftInpaint, prompt_graph)
        node.execute([], [], vae, image, mask, "soft", "soft")
        return [text for _, text in told]

    return run


def test_hair_in_the_prompt_with_the_face_masked_alone_is_said(inpaint):
    (said,) = inpaint(graph("face", "a portrait of a woman with red hair"))
    assert said == (
        "the prompt names 'hair', and the mask leaves out hair: choose face and hair as parts of "
        "Face Mask."
    )


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ("face and hair", "a woman with red hair"),
        ({"__value__": ["face", "hair"]}, "a woman with red hair"),
        ("face", "a woman with glasses, smiling"),
        ("face", "a bearded man"),
    ],
)
def test_nothing_is_said_where_the_mask_holds_what_the_prompt_names(inpaint, parts, text):
    assert inpaint(graph(parts, text)) == []


def test_masks_from_elsewhere_are_not_judged(inpaint):
    assert inpaint(graph("face", "red hair", "VisagePromptMask")) == []
    assert inpaint({}) == []

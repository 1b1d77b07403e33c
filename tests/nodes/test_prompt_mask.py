"""Prompt Mask, run as ComfyUI runs it."""

import json

import pytest
import torch
from visage.models.face_parser import FaceParser


@pytest.fixture
def parser(face_parser_network):
    return FaceParser(face_parser_network, 64, "random")


@pytest.fixture
def face_parser_network():
    from visage.models.bisenet import BiSeNet

    return BiSeNet(width=8).eval()


def execute(text, back_end="auto", parser=None):
    import folder_paths
    from visage.models.registry import register_folders
    from visage.nodes.prompt_mask import VisagePromptMask

    register_folders(folder_paths)
    picture = torch.zeros(1, 64, 80, 3)
    with torch.inference_mode():
        return VisagePromptMask.execute(picture, text, back_end, "none", 0.5, parser).args


def test_parts_need_nothing_but_the_parser(comfy_nodes, parser):
    """A plain picture has no face, and so an empty mask and a whole background."""
    mask, candidates, scores = execute("hair, background", parser=parser)
    assert mask.shape == (1, 64, 80)
    assert candidates.shape[-1] == 3
    hair, behind = json.loads(scores)[0]
    assert (hair["share"], hair["in_mask"]) == (0, False)
    assert (behind["share"], behind["in_mask"]) == (1, True)


def test_other_words_say_what_to_get_and_where_to_put_it(comfy_nodes):
    with pytest.raises(FileNotFoundError, match="'ship'.*CIDAS/clipseg.*visage_clipseg"):
        execute("hair, the ship")


def test_the_parser_alone_says_what_it_knows(comfy_nodes, parser):
    with pytest.raises(ValueError, match="'ship'.*hair"):
        execute("ship", "face parser", parser)

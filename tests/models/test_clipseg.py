"""CLIPSeg from local files."""

import shutil

import pytest
import torch
from visage.models.clipseg import load_clipseg


@pytest.fixture(scope="module")
def folder(random_starter, tmp_path_factory):
    """A tiny CLIPSeg with random weights, saved as transformers saves it."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    folder = tmp_path_factory.mktemp("clipseg")
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2,
             "num_hidden_layers": 3}  # fmt: skip
    config = CLIPSegConfig(
        text_config={**tower, "vocab_size": 600, "max_position_embeddings": 77, "eos_token_id": 1},
        vision_config={**tower, "image_size": 64, "patch_size": 16},
        projection_dim=32, reduce_dim=16, extract_layers=[0, 1], decoder_num_attention_heads=2,
        decoder_intermediate_size=32, conditional_layer=0,
    )  # fmt: skip
    torch.manual_seed(0)
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(random_starter / "tokenizer" / name, folder)
    return folder


@pytest.mark.parametrize("phrases", [["a face"], ["hair", "blue background"]])
def test_gives_a_probability_for_every_phrase_and_pixel(folder, phrases):
    network = load_clipseg(folder / "model.safetensors")
    planes = network.probabilities(torch.rand(2, 48, 80, 3), phrases)
    assert planes.shape == (2, len(phrases), 48, 80)
    assert 0 < planes.min() < planes.max() < 1


def test_a_lone_weights_file_is_not_enough(folder, tmp_path):
    shutil.copy(folder / "model.safetensors", tmp_path)
    with pytest.raises(FileNotFoundError, match="config.json.*CIDAS"):
        load_clipseg(tmp_path / "model.safetensors")


def test_the_node_finds_any_words_with_it(folder, comfy_nodes):
    """Prompt Mask with the files where a user puts them."""
    import json
    from pathlib import Path

    import folder_paths
    from visage.models.registry import register_folders
    from visage.nodes.prompt_mask import VisagePromptMask

    register_folders(folder_paths)
    place = Path(folder_paths.get_folder_paths("visage_clipseg")[0]) / "tiny"
    shutil.copytree(folder, place, dirs_exist_ok=True)
    picture = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        mask, candidates, scores = VisagePromptMask.execute(
            picture, "the ship, the sea", "auto", "tiny/model.safetensors", 0.5
        ).args
    assert mask.shape == (1, 64, 96)
    assert {entry["words"] for entry in json.loads(scores)[0]} == {"ship", "sea"}
    assert candidates.shape[-1] == 3

"""Segment Anything and CLIP from local files, and Prompt Mask with both."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from visage.models import segment_anything
from visage.models.clip_similarity import load_clip_similarity
from visage.models.segment_anything import load_segment_anything

pytest.importorskip("torchvision", reason="transformers prepares SAM's pictures with torchvision")


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    """A tiny Segment Anything with random weights that trusts every segment it makes."""
    from transformers import SamConfig, SamImageProcessor, SamModel

    folder = tmp_path_factory.mktemp("sam")
    config = SamConfig(
        vision_config={
            "hidden_size": 32, "output_channels": 16, "num_hidden_layers": 2, "image_size": 64,
            "num_attention_heads": 2, "patch_size": 8, "window_size": 4, "num_pos_feats": 8,
            "global_attn_indexes": [1], "mlp_dim": 64,
        },
        prompt_encoder_config={
            "hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4
        },
        mask_decoder_config={
            "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 32,
            "iou_head_hidden_dim": 16,
        },
    )  # fmt: skip
    torch.manual_seed(0)
    network = SamModel(config)
    with torch.no_grad():
        network.mask_decoder.iou_prediction_head.proj_out.bias.fill_(5.0)
        # Larger logits make steadier segments, which the filter keeps.
        for mlp in network.mask_decoder.output_hypernetworks_mlps:
            mlp.proj_out.weight.mul_(1e9)
    network.save_pretrained(folder)
    SamImageProcessor(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16}, mask_pad_size={"height": 16, "width": 16},
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def clip(random_starter, tmp_path_factory):
    """A tiny CLIP with random weights."""
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2,
             "num_hidden_layers": 2}  # fmt: skip
    config = CLIPConfig(
        text_config={**tower, "vocab_size": 600, "max_position_embeddings": 77, "eos_token_id": 1},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(random_starter / "tokenizer" / name, folder)
    return folder


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    monkeypatch.setattr(segment_anything, "POINTS_A_SIDE", 6)


@pytest.fixture
def picture():
    return torch.rand(48, 80, 3, generator=torch.Generator().manual_seed(1))


def test_every_segment_has_the_size_of_the_picture(sam, picture):
    segments = load_segment_anything(sam / "model.safetensors").segments(picture)
    assert segments.dtype == torch.bool
    assert len(segments) > 0
    assert segments.shape[1:] == picture.shape[:2]


def test_clip_gives_a_hundred_times_the_cosine(clip, picture):
    network = load_clip_similarity(clip / "model.safetensors")
    logits = network.similarity(picture.expand(2, -1, -1, -1), ["a ship", "hair", "the sea"])
    assert logits.shape == (2, 3)
    assert torch.allclose(logits[0], logits[1], atol=1e-4)
    assert logits.abs().max() <= float(network.network.model.logit_scale.exp()) + 1e-3


def test_another_model_is_refused_by_name(sam, clip, tmp_path):
    shutil.copytree(clip, tmp_path, dirs_exist_ok=True)
    shutil.copy(sam / "preprocessor_config.json", tmp_path)
    with pytest.raises(ValueError, match="is not a model such as facebook/sam-vit-base"):
        load_segment_anything(tmp_path / "model.safetensors")


def test_the_node_finds_any_words_with_both(sam, clip, picture, comfy_nodes):
    """Prompt Mask with the files where a user puts them; auto takes what is chosen."""
    import folder_paths
    from visage.models.registry import register_folders
    from visage.nodes.prompt_mask import VisagePromptMask

    register_folders(folder_paths)
    for kind, folder in (("visage_segment_anything", sam), ("visage_clip", clip)):
        place = Path(folder_paths.get_folder_paths(kind)[0]) / "tiny"
        shutil.copytree(folder, place, dirs_exist_ok=True)
    name = "tiny/model.safetensors"
    with torch.inference_mode():
        mask, candidates, scores = VisagePromptMask.execute(
            picture[None], "the ship", "auto", "none", 0.5, None, name, name
        ).args
    assert mask.shape == (1, 48, 80)
    assert 0 < mask.mean() <= 1
    assert candidates.shape[-1] == 3
    assert {entry["words"] for entry in json.loads(scores)[0]} == {"ship"}


def test_segments_without_clip_say_what_to_get(sam, picture, comfy_nodes):
    import folder_paths
    from visage.models.registry import register_folders
    from visage.nodes.prompt_mask import VisagePromptMask

    register_folders(folder_paths)
    place = Path(folder_paths.get_folder_paths("visage_segment_anything")[0]) / "tiny"
    shutil.copytree(sam, place, dirs_exist_ok=True)
    with pytest.raises(FileNotFoundError, match="'ship'.*openai/clip-vit.*visage_clip"):
        VisagePromptMask.execute(
            picture[None], "ship", "segment anything", "none", 0.5, None, "tiny/model.safetensors"
        )

"""The starter's folder: every missing or damaged file is named, with what to do."""

import pytest
import torch
from safetensors.torch import save_file
from visage.models.starter_files import (
    FILES,
    read_config,
    read_latent_preview,
    read_text_encoder,
    starter_file,
)


@pytest.mark.parametrize("part", FILES)
def test_a_missing_part_is_named(part, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"starter's {part} is missing.*{tmp_path}"):
        starter_file(part, tmp_path)


def test_a_missing_configuration_is_named(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / FILES["unet"]).touch()
    with pytest.raises(FileNotFoundError, match="weights but no configuration.*config.json"):
        read_config("unet", tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_damaged_configuration_is_named(text, tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / FILES["unet"]).touch()
    (tmp_path / "unet" / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json"):
        read_config("unet", tmp_path)


@pytest.mark.parametrize("prefix", ["", "text_model."])
def test_text_encoders_of_transformers_4_and_5_look_alike(prefix, tmp_path):
    (tmp_path / "text_encoder").mkdir()
    weights = {
        f"{prefix}final_layer_norm.weight": torch.ones(4),
        f"{prefix}embeddings.position_ids": torch.arange(4),
    }
    save_file(weights, tmp_path / FILES["text_encoder"])
    assert read_text_encoder(tmp_path).keys() == {"final_layer_norm.weight"}


def test_preview_colours_are_optional(tmp_path):
    assert read_latent_preview(tmp_path) is None

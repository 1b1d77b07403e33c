"""The public IP-Adapter files are read by their shapes, and project as diffusers' networks do."""

from __future__ import annotations

import pytest
import torch
from visage.models.checkpoints import write_weights
from visage.models.ip_adapter import (
    build_ip_adapter,
    read_ip_adapter,
    require_matching_encoder,
    require_matching_layers,
)

LAYERS = [[32, 48], [64, 48], [32, 48]]
VARIANTS = ["base", "plus", "full face", "FaceID"]
# Cross-attention K of SD 1.5 and SDXL, in the file's order: down, up, middle.
SD15 = [[w, 768] for w in [320] * 2 + [640] * 2 + [1280] * 5 + [640] * 3 + [320] * 3 + [1280]]
SDXL = [[w, 2048] for w in [640] * 4 + [1280] * 50 + [640] * 6 + [1280] * 10]


def nested(weights):
    """The layout of a .bin file."""
    parts = {"image_proj": {}, "ip_adapter": {}}
    for name, value in weights.items():
        part, inner = name.split(".", 1)
        parts[part][inner] = value
    return parts


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_files_are_known_by_their_shapes(variant, suffix, tmp_path, ip_adapter_weights):
    weights = ip_adapter_weights(variant, LAYERS)
    path = tmp_path / f"any name{suffix}"
    if suffix == ".bin":
        torch.save(nested(weights), path)
    else:
        write_weights(path, weights, {})
    adapter = read_ip_adapter(path)
    assert (adapter.variant, adapter.input_width, adapter.text_width) == (variant, 40, 48)
    assert adapter.state_dict().keys() == weights.keys()
    shapes = [[list(k.shape), list(v.shape)] for k, v in adapter.keys_values(torch.rand(2, 5, 48))]
    assert shapes == [[[2, 5, width]] * 2 for width, _ in LAYERS]


@pytest.mark.parametrize("variant", VARIANTS)
def test_image_tokens_are_those_of_diffusers(variant, ip_adapter_weights):
    from diffusers import UNet2DConditionModel

    weights = ip_adapter_weights(variant, LAYERS)
    adapter = build_ip_adapter(weights, "file")
    theirs = UNet2DConditionModel._convert_ip_adapter_image_proj_to_diffusers(
        torch.nn.Module(), nested(weights)["image_proj"], low_cpu_mem_usage=False
    )
    size = (2, 9, 40) if adapter.reads == "hidden_states" else (2, 40)
    features = torch.randn(size, generator=torch.Generator().manual_seed(0))
    tokens, expected = adapter.tokens(features), theirs(features)
    assert tokens.shape[-1] == 48
    assert (tokens - expected.reshape(tokens.shape)).abs().max() < 1e-5


def test_layers_are_in_the_order_of_their_numbers_not_of_their_names(ip_adapter_weights):
    layers = [[8 * (i + 1), 48] for i in range(8)]
    adapter = build_ip_adapter(ip_adapter_weights("base", layers), "file")
    assert [k.shape[-1] for k, _ in adapter.keys_values(torch.rand(1, 4, 48))] == [
        width for width, _ in layers
    ]


def test_the_lora_in_a_faceid_file_is_left_to_lora_loaders(ip_adapter_weights):
    weights = ip_adapter_weights("FaceID", LAYERS)
    with_lora = weights | {"ip_adapter.0.to_q_lora.down.weight": torch.rand(4, 32)}
    assert build_ip_adapter(with_lora, "file").state_dict().keys() == weights.keys()


def test_an_adapter_for_another_family_is_refused_and_both_are_named(ip_adapter_weights):
    with torch.device("meta"):
        adapter = build_ip_adapter(
            {name: value.to("meta") for name, value in ip_adapter_weights("base", SDXL[:1]).items()}
            | {
                f"ip_adapter.{2 * i + 1}.to_{part}_ip.weight": torch.empty(shape)
                for i, shape in enumerate(SDXL)
                for part in "kv"
            },
            "file",
        )
    require_matching_layers(adapter, SDXL)
    with pytest.raises(ValueError, match=r"for SDXL \(70 .* 2048\).*model is SD 1.5 \(16 .* 768\)"):
        require_matching_layers(adapter, SD15)


def test_tokens_of_ones_own_may_be_narrower_than_the_text(ip_adapter_weights):
    narrow = build_ip_adapter(ip_adapter_weights("base", LAYERS), "file")
    require_matching_layers(narrow, [[width, 64] for width, _ in LAYERS])
    for other in ([[width, 32] for width, _ in LAYERS], [[48, 64] for _ in LAYERS], SD15):
        with pytest.raises(ValueError, match="was made for another model"):
            require_matching_layers(narrow, other)


def test_an_image_encoder_of_another_width_is_refused_and_both_are_named(ip_adapter_weights):
    adapter = build_ip_adapter(ip_adapter_weights("base", LAYERS, width=1024), "file")
    require_matching_encoder(adapter, 1024)
    with pytest.raises(ValueError, match=r"1024 values wide \(CLIP ViT-H/14\).* 768 .*ViT-L"):
        require_matching_encoder(adapter, 768)


def test_a_lora_given_as_adapter_is_named(tmp_path):
    path = tmp_path / "style.safetensors"
    write_weights(path, {"lora_unet_down_blocks_0.lora_up.weight": torch.rand(2, 2)}, {})
    with pytest.raises(ValueError, match=r"style.safetensors is not an IP-Adapter.* LoRA loader"):
        read_ip_adapter(path)


def test_other_files_are_refused(tmp_path, ip_adapter_weights):
    weights = ip_adapter_weights("base", LAYERS)
    with pytest.raises(ValueError, match=r"needed are image_proj\.\*.*Choose an IP-Adapter file"):
        build_ip_adapter({"conv.weight": torch.rand(2)}, "file")
    with pytest.raises(ValueError, match="FaceID-Plus"):
        build_ip_adapter(
            {"image_proj.perceiver_resampler.proj_in.weight": torch.rand(2, 2)}, "file"
        )
    with pytest.raises(ValueError, match="is damaged"):
        build_ip_adapter(weights | {"image_proj.extra": torch.rand(2)}, "file")
    mixed = weights | ip_adapter_weights("base", [[32, 64]])
    with pytest.raises(ValueError, match=r"tokens are 64 wide.*take \[48, 64\]"):
        build_ip_adapter(mixed, "file")

"""Models on both engines, and something to edit."""

from __future__ import annotations

import pytest
import torch
from visage.engines.diffusers import DiffusersEngine


@pytest.fixture(scope="session")
def diffusers_engine(random_starter) -> DiffusersEngine:
    return DiffusersEngine.load(random_starter)


@pytest.fixture(scope="session")
def four_channel_model(comfyui_models):
    """A model for ordinary text-to-image sampling: no channels for a mask."""
    import comfy.model_base
    import comfy.supported_models
    from comfy.model_patcher import ModelPatcher

    description = comfyui_models[0].model.model_config
    config = {**description.unet_config, "in_channels": 4}
    plain = comfy.supported_models.SD15(config)
    plain.unet_config.update(config)
    return ModelPatcher(comfy.model_base.BaseModel(plain), torch.device("cpu"), torch.device("cpu"))


@pytest.fixture
def picture():
    """Two pictures [2, 96, 112, 3]; on smaller ones a random UNet's norms are ill-conditioned."""
    return torch.rand(2, 96, 112, 3, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def soft_mask():
    """A disc with a wide soft edge, [1, 96, 112]."""
    y, x = torch.meshgrid(torch.arange(96), torch.arange(112), indexing="ij")
    distance = ((y - 45.0) ** 2 + (x - 63.0) ** 2).sqrt()
    return ((45 - distance) / 30).clamp(0, 1).unsqueeze(0)


@pytest.fixture
def face_edit():
    """Makes face-edit weights that fit an engine's UNet, with random differences."""
    from visage.models.face_edit import FaceEditWeights

    def make(engine, adapter=None) -> FaceEditWeights:
        generator = torch.Generator().manual_seed(5)
        kv = {
            name: 0.1 * torch.randn(value.shape, generator=generator)
            for name, value in engine.unet.named_parameters()
            if "attn2.to_k" in name or "attn2.to_v" in name
        }
        return FaceEditWeights(kv, adapter, {})

    return make


@pytest.fixture(scope="session")
def sdxl_unet(comfy):
    """SDXL's UNet as ComfyUI builds it, without values."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    with torch.device("meta"):
        return UNetModel(
            image_size=32, in_channels=4, out_channels=4, model_channels=320,
            num_res_blocks=[2, 2, 2], channel_mult=[1, 2, 4], num_head_channels=64,
            use_spatial_transformer=True, use_linear_in_transformer=True, legacy=False,
            transformer_depth=[0, 0, 2, 2, 10, 10], transformer_depth_middle=10,
            transformer_depth_output=[0, 0, 0, 2, 2, 2, 10, 10, 10], context_dim=2048,
            adm_in_channels=2816, num_classes="sequential", device="meta",
            operations=comfy.ops.disable_weight_init,
        )  # fmt: skip

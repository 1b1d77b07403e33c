"""Names and shapes of the weights in public model files, for files of random values.

Each has its public file's names and block structure. `width` and depth are what ComfyUI's reading
of it permits: a UNet's levels are all 320 wide, and what ComfyUI cannot read from a file is as in
`narrow_models`. Importable only inside ComfyUI.
"""

from __future__ import annotations

import re
from typing import Any

import comfy.cldm.cldm
import comfy.clip_model
import comfy.ldm.flux.model
import comfy.ldm.qwen_image.model
import comfy.ldm.wan.vae
import comfy.ops
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy.ldm.modules.diffusionmodules.model import Decoder, Encoder
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.text_encoders.llama import Qwen25_7BVLI
from comfy.text_encoders.qwen_vl import Qwen2VLVisionTransformer
from comfy.text_encoders.t5 import T5

from .core import later_flux
from .narrow_models import CLIP, DEPTH, HEAD, QWEN, QWEN_EYES
from .narrow_models import T5 as SHALLOW_T5

Shapes = dict[str, list[int]]

VAE_WIDTH, WAN_WIDTH, TRANSFORMER_WIDTH, BLOCKS = 32, 8, 2 * HEAD, 2
_ON_META = {"device": "meta", "operations": comfy.ops.disable_weight_init}
_UNET = {
    "image_size": 32,
    "model_channels": 320,
    "legacy": False,
    "use_spatial_transformer": True,
}
_SD15 = {
    "num_res_blocks": [2] * 4,
    "num_heads": 8,
    "transformer_depth": [1] * 6 + [0] * 2,
    "transformer_depth_middle": 1,
    "context_dim": 768,
}
_SD21 = {
    "num_res_blocks": [2] * 4,
    "num_head_channels": 64,
    "use_linear_in_transformer": True,
    "transformer_depth": [1] * 6 + [0] * 2,
    "transformer_depth_middle": 1,
    "context_dim": 1024,
}
_SDXL = {
    "num_res_blocks": [2] * 3,
    "num_head_channels": 64,
    "use_linear_in_transformer": True,
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10,
    "context_dim": 2048,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
}
_OUTPUT_DEPTH = {
    "SD 1.5": [1] * 9 + [0] * 3,
    "SD 2.1": [1] * 9 + [0] * 3,
    "SDXL": [0] * 3 + [2] * 3 + [10] * 3,
}
FAMILIES: dict[str, dict[str, Any]] = {"SD 1.5": _SD15, "SD 2.1": _SD21, "SDXL": _SDXL}
_LEVELS = {"SD 1.5": [1, 2, 4, 4], "SD 2.1": [1, 2, 4, 4], "SDXL": [1, 2, 4]}
# Widths of OpenCLIP's text encoders: ViT-H/14 and ViT-bigG/14.
_OPEN_CLIP_H, _OPEN_CLIP_G = 1024, 1280
_AUTOENCODER = {
    "double_z": True,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}
# The public ViT-H/14; ComfyUI tells it by its 31st layer.
_VIT_H = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "num_channels": 3,
    "patch_size": 14,
    "image_size": 224,
    "projection_dim": 1024,
    "model_type": "clip_vision_model",
}
_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}


def checkpoint(family: str, channels: int, narrow: bool = True) -> Shapes:
    """A checkpoint of "SD 1.5", "SD 2.1" or "SDXL" in one file, for 4 or 9 channels; as large as
    the public one unless `narrow`.
    """
    depth, width = (DEPTH, VAE_WIDTH) if narrow else (None, 128)
    parts = {
        "model.diffusion_model.": unet(family, channels, narrow),
        "first_stage_model.": autoencoder(width),
    }
    if family == "SD 1.5":
        parts["cond_stage_model.transformer.text_model."] = clip_l(depth or 12)
    elif family == "SD 2.1":
        parts["cond_stage_model.model."] = open_clip(_OPEN_CLIP_H, depth or 24)
    else:
        parts["conditioner.embedders.0.transformer.text_model."] = clip_l(depth or 12)
        parts["conditioner.embedders.1.model."] = open_clip(_OPEN_CLIP_G, depth or 32)
    return {prefix + name: shape for prefix, part in parts.items() for name, shape in part.items()}


def unet(family: str, channels: int, narrow: bool = True) -> Shapes:
    """The UNet in the authors' own names."""
    levels = [1] * len(_LEVELS[family]) if narrow else _LEVELS[family]
    return _shapes(
        UNetModel(
            in_channels=channels,
            out_channels=4,
            channel_mult=levels,
            transformer_depth_output=list(_OUTPUT_DEPTH[family]),
            **_copied(_UNET | FAMILIES[family]),
            **_ON_META,
        )
    )


def controlnet(family: str) -> Shapes:
    """A ControlNet of the 1.1 series, or of SDXL's in the same names."""
    return _shapes(
        comfy.cldm.cldm.ControlNet(
            in_channels=4,
            hint_channels=3,
            channel_mult=[1] * len(_LEVELS[family]),
            **_copied(_UNET | FAMILIES[family]),
            **_ON_META,
        )
    )


def autoencoder(width: int = VAE_WIDTH) -> Shapes:
    """Stable Diffusion's autoencoder."""
    with torch.device("meta"):
        config = {**_AUTOENCODER, "ch": width, "z_channels": 4}
        return _shapes(AutoencoderKL(ddconfig=config, embed_dim=4))


def flux_autoencoder(width: int = VAE_WIDTH) -> Shapes:
    """ae.safetensors: 16 channels, and no quantising convolutions."""
    config = {**_AUTOENCODER, "ch": width, "z_channels": 16}
    with torch.device("meta"):
        parts = {"encoder.": Encoder(**config), "decoder.": Decoder(**config)}
    return {
        prefix + name: shape
        for prefix, part in parts.items()
        for name, shape in _shapes(part).items()
    }


def qwen_autoencoder(width: int = WAN_WIDTH) -> Shapes:
    """qwen_image_vae.safetensors, which has Wan's layout."""
    with torch.device("meta"):
        made = comfy.ldm.wan.vae.WanVAE(
            dim=width, z_dim=16, temperal_downsample=[False, True, True]
        )
    return _shapes(made)


def clip_l(layers: int = DEPTH) -> Shapes:
    """CLIP ViT-L/14's text encoder, names without `text_model.`."""
    config = {**_CLIP_L, "num_hidden_layers": layers, "hidden_act": "quick_gelu"}
    config |= {"eos_token_id": 49407, "max_position_embeddings": 77}
    made = comfy.clip_model.CLIPTextModel(config, torch.half, *_ON_META.values())
    shapes = {
        name.removeprefix("text_model."): shape
        for name, shape in _shapes(made).items()
        if name.startswith("text_model.")
    }
    return shapes


def open_clip(width: int, layers: int) -> Shapes:
    """A text encoder in OpenCLIP's names."""
    shapes = {
        "token_embedding.weight": [49408, width],
        "positional_embedding": [77, width],
        "text_projection": [width, width],
        "logit_scale": [],
        "ln_final.weight": [width],
        "ln_final.bias": [width],
    }
    for layer in range(layers):
        matrices = {
            "attn.in_proj_": [3 * width, width],
            "attn.out_proj.": [width, width],
            "mlp.c_fc.": [4 * width, width],
            "mlp.c_proj.": [width, 4 * width],
            "ln_1.": [width],
            "ln_2.": [width],
        }
        for name, shape in matrices.items():
            shapes[f"transformer.resblocks.{layer}.{name}weight"] = shape
            shapes[f"transformer.resblocks.{layer}.{name}bias"] = shape[:1]
    return shapes


def t5_xxl() -> Shapes:
    """T5-XXL's encoder, with the weight by which ComfyUI knows it."""
    config = {
        "d_model": 4096,
        "d_kv": 64,
        "dense_act_fn": "gelu_pytorch_tanh",
        "is_gated_act": True,
        "model_type": "t5",
        "vocab_size": 32128,
        **SHALLOW_T5,
    }
    shapes = _shapes(T5(config, torch.half, *_ON_META.values()))
    return shapes | {"encoder.block.23.layer.1.DenseReluDense.wi_1.weight": [1, 4096]}


def qwen_vl() -> Shapes:
    """Qwen2.5-VL 7B, as wide as it is where the transformer reads it."""
    whole = Qwen25_7BVLI(dict(QWEN), torch.half, *_ON_META.values())
    eyes = Qwen2VLVisionTransformer(
        output_hidden_size=3584,
        dtype=torch.half,
        device="meta",
        ops=comfy.ops.disable_weight_init,
        **QWEN_EYES,
    )
    words = {name: shape for name, shape in _shapes(whole).items() if name.startswith("model.")}
    return words | {f"visual.{name}": shape for name, shape in _shapes(eyes).items()}


def clip_vision_h() -> Shapes:
    """CLIP ViT-H/14's image encoder."""
    made = comfy.clip_model.CLIPVisionModelProjection(_VIT_H | CLIP, torch.half, *_ON_META.values())
    return _shapes(made) | {"vision_model.encoder.layers.30.layer_norm1.weight": [1280]}


def flux(channels: int) -> Shapes:
    """FLUX.1 dev and Kontext with 16 channels, Fill with 96."""
    shapes = _shapes(
        comfy.ldm.flux.model.Flux(
            image_model="flux",
            in_channels=channels,
            out_channels=16,
            patch_size=2,
            vec_in_dim=768,
            context_in_dim=4096,
            hidden_size=TRANSFORMER_WIDTH,
            mlp_ratio=4.0,
            num_heads=TRANSFORMER_WIDTH // HEAD,
            depth=BLOCKS,
            depth_single_blocks=BLOCKS,
            axes_dim=[16, 56, 56],
            theta=10000,
            qkv_bias=True,
            guidance_embed=True,
            dtype=torch.half,
            **later_flux(),
            **_ON_META,
        )
    )
    # ComfyUI's newer versions call the norms' weights otherwise than the file does.
    return {re.sub(r"_norm\.weight$", "_norm.scale", name): put for name, put in shapes.items()}


def qwen_image() -> Shapes:
    """Qwen-Image and Qwen-Image-Edit, which have one layout."""
    return _shapes(
        comfy.ldm.qwen_image.model.QwenImageTransformer2DModel(
            num_layers=BLOCKS,
            num_attention_heads=TRANSFORMER_WIDTH // HEAD,
            dtype=torch.half,
            **_ON_META,
        )
    )


def cross_attention_shapes(family: str) -> list[list[int]]:
    """[width, text width] of a narrow UNet's cross-attention layers."""
    return [shape for name, shape in unet(family, 4).items() if name.endswith("attn2.to_k.weight")]


def kohya_lora(family: str, rank: int = 4) -> Shapes:
    """A LoRA in kohya's names for every attention of a narrow UNet."""
    shapes = {}
    for name, (rows, columns) in (
        (name, shape)
        for name, shape in unet(family, 4).items()
        if ".attn" in name and len(shape) == 2
    ):
        module = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
        shapes |= {
            f"{module}.lora_down.weight": [rank, columns],
            f"{module}.lora_up.weight": [rows, rank],
            f"{module}.alpha": [],
        }
    return shapes


def _shapes(network: torch.nn.Module) -> Shapes:
    return {name: list(value.shape) for name, value in network.state_dict().items()}


def _copied(config: dict[str, Any]) -> dict[str, Any]:
    """ComfyUI's classes empty the lists that they are given."""
    return {key: list(value) if isinstance(value, list) else value for key, value in config.items()}

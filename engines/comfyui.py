"""The ComfyUI engine: MODEL, CLIP and VAE made by ComfyUI's own classes and key maps.

Everything that comes out of here is an ordinary ModelPatcher, CLIP, VAE or CONDITIONING, so that
samplers, LoRA loaders, ControlNet, previews and memory management work as for SD 1.5. Importable
only inside ComfyUI.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.clip_model
import comfy.clip_vision
import comfy.diffusers_convert
import comfy.hooks
import comfy.latent_formats
import comfy.ldm.modules.diffusionmodules.model as autoencoder_layers
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import folder_paths
import node_helpers
import torch
import torch.nn.functional as F
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ..models.checkpoints import read_weights
from ..models.face_edit import FaceEditWeights, require_matching_shapes
from ..models.face_parser import FaceParser
from ..models.starter_files import (
    STARTER,
    read_config,
    read_latent_preview,
    read_text_encoder,
    starter_file,
)

if TYPE_CHECKING:
    from ..techniques.soft_inpaint import InpaintCondition

Conditioning = list[list[Any]]


def load_starter(folder: Path = STARTER) -> tuple[ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """MODEL, CLIP and VAE of a diffusers pipeline folder that is built like SD 1.5, at any width.

    Raises FileNotFoundError or ValueError when a file is missing, damaged or of another build.
    """
    vae = _load_vae(folder)
    model = _load_unet(folder, vae)
    return model, _load_clip(folder), vae


class _WidthRatio(Fraction):
    """A level's width over the first level's; ComfyUI multiplies by it and needs whole numbers."""

    def __mul__(self, channels: int) -> int:
        return int(super().__mul__(channels))

    __rmul__ = __mul__


def unet_config(config: dict[str, Any]) -> dict[str, Any]:
    """ComfyUI's description of the UNet which a diffusers UNet2DConditionModel config describes.

    Raises ValueError for attention heads which ComfyUI's SD 1.5 class cannot express.
    """
    channels, layers = config["block_out_channels"], config["layers_per_block"]
    levels = range(len(channels))
    down = [int(name.startswith("CrossAttn")) for name in config["down_block_types"]]
    up = [int(name.startswith("CrossAttn")) for name in reversed(config["up_block_types"])]
    return {
        "image_size": 32,
        "use_spatial_transformer": True,
        "legacy": False,
        "in_channels": config["in_channels"],
        "out_channels": config["out_channels"],
        "model_channels": channels[0],
        "channel_mult": [_WidthRatio(width, channels[0]) for width in channels],
        "num_res_blocks": [layers for _ in levels],
        "transformer_depth": [down[level] for level in levels for _ in range(layers)],
        "transformer_depth_output": [up[level] for level in levels for _ in range(layers + 1)],
        "transformer_depth_middle": 1,
        "use_linear_in_transformer": config.get("use_linear_projection", False),
        "context_dim": config["cross_attention_dim"],
        "adm_in_channels": None,
        "use_temporal_attention": False,
        "use_temporal_resblock": False,
        **_heads(config),
    }


def _heads(config: dict[str, Any]) -> dict[str, int]:
    # diffusers reads attention_head_dim as the number of heads; SD 1.5's files rely on it.
    heads = config.get("num_attention_heads") or config["attention_head_dim"]
    if isinstance(heads, int):
        return {"num_heads": heads, "num_head_channels": -1}
    widths = {
        width // count for width, count in zip(config["block_out_channels"], heads, strict=True)
    }
    if len(widths) > 1:
        raise ValueError(f"Attention heads {heads} give heads of different widths: {widths}.")
    return {"num_heads": -1, "num_head_channels": widths.pop()}


def _load_unet(folder: Path, vae: comfy.sd.VAE) -> ModelPatcher:
    path = starter_file("unet", folder)
    config, scheduler = unet_config(read_config("unet", folder)), read_config("scheduler", folder)
    latent_format = _latent_format(folder)
    key_map = comfy.utils.unet_to_diffusers(config)
    weights = read_weights(path)
    dtype = comfy.model_management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(weights),
        weight_dtype=comfy.utils.weight_dtype(weights),
    )
    load_device = comfy.model_management.get_torch_device()

    description = comfy.supported_models.SD15(config)
    # SD15 insists on eight heads.
    description.unet_config.update(config)
    description.latent_format = latent_format
    description.sampling_settings = {
        "linear_start": scheduler["beta_start"],
        "linear_end": scheduler["beta_end"],
        "timesteps": scheduler["num_train_timesteps"],
    }
    description.set_inference_dtype(
        dtype, comfy.model_management.unet_manual_cast(dtype, load_device)
    )
    prediction = {
        "epsilon": comfy.model_base.ModelType.EPS,
        "v_prediction": comfy.model_base.ModelType.V_PREDICTION,
    }[scheduler.get("prediction_type", "epsilon")]
    model = comfy.model_base.BaseModel(description, prediction)
    renamed = {key_map.get(name, name): value for name, value in weights.items()}
    _require_same_keys(path, model.diffusion_model.state_dict(), renamed)
    _set_norm_groups(model.diffusion_model, read_config("unet", folder))
    model.load_model_weights(renamed)
    if description.inpaint_model():
        model.set_inpaint()
        model.blank_inpaint_image_like = _blank_picture(vae, latent_format)
    offload_device = comfy.model_management.unet_offload_device()
    return ModelPatcher(model.to(offload_device), load_device, offload_device)


def _set_norm_groups(network: torch.nn.Module, config: dict[str, Any]) -> None:
    """Group normalisation with the config's number of groups; ComfyUI's classes always make 32."""
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = config.get("norm_num_groups", 32)


def _latent_format(folder: Path) -> comfy.latent_formats.LatentFormat:
    latent_format = comfy.latent_formats.SD15(
        read_config("vae", folder).get("scaling_factor", 0.18215)
    )
    preview = read_latent_preview(folder)
    if preview:
        latent_format.latent_rgb_factors = preview["factors"]
        latent_format.latent_rgb_factors_bias = preview["bias"]
    # SD 1.5's small preview decoder does not fit another VAE.
    latent_format.taesd_decoder_name = None
    return latent_format


def _blank_picture(vae: comfy.sd.VAE, latent_format: comfy.latent_formats.LatentFormat):
    """What stands for a wholly masked picture; ComfyUI's own numbers are those of SD 1.5's VAE."""
    gray = vae.encode(torch.full((1, 64, 64, 3), 0.5)).mean(dim=(0, 2, 3))
    gray = latent_format.process_in(gray).view(1, -1, 1, 1)
    return lambda latent: gray.to(latent).expand_as(latent)


def _load_vae(folder: Path) -> comfy.sd.VAE:
    path, config = starter_file("vae", folder), read_config("vae", folder)
    channels = config["block_out_channels"]
    weights = comfy.diffusers_convert.convert_vae_state_dict(read_weights(path))
    description = {
        "double_z": True,
        "z_channels": config["latent_channels"],
        "resolution": 256,
        "in_channels": config["in_channels"],
        "out_ch": config["out_channels"],
        "ch": channels[0],
        "ch_mult": [_WidthRatio(width, channels[0]) for width in channels],
        "num_res_blocks": config["layers_per_block"],
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    params = {"ddconfig": description, "embed_dim": config["latent_channels"]}
    with _autoencoder_norm_groups(config.get("norm_num_groups", 32)):
        vae = comfy.sd.VAE(sd=weights, config={"params": params})
    _require_same_keys(path, vae.first_stage_model.state_dict(), weights)
    return vae


@contextmanager
def _autoencoder_norm_groups(groups: int) -> Iterator[None]:
    """Build ComfyUI's autoencoder with so many groups: 32, its own number, need not divide a width.

    Its layers look up their operations when they are built, so only those of this block differ.
    """
    usual = autoencoder_layers.ops

    class Operations(usual):
        GroupNorm = staticmethod(
            lambda num_groups, num_channels, **rest: usual.GroupNorm(groups, num_channels, **rest)
        )

    autoencoder_layers.ops = Operations
    try:
        yield
    finally:
        autoencoder_layers.ops = usual


class _TextModel(comfy.clip_model.CLIPTextModel):
    """ComfyUI's CLIP text model with a vocabulary of any size."""

    def __init__(self, config: dict[str, Any], dtype, device, operations) -> None:
        super().__init__(config, dtype, device, operations)
        self.set_input_embeddings(
            operations.Embedding(
                config["vocab_size"], config["hidden_size"], dtype=dtype, device=device
            )
        )


def _load_clip(folder: Path) -> comfy.sd.CLIP:
    path, config = starter_file("text_encoder", folder), read_config("text_encoder", folder)
    tokenizer = partial(
        comfy.sd1_clip.SDTokenizer,
        tokenizer_path=str(starter_file("tokenizer", folder).parent),
        max_length=config["max_position_embeddings"],
        embedding_size=config["hidden_size"],
    )
    ids = tokenizer()
    text_model = partial(
        comfy.sd1_clip.SDClipModel,
        max_length=config["max_position_embeddings"],
        textmodel_json_config=config,
        special_tokens={"start": ids.start_token, "end": ids.end_token, "pad": ids.pad_token},
        model_class=_TextModel,
        return_projected_pooled=False,
    )
    target = comfy.supported_models_base.ClipTarget(
        partial(comfy.sd1_clip.SD1Tokenizer, tokenizer=tokenizer),
        partial(comfy.sd1_clip.SD1ClipModel, clip_model=text_model),
    )
    weights = {f"text_model.{name}": value for name, value in read_text_encoder(folder).items()}
    # CLIP's projection into the space of pictures has no use here; ComfyUI's class has it always.
    weights["text_projection.weight"] = torch.eye(config["hidden_size"])
    clip = comfy.sd.CLIP(
        target,
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        parameters=comfy.utils.calculate_parameters(weights),
    )
    _require_same_keys(path, clip.cond_stage_model.clip_l.transformer.state_dict(), weights)
    clip.load_sd(weights)
    return clip


def load_image_encoder(folder: Path = STARTER) -> comfy.clip_vision.ClipVisionModel:
    """CLIP_VISION of the starter's image encoder.

    ComfyUI's own loader tells a file's layout by its number of layers and knows the large models
    only; its class takes any layout that a configuration file describes. Raises FileNotFoundError
    or ValueError when a file is missing, damaged or of another build.
    """
    path = starter_file("image_encoder", folder)
    # ComfyUI opens the configuration itself; this says clearly what is wrong with it.
    read_config("image_encoder", folder)
    weights = read_weights(path)
    encoder = comfy.clip_vision.ClipVisionModel(path.with_name("config.json"))
    _require_same_keys(path, encoder.get_sd(), weights)
    encoder.load_sd(weights)
    return encoder


def _require_same_keys(path: Path, expected: Iterable[str], found: Iterable[str]) -> None:
    missing, foreign = set(expected) - set(found), set(found) - set(expected)
    if missing or foreign:
        raise ValueError(
            f"{path} does not fit its configuration: {len(missing)} weights are missing "
            f"({', '.join(sorted(missing)[:2])}) and {len(foreign)} are not known "
            f"({', '.join(sorted(foreign)[:2])}). Get the whole folder again."
        )


def apply_face_edit(model: ModelPatcher, weights: FaceEditWeights, strength: float) -> ModelPatcher:
    """A clone of the model with its cross-attention K/V projections moved by the file's weights.

    Strength 0 is the model as it was. Raises ValueError, naming both shapes, when the file was
    made for another model.
    """
    key_map = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    own = model.model.diffusion_model.state_dict()
    shapes = {name: own[key].shape for name, key in key_map.items() if key in own}
    require_matching_shapes(weights, shapes)
    patched = model.clone()
    if strength != 0:
        patches = {
            f"diffusion_model.{key_map[name]}": ("diff", (delta,))
            for name, delta in weights.kv.items()
        }
        patched.add_patches(patches, strength)
    return patched


def wrap_parser(parser: FaceParser) -> FaceParser:
    """The parser with its network under ComfyUI's memory management: loaded when it is used."""
    patcher = ModelPatcher(
        parser.network,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )

    def on_use() -> torch.device:
        # The network is made of plain torch layers, which cannot be loaded in part.
        comfy.model_management.load_models_gpu([patcher], force_full_load=True)
        return patcher.load_device

    parser.on_use = on_use
    return parser


def attach_inpaint(
    conditionings: Sequence[Conditioning], condition: InpaintCondition
) -> list[Conditioning]:
    """Conditionings which show a 9-channel inpainting UNet the soft mask and the masked picture.

    Give the prompts of one run together, or they run in separate batches. `noise_concat` carries
    the five channels past ComfyUI's rounding of the mask; the native keys stay beside it, so a
    ComfyUI that does not know `noise_concat` inpaints as it always did. A sampling run with
    another model raises ValueError, and one at another size gets the channels at that size.
    """
    values = {
        "noise_concat": condition.concat,
        "concat_latent_image": condition.masked_latent,
        "concat_mask": condition.mask.unsqueeze(1),
    }
    combined: dict = {}
    return [
        comfy.hooks.set_hooks_for_conditioning(
            node_helpers.conditioning_set_values(conditioning, values),
            _INPAINT_HOOKS,
            cache=combined,
        )
        for conditioning in conditionings
    ]


def _prepare_inpainting(executor, model: ModelPatcher, noise_shape, conds, *args, **kwargs):
    """Check the model and fit the attached channels to it, once, when a run starts."""
    network = model.model
    channels = getattr(network.diffusion_model, "in_channels", None)
    if channels != 9 or "masked_image" not in network.concat_keys:
        raise ValueError(
            f"VisageSoftInpaint needs an inpainting model whose UNet takes 9 channels, and this "
            f"model ({type(network.model_config).__name__}) takes {channels}. Load an inpainting "
            "checkpoint such as SD 1.5 inpainting or the built-in starter; for other models use "
            "VAEEncode and SetLatentNoiseMask in its place."
        )
    fitted = {
        role: [_fit_channels(cond, model, noise_shape) for cond in entries]
        for role, entries in conds.items()
    }
    return executor(model, noise_shape, fitted, *args, **kwargs)


def _fit_channels(cond: dict[str, Any], model: ModelPatcher, noise_shape) -> dict[str, Any]:
    """The attached channels at the model's own latent scale and this run's latent size."""
    if "noise_concat" not in cond or "concat_latent_image" not in cond:
        return cond
    picture = model.model.process_latent_in(cond["concat_latent_image"])
    concat = torch.cat((cond["noise_concat"][:, :1], picture), dim=1).to(model.load_device)
    if concat.shape[-2:] != noise_shape[-2:]:
        concat = F.interpolate(concat, noise_shape[-2:], mode="bilinear", antialias=True)
    return {**cond, "noise_concat": concat}


# A hook travels on the conditioning, so all this is gone when the node is bypassed. There is one
# for all conditionings, because those which share their hooks are batched together.
_INPAINT_HOOKS = comfy.hooks.HookGroup()
_INPAINT_HOOKS.add(
    comfy.hooks.TransformerOptionsHook(
        {"wrappers": {WrappersMP.PREPARE_SAMPLING: {"visage_inpaint": [_prepare_inpainting]}}}
    )
)

"""A ComfyUI extension for tests and benchmarks: models of a public layout, but narrow.

ComfyUI reads the depth and width of a UNet from its file. Those of autoencoders, text encoders,
Flux and Qwen-Image are fixed in its code; with this extension autoencoders and transformers are as
wide as their files say, and encoders of text and pictures as deep as `DEPTH`. The files are made by
`stand_in_files`. The server loads this one file by itself, so it imports nothing of ours.
"""

from __future__ import annotations

import json
from functools import wraps
from pathlib import Path

import comfy.clip_vision
import comfy.ldm.flux.model
import comfy.ldm.modules.diffusionmodules.model as autoencoder
import comfy.ldm.wan.vae
import comfy.model_detection
import comfy.sd
import comfy.sd1_clip
from comfy.text_encoders import qwen_vl

DEPTH = 3
# By the configuration's own names; a text encoder takes those that it has.
T5 = {"num_layers": DEPTH, "d_ff": 512, "num_heads": 4}
QWEN = {"num_hidden_layers": 1, "intermediate_size": 512, "num_attention_heads": 4}
CLIP = {"num_hidden_layers": DEPTH}
QWEN_EYES = {"num_layers": 1, "hidden_size": 160, "num_heads": 2, "intermediate_size": 256}
HEAD = 128

NODE_CLASS_MAPPINGS: dict = {}


def narrow_models() -> None:
    """Put it in force, in this process."""
    _shallow_text_encoders()
    _shallow_image_encoders()
    _autoencoders_as_wide_as_their_files()
    _transformers_as_wide_as_their_files()


def _shallow_text_encoders() -> None:
    made = comfy.sd1_clip.SDClipModel.__init__

    @wraps(made)
    def init(self, *args, textmodel_json_config=None, model_options=None, **kwargs):
        model_options = model_options or {}
        if textmodel_json_config is None:
            model_options = {"model_name": "clip_l", **model_options}
            own = Path(comfy.sd1_clip.__file__).with_name("sd1_clip_config.json")
            textmodel_json_config = str(own)
        if isinstance(textmodel_json_config, dict):
            config = dict(textmodel_json_config)
        else:
            config = json.loads(Path(textmodel_json_config).read_text(encoding="utf-8"))
        config |= T5 if "d_ff" in config else CLIP if config else QWEN
        kwargs |= {"textmodel_json_config": config, "model_options": model_options}
        made(self, *args, **kwargs)

    comfy.sd1_clip.SDClipModel.__init__ = init
    looked = qwen_vl.Qwen2VLVisionTransformer.__init__

    @wraps(looked)
    def look(self, *args, **kwargs):
        looked(self, *args, **(kwargs | QWEN_EYES))

    qwen_vl.Qwen2VLVisionTransformer.__init__ = look


def _shallow_image_encoders() -> None:
    for name, kind in list(comfy.clip_vision.IMAGE_ENCODERS.items()):
        comfy.clip_vision.IMAGE_ENCODERS[name] = _shallow(kind)


def _shallow(kind):
    return lambda config, *rest, **named: kind({**config, **CLIP}, *rest, **named)


def _autoencoders_as_wide_as_their_files() -> None:
    width: list[int] = []
    loaded = comfy.sd.VAE.__init__

    @wraps(loaded)
    def load(self, sd=None, *args, **kwargs):
        first = next((sd[name] for name in FIRST if sd and name in sd), None)
        width[:] = [] if first is None else [first.shape[0]]
        loaded(self, sd, *args, **kwargs)

    comfy.sd.VAE.__init__ = load
    for owner, name in (
        (autoencoder.Encoder, "ch"),
        (autoencoder.Decoder, "ch"),
        (comfy.ldm.wan.vae.WanVAE, "dim"),
    ):
        owner.__init__ = _as_wide(owner.__init__, name, width)


FIRST = ("encoder.conv_in.weight", "encoder.conv1.weight")


def _as_wide(made, name: str, width: list[int]):
    @wraps(made)
    def init(self, *args, **kwargs):
        if width:
            kwargs[name] = width[0]
        made(self, *args, **kwargs)

    return init


def _transformers_as_wide_as_their_files() -> None:
    detect = comfy.model_detection.detect_unet_config

    @wraps(detect)
    def detected(state_dict, key_prefix, *args, **kwargs):
        config = detect(state_dict, key_prefix, *args, **kwargs)
        kind = (config or {}).get("image_model")
        if kind in ("flux", "qwen_image"):
            width = state_dict[f"{key_prefix}img_in.weight"].shape[0]
            if kind == "flux":
                config |= {"hidden_size": width, "num_heads": width // HEAD}
            else:
                config["num_attention_heads"] = width // HEAD
        return config

    comfy.model_detection.detect_unet_config = detected


# ComfyUI loads this file under another name than the package does.
if __package__ != "visage.engines.comfyui":
    narrow_models()

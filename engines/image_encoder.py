"""CLIP's image encoder outside ComfyUI, with the pictures prepared as ComfyUI prepares them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from ..models.checkpoints import read_weights
from ..models.pixel_statistics import CLIP_MEAN, CLIP_STD
from ..techniques.style_adapter import visible_patches


class ImageEncoder:
    """Features of pictures for an IP-Adapter; see `models.ip_adapter.IPAdapter.reads`."""

    def __init__(self, network: CLIPVisionModelWithProjection) -> None:
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def load(cls, folder: str | Path) -> ImageEncoder:
        """The encoder in a folder with config.json and model.safetensors.

        Raises FileNotFoundError or ValueError when a file is missing, damaged or of another kind.
        """
        folder = Path(folder)
        config = folder / "config.json"
        if not config.is_file():
            raise FileNotFoundError(
                f"There is no image encoder in {folder}: looked for {config.name} and "
                "model.safetensors. Give the folder of a CLIPVisionModelWithProjection."
            )
        settings = json.loads(config.read_text(encoding="utf-8"))
        # The config of a file in 16 bits would have transformers 5 make parts of it so.
        network = CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(settings)).float()
        weights = read_weights(folder / "model.safetensors")
        weights = {k: v.float() for k, v in weights.items() if not k.endswith("position_ids")}
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"{folder} does not hold the image encoder that its config.json describes. {error}"
            ) from error
        return cls(network)

    @torch.no_grad()
    def features(
        self, picture: Tensor, masked: Tensor | None = None, crop: bool = True
    ) -> dict[str, Tensor]:
        """image_embeds [1, D] and hidden_states [1, T, width] of a picture [1, H, W, 3] in 0..1.

        Without crop the whole picture is pressed into the encoder's square, not its middle alone.
        masked [H, W] is 1 where the picture is to be left out: the patches there are not seen.
        """
        return self._run(self._pixels(picture, crop), masked)

    @torch.no_grad()
    def blank(self) -> dict[str, Tensor]:
        """The same for the negative prompt: zeros, and the view of a picture of the mean colour."""
        size = self.network.config.image_size
        seen = self._run(torch.zeros(1, 3, size, size), None)
        return seen | {"image_embeds": torch.zeros_like(seen["image_embeds"])}

    def to(self, device: torch.device) -> ImageEncoder:
        nn.Module.to(self.network, device)
        return self

    def _pixels(self, picture: Tensor, crop: bool = True) -> Tensor:
        """Shorter side to the encoder's size, the middle square, CLIP's normalisation."""
        size = self.network.config.image_size
        planes = picture[..., :3].movedim(-1, 1)
        scale = size / min(planes.shape[-2:])
        shape = [round(scale * side) for side in planes.shape[-2:]] if crop else [size, size]
        if list(planes.shape[-2:]) != shape:
            planes = F.interpolate(planes, shape, mode="bicubic", antialias=True)
        top, left = ((side - size) // 2 for side in shape)
        planes = (planes[..., top : top + size, left : left + size].clamp(0, 1) * 255).round() / 255
        mean, std = (planes.new_tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
        return (planes - mean) / std

    def _run(self, pixels: Tensor, masked: Tensor | None) -> dict[str, Tensor]:
        vision, config = self.network.vision_model, self.network.config
        tokens = vision.embeddings(pixels.to(self.network.device))
        if masked is not None and bool(masked.any()):
            grid = config.image_size // config.patch_size
            visible = visible_patches(masked, config.image_size, grid).to(tokens.device)
            tokens = tokens[:, torch.cat((visible.new_ones(1), visible))]
        seen = {}

        def keep(_module, _inputs, output) -> None:
            # transformers 4 gives a tuple and transformers 5 the tensor.
            seen["hidden"] = output if torch.is_tensor(output) else output[0]

        hook = vision.encoder.layers[-2].register_forward_hook(keep)
        try:
            last = vision.encoder(inputs_embeds=vision.pre_layrnorm(tokens)).last_hidden_state
        finally:
            hook.remove()
        embeds = self.network.visual_projection(vision.post_layernorm(last[:, 0]))
        return {"image_embeds": embeds.cpu(), "hidden_states": seen["hidden"].cpu()}

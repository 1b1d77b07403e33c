"""LPIPS and PickScore with weights from the user; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..models.checkpoints import read_weights
from .face_edit import Metric, Pair


def background_lpips(vgg: Path) -> Metric:
    """Return LPIPS on VGG-16 between a picture and its edit with the original face put back.

    vgg: torchvision's vgg16-397923af.pth. Zhang et al., "The Unreasonable Effectiveness of Deep
    Features as a Perceptual Metric", CVPR 2018. Raises ValueError for other weights.
    """
    from torchmetrics.functional.image.lpips import _LPIPS

    network = _LPIPS(pretrained=True, net="vgg", pnet_rand=True).eval()
    weights = read_weights(vgg)
    slices = [getattr(network.net, f"slice{number}") for number in range(1, 6)]
    for part in slices:
        for index, layer in part.named_children():
            if not isinstance(layer, torch.nn.Conv2d):
                continue
            names = (f"features.{index}.weight", f"features.{index}.bias")
            if any(name not in weights for name in names):
                raise ValueError(
                    f"{vgg} has no {names[0]}: it is not torchvision's VGG-16 (vgg16-397923af.pth)."
                )
            weight, bias = (weights[name].float() for name in names)
            layer.load_state_dict({"weight": weight, "bias": bias})

    @torch.inference_mode()
    def measure(edited: Tensor, pair: Pair) -> float:
        background = torch.where(pair.mask[..., None] > 0.5, pair.image, edited)
        first, second = (part.movedim(-1, 0)[None] * 2 - 1 for part in (background, pair.image))
        return float(network(first, second))

    return measure


def pickscore(folder: Path) -> Metric:
    """Return PickScore, which predicts how people judge that a picture fits its prompt.

    folder: the model's (CLIP ViT-H/14 with its processor). Kirstain et al., "Pick-a-Pic",
    NeurIPS 2023, equation 1.
    """
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)

    @torch.inference_mode()
    def measure(edited: Tensor, pair: Pair) -> float:
        words = tokenizer(
            [pair.prompt], padding=True, truncation=True, max_length=77, return_tensors="pt"
        )
        pixels = (edited * 255).round().byte().numpy()
        pixels = processor(images=[pixels], return_tensors="pt")["pixel_values"]
        text = _plain(model.get_text_features(**words))
        image = _plain(model.get_image_features(pixel_values=pixels))
        cosine = torch.nn.functional.cosine_similarity(text, image)
        return float(model.logit_scale.exp() * cosine)

    return measure


def _plain(features) -> Tensor:
    # transformers 4 returns the tensor itself, transformers 5 wraps it.
    return features if isinstance(features, Tensor) else features.pooler_output

"""CLIPSeg from local files: finds what words name in a picture.

Lüddecke and Ecker, "Image Segmentation Using Text and Image Prompts" (CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


class _Plain(nn.Module):
    """A network whose attributes can be set: transformers' own have a `device` that cannot, and
    ComfyUI's memory management notes it there."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> Tensor:
        return self.model(**inputs).logits


class ClipSeg:
    """CLIPSeg with its tokenizer; on_use() brings the network to its device and names that."""

    def __init__(self, network: nn.Module, tokenizer, name: str) -> None:
        self.network = _Plain(network).eval().requires_grad_(False)
        self.size = network.config.vision_config.image_size
        self.tokenizer = tokenizer
        self.name = name
        self.on_use: Callable[[], torch.device] | None = None

    @torch.inference_mode()
    def probabilities(self, image: Tensor, phrases: Sequence[str]) -> Tensor:
        """Probability [B, K, H, W] of each phrase in pictures [B, H, W, 3] in 0..1."""
        weight = next(self.network.parameters())
        device = self.on_use() if self.on_use else weight.device
        size = self.size
        pixels = F.interpolate(
            image.movedim(-1, 1).float(), (size, size), mode="bilinear", antialias=True
        )
        pixels = ((pixels.to(device) - _column(_MEAN, device)) / _column(_STD, device)).to(
            weight.dtype
        )
        words = self.tokenizer(list(phrases), padding=True, truncation=True, return_tensors="pt")
        planes = []
        for picture in pixels:
            logits = self.network(
                input_ids=words["input_ids"].to(device),
                attention_mask=words["attention_mask"].to(device),
                pixel_values=picture.expand(len(phrases), -1, -1, -1),
            )
            # One phrase comes without its own dimension.
            planes.append(logits.float().reshape(len(phrases), size, size).sigmoid())
        planes = F.interpolate(torch.stack(planes), image.shape[1:3], mode="bilinear")
        return planes.to(image.device)


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(3, 1, 1)


def load_clipseg(path: str | Path) -> ClipSeg:
    """Read CLIPSeg from the folder of its weights file, as transformers saves it.

    Raises ModuleNotFoundError without transformers, and FileNotFoundError or ValueError, saying
    what is missing, for an incomplete folder or another model.
    """
    from transformers import CLIPSegForImageSegmentation, CLIPTokenizer

    folder = Path(path).parent
    wanted = ("config.json", "vocab.json", "merges.txt")
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}. Put all files of a CLIPSeg model, such as "
            "CIDAS/clipseg-rd64-refined, into one folder."
        )
    network, report = CLIPSegForImageSegmentation.from_pretrained(
        folder, local_files_only=True, output_loading_info=True
    )
    if report["missing_keys"]:
        raise ValueError(
            f"{path} is not a CLIPSeg model: {len(report['missing_keys'])} of its weights are "
            "missing. Get CIDAS/clipseg-rd64-refined with all its files."
        )
    tokenizer = CLIPTokenizer.from_pretrained(
        folder, model_max_length=network.config.text_config.max_position_embeddings
    )
    return ClipSeg(network, tokenizer, folder.name)

"""CLIPSeg from local files: finds what words name in a picture.

Lüddecke and Ecker, "Image Segmentation Using Text and Image Prompts" (CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .clip_similarity import clip_pixels
from .managed_network import ManagedNetwork
from .transformers_folder import Plain, read_network


class ClipSeg(ManagedNetwork):
    """CLIPSeg with its tokenizer."""

    def __init__(self, network: Any, tokenizer, name: str) -> None:
        super().__init__(Plain(network), name)
        self.size = network.config.vision_config.image_size
        self.tokenizer = tokenizer

    @torch.inference_mode()
    def probabilities(self, image: Tensor, phrases: Sequence[str]) -> Tensor:
        """Probability [B, K, H, W] of each phrase in pictures [B, H, W, 3] in 0..1."""
        device, dtype = self.prepare()
        size = self.size
        pixels = clip_pixels(image, size, device, dtype)
        words = self.tokenizer(list(phrases), padding=True, truncation=True, return_tensors="pt")
        planes = []
        for picture in pixels:
            found = self.network(
                input_ids=words["input_ids"].to(device),
                attention_mask=words["attention_mask"].to(device),
                pixel_values=picture.expand(len(phrases), -1, -1, -1),
            )
            # One phrase comes without its own dimension.
            planes.append(found.logits.float().reshape(len(phrases), size, size).sigmoid())
        planes = F.interpolate(torch.stack(planes), image.shape[1:3], mode="bilinear")
        return planes.to(image.device)


def load_clipseg(path: str | Path) -> ClipSeg:
    """Read CLIPSeg from the folder of its weights file, as transformers saves it.

    Raises ModuleNotFoundError without transformers, and what `read_network` raises.
    """
    from transformers import CLIPSegForImageSegmentation, CLIPTokenizer

    files = ("config.json", "vocab.json", "merges.txt")
    network = read_network(CLIPSegForImageSegmentation, path, files, "CIDAS/clipseg-rd64-refined")
    folder = Path(path).parent
    tokenizer = CLIPTokenizer.from_pretrained(
        folder, model_max_length=network.config.text_config.max_position_embeddings
    )
    return ClipSeg(network, tokenizer, folder.name)

"""CLIP from local files: how well words describe pictures.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .managed_network import ManagedNetwork
from .pixel_statistics import CLIP_MEAN, CLIP_STD
from .transformers_folder import Plain, read_network


def clip_pixels(image: Tensor, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Pictures [B, H, W, 3] in 0..1 as CLIP's input [B, 3, size, size]."""
    pixels = F.interpolate(
        image.movedim(-1, 1).float(), (size, size), mode="bilinear", antialias=True
    ).to(device)
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD)
    )
    return ((pixels - mean) / std).to(dtype)


class ClipSimilarity(ManagedNetwork):
    """CLIP with its tokenizer."""

    def __init__(self, network: Any, tokenizer, name: str) -> None:
        super().__init__(Plain(network), name)
        self.size = network.config.vision_config.image_size
        self.tokenizer = tokenizer

    @torch.inference_mode()
    def similarity(self, image: Tensor, phrases: Sequence[str]) -> Tensor:
        """CLIP's logits [B, K], 100 times the cosine, of pictures [B, H, W, 3] and K phrases."""
        device, dtype = self.prepare()
        words = self.tokenizer(list(phrases), padding=True, truncation=True, return_tensors="pt")
        found = self.network(
            pixel_values=clip_pixels(image, self.size, device, dtype),
            input_ids=words["input_ids"].to(device),
            attention_mask=words["attention_mask"].to(device),
        )
        return found.logits_per_image.float().cpu()


def load_clip_similarity(path: str | Path) -> ClipSimilarity:
    """Read CLIP from the folder of its weights file, as transformers saves it.

    Raises ModuleNotFoundError without transformers, and what `read_network` raises.
    """
    from transformers import CLIPModel, CLIPTokenizer

    files = ("config.json", "vocab.json", "merges.txt")
    network = read_network(CLIPModel, path, files, "openai/clip-vit-base-patch32")
    folder = Path(path).parent
    max_tokens = network.config.text_config.max_position_embeddings
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=max_tokens)
    return ClipSimilarity(network, tokenizer, folder.name)

"""CLIP from local files: how well words describe pictures.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .transformers_folder import Plain, read_network

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def clip_pixels(image: Tensor, size: int, like: Tensor) -> Tensor:
    """Pictures [B, H, W, 3] in 0..1 as CLIP's input [B, 3, size, size], on `like`'s device."""
    pixels = F.interpolate(
        image.movedim(-1, 1).float(), (size, size), mode="bilinear", antialias=True
    ).to(like.device)
    mean, std = (torch.tensor(values, device=like.device).view(3, 1, 1) for values in (MEAN, STD))
    return ((pixels - mean) / std).to(like.dtype)


class ClipSimilarity:
    """CLIP with its tokenizer; on_use() brings the network to its device and names that."""

    def __init__(self, network: nn.Module, tokenizer, name: str) -> None:
        self.network = Plain(network)
        self.size = network.config.vision_config.image_size
        self.tokenizer = tokenizer
        self.name = name
        self.on_use: Callable[[], torch.device] | None = None

    @torch.inference_mode()
    def similarity(self, image: Tensor, phrases: Sequence[str]) -> Tensor:
        """CLIP's logits [B, K], 100 times the cosine, of pictures [B, H, W, 3] and K phrases."""
        if self.on_use:
            self.on_use()
        weight = next(self.network.parameters())
        words = self.tokenizer(list(phrases), padding=True, truncation=True, return_tensors="pt")
        found = self.network(
            pixel_values=clip_pixels(image, self.size, weight),
            input_ids=words["input_ids"].to(weight.device),
            attention_mask=words["attention_mask"].to(weight.device),
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
    longest = network.config.text_config.max_position_embeddings
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=longest)
    return ClipSimilarity(network, tokenizer, folder.name)

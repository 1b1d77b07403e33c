"""Face-aware text adapter: the prompt's embedding, rescaled by how much of the picture is face.

Kang et al., "High-Fidelity Face Swap via Prompt-Driven Inpainting and Pixel-Level Background
Preservation", equations 6-9.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .shapes import as_mask, match_batch


class FaceAwareTextAdapter(nn.Module):
    """A(E) = W2 SiLU(W1 E), equation 6, on embeddings [B, T, width].

    W2 starts at zero, so an untrained adapter adds nothing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, width, bias=False)
        self.w2 = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.w2.weight)

    @classmethod
    def from_weights(cls, weights: dict[str, Tensor]) -> FaceAwareTextAdapter:
        """The adapter with the tensors "w1.weight" and "w2.weight", both [width, width]."""
        shapes = {name: list(value.shape) for name, value in weights.items()}
        width = weights["w1.weight"].shape[0]
        if any(shape != [width, width] for shape in shapes.values()):
            raise ValueError(f"The text adapter's matrices must be square and alike: {shapes}.")
        adapter = cls(width)
        adapter.load_state_dict({name: value.float() for name, value in weights.items()})
        return adapter.requires_grad_(False)

    @property
    def width(self) -> int:
        """Width d of the embeddings it takes: 768 for SD 1.5."""
        return self.w1.in_features

    def forward(self, embedding: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(embedding)))


def adapt_text(
    embedding: Tensor, mask: Tensor, adapter: FaceAwareTextAdapter, strength: float = 0.3
) -> Tensor:
    """E + strength * A(E) * beta with beta = mean(M) for each picture, equations 7-9.

    embedding [B, T, width] of the positive prompt, mask [B, H, W] over the whole picture; either
    batch may have length 1. Strength 0 and an empty mask give the embedding's own values, bit for
    bit. Raises ValueError when the widths or batch lengths do not fit.
    """
    if embedding.shape[-1] != adapter.width:
        raise ValueError(
            f"The text adapter is made for embeddings of width {adapter.width}, and this "
            f"conditioning has shape {list(embedding.shape)}, width {embedding.shape[-1]}. "
            "Use the face-edit file that belongs to this checkpoint's text encoder."
        )
    beta = as_mask(mask).mean(dim=(1, 2)).to(embedding.device)
    if strength == 0 or not beta.any():
        return embedding
    embedding, beta = match_batch(embedding, beta.view(-1, 1, 1), "conditioning", "mask")
    correction = adapter.to(embedding.device)(embedding.float())
    adapted = embedding + (strength * beta * correction).to(embedding.dtype)
    return torch.where(beta > 0, adapted, embedding)

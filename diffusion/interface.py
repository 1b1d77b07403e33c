"""The one small interface by which techniques run a diffusion model, whichever engine it is.

A technique is written against `Denoiser`. The diffusers engine makes one; in ComfyUI it is what
every sampler function is handed, with guidance, masks, ControlNet and patches already inside.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class Denoiser(Protocol):
    """The k-diffusion convention: denoised = model(x, sigma, **extra)."""

    def __call__(self, x: Tensor, sigma: Tensor, **extra: Any) -> Tensor:
        """The clean latent [B, 4, h, w] expected behind x [B, 4, h, w] at noise sigma [B]."""
        ...


class Engine(Protocol):
    """A text encoder, a VAE and a UNet, ready to run."""

    @property
    def width(self) -> int:
        """Width d of the text embeddings: 768 for SD 1.5."""
        ...

    @property
    def native_size(self) -> int:
        """Edge in pixels of the pictures that the UNet was trained on: 512 for SD 1.5."""
        ...

    @property
    def latent_scale(self) -> float:
        """What a VAE latent is multiplied by before the UNet sees it: 0.18215 for SD 1.5."""
        ...

    @property
    def sigma_max(self) -> float:
        """The largest noise level that the UNet was trained on."""
        ...

    def encode_text(self, prompts: list[str]) -> Tensor:
        """Embeddings [B, T, d] of prompts."""
        ...

    def encode(self, image: Tensor) -> Tensor:
        """Latents [B, 4, h, w], not scaled, of pictures [B, H, W, 3] in 0..1."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures [B, H, W, 3] in 0..1 of latents [B, 4, h, w], not scaled."""
        ...

    def denoiser(
        self, positive: Tensor, negative: Tensor, guidance: float, concat: Tensor | None
    ) -> Denoiser:
        """The UNet under classifier-free guidance, with concat [B, 5, h, w] as extra channels."""
        ...

    def sigmas(self, scheduler: str, steps: int, denoise: float = 1.0) -> Tensor:
        """Noise levels of a run, from the largest to 0: steps + 1 of them."""
        ...

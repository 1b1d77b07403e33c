"""The noise levels which a discrete diffusion model was trained on, and how a run steps through
them.

Sigma is the noise's standard deviation in the k-diffusion convention, sqrt((1 - a) / a) for the
cumulated alpha a of a training step (Karras et al. 2022, appendix C).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class NoiseSchedule:
    """Sigmas [T] of the training steps, in ascending order, and the schedules built on them."""

    def __init__(self, betas: Tensor) -> None:
        alphas = torch.cumprod(1 - betas.double(), dim=0)
        self.sigmas = ((1 - alphas) / alphas).sqrt().float()
        self._log_sigmas = self.sigmas.log()
        self._copies: dict[torch.device, Tensor] = {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NoiseSchedule:
        """The schedule that a diffusers `scheduler_config.json` describes.

        Raises ValueError for a beta schedule other than "scaled_linear" or "linear".
        """
        start, end = config["beta_start"], config["beta_end"]
        steps, kind = config["num_train_timesteps"], config["beta_schedule"]
        if kind == "scaled_linear":
            betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
        elif kind == "linear":
            betas = torch.linspace(start, end, steps, dtype=torch.float64)
        else:
            raise ValueError(f"Unknown beta schedule {kind!r}; known are scaled_linear and linear.")
        return cls(betas)

    @property
    def sigma_max(self) -> float:
        return float(self.sigmas[-1])

    def timestep(self, sigma: Tensor) -> Tensor:
        """The training step whose sigma is nearest, in the logarithm, to each of sigma [B]."""
        # A sigma that had to come to the CPU at every step would wait for the accelerator.
        if sigma.device not in self._copies:
            self._copies[sigma.device] = self._log_sigmas.to(sigma.device)
        distance = sigma.log().float() - self._copies[sigma.device][:, None]
        return distance.abs().argmin(dim=0)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Sigma at a fractional training step, interpolated in the logarithm."""
        low, high, part = timestep.floor().long(), timestep.ceil().long(), timestep.frac()
        return ((1 - part) * self._log_sigmas[low] + part * self._log_sigmas[high]).exp()

    def sigma_at(self, progress: float) -> float:
        """The noise level at a progress of 0 to 1 through a run, as ComfyUI counts it.

        At 0 it is infinite, above all levels; at 1 it is 0.
        """
        if progress <= 0 or progress >= 1:
            return 0.0 if progress >= 1 else float("inf")
        return float(self.sigma(torch.tensor((1 - progress) * (len(self.sigmas) - 1))))

    def schedule(self, scheduler: str, steps: int, denoise: float = 1.0) -> Tensor:
        """Noise levels of a run [steps + 1], the last one 0, as ComfyUI's scheduler of that name.

        denoise below 1 starts part of the way down and takes the same number of steps.
        Raises ValueError for an unknown scheduler, steps below 1 or denoise outside (0, 1].
        """
        if steps < 1 or not 0 < denoise <= 1:
            raise ValueError(f"steps must be at least 1 and denoise in (0, 1]: {steps}, {denoise}.")
        makers = {"normal": self._normal, "simple": self._simple}
        if scheduler not in makers:
            raise ValueError(f"Unknown scheduler {scheduler!r}; known are {', '.join(makers)}.")
        levels = makers[scheduler](int(steps / denoise))
        return torch.cat((levels, levels.new_zeros(1)))[-(steps + 1) :]

    def _normal(self, steps: int) -> Tensor:
        """Equal steps in training time."""
        return self.sigma(torch.linspace(len(self.sigmas) - 1, 0, steps))

    def _simple(self, steps: int) -> Tensor:
        """Every (T / steps)-th training sigma."""
        stride = len(self.sigmas) / steps
        return self.sigmas[[-(1 + int(step * stride)) for step in range(steps)]]

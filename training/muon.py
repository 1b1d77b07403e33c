"""Muon, an optimizer that makes every update of a weight matrix equally strong in all directions.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the step's scale is
that of Liu et al., "Muon is Scalable for LLM Training", 2025, so that AdamW's learning rates hold.
torch.optim.Muon takes matrices only, and most weights of a UNet are convolution kernels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# The polynomial a X + b (X X^T) X + c (X X^T)^2 X moves singular values towards 1.
POLYNOMIAL = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# An AdamW update has about this root mean square.
ADAMW_RMS = 0.2
MIN_SIDE = 32


def orthogonalize(matrices: Tensor) -> Tensor:
    """Return about U V^T of every matrix U S V^T in [N, m, n], by Newton-Schulz steps in bf16."""
    x = matrices.bfloat16()
    if tall := x.shape[1] > x.shape[2]:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = POLYNOMIAL
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        change = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, change, x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def is_matrix(parameter: Tensor) -> bool:
    """Whether a weight maps many channels to many: Muon is for these, AdamW for the rest."""
    return parameter.ndim >= 2 and min(len(parameter), parameter[0].numel()) >= MIN_SIDE


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for weight matrices and convolution kernels, AdamW for biases, norms and thin layers.

    A kernel [out, in, h, w] counts as a matrix [out, in * h * w]. The learning rate is that of both
    parts, and so is the weight decay.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float = 1e-2,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        parameters = list(parameters)
        matrices = [p for p in parameters if is_matrix(p)]
        others = [p for p in parameters if not is_matrix(p)]
        options = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__([{"params": matrices}, {"params": others}], options)
        self.adamw = torch.optim.AdamW(
            [{"params": others}], lr, betas=betas, weight_decay=weight_decay, fused=True
        )

    @torch.no_grad()
    def step(self) -> None:  # pyrefly: ignore[bad-override]
        """Take one step from the gradients; a parameter without one stays as it is."""
        matrices, others = self.param_groups
        rate, decay, momentum = (matrices[key] for key in ("lr", "weight_decay", "momentum"))
        ahead: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in matrices["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            average = state["momentum"].lerp_(parameter.grad, 1 - momentum)
            # Nesterov's momentum
            matrix = parameter.grad.lerp(average, momentum).flatten(1)
            ahead[matrix.shape].append((parameter, matrix))
        # A UNet has many small matrices: those of one shape together take half as long.
        for shape, pairs in ahead.items():
            scale = ADAMW_RMS * max(shape) ** 0.5
            updates = orthogonalize(torch.stack([matrix for _, matrix in pairs]))
            for (parameter, _), update in zip(pairs, updates, strict=True):
                parameter.mul_(1 - rate * decay)
                parameter.add_(update.view(parameter.shape), alpha=-rate * scale)
        self.adamw.param_groups[0]["lr"] = others["lr"]
        self.adamw.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": super().state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])

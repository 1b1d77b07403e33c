"""Style by Gram matrices of VGG-19's features: the method that began the field.

Gatys et al., "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016), equations 3 to
7, on the picture x itself:
    L = w_c |F(x) - F(content)| at relu4_2 + sum_l w_l |G^l(x) - G^l(style)| + w_tv TV(x),
    G = F F^T / (C N),
where each |d| is sum d^2 / sum |d|, whose gradient has an L1 norm of about 1, so that no layer
drowns another at any size. With guidance T (space control of Gatys et al., CVPR 2017, equation 5):
F_T = T F, G_T = F_T F_T^T / (C sum T^2). Where the person is kept w_c rises and T falls. The result
is the exponential mean of the iterates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.pixel_statistics import IMAGENET_MEAN, IMAGENET_STD
from ..models.user_input import require_choice
from .neural_style import Level

STYLE_LAYERS = (1, 6, 11, 20, 29)
"""relu1_1, 2_1, 3_1, 4_1, 5_1 among VGG-19's modules."""
CONTENT_LAYER = 22
"""relu4_2."""
OPTIMISERS = ("Adam", "L-BFGS")
CONTENT, TOTAL_VARIATION = 0.015, 2.0
KEPT_CONTENT, KEPT_STYLE = 30.0, 0.7
"""At keep 1: the additional weight of the content, and the fraction by which the style is reduced.
"""
ANCHOR = 20.0
RATE, MOMENTS, AVERAGE = 0.02, (0.9, 0.99), 0.99


def gram_matrix(features: Tensor, guidance: Tensor | None = None) -> Tensor:
    """F F^T / (C N) [C, C] of features [1, C, h, w]; with guidance [1, 1, h, w] that of T F over
    C sum T^2.
    """
    flat = features[0].flatten(1)
    if guidance is None:
        return flat @ flat.T / flat.numel()
    weight = guidance.flatten().square()
    return (flat * weight) @ flat.T / (len(flat) * weight.sum().clamp(min=1e-8))


def even_loss(difference: Tensor, weight: Tensor | None = None) -> Tensor:
    """sum w d^2 / sum |d|, without gradient through the divisor."""
    squares = difference.square() if weight is None else weight * difference.square()
    return squares.sum() / difference.detach().abs().sum().clamp(min=1e-8)


@dataclass
class GramPainter:
    """network: VGG-19's modules up to relu5_1; steps: of the first size, the others take half."""

    network: nn.Sequential
    steps: int = 200
    optimiser: str = OPTIMISERS[0]
    layer_weights: Sequence[float] = (256, 64, 16, 4, 1)
    smallest: int = 64

    def __post_init__(self) -> None:
        require_choice("optimiser", self.optimiser, OPTIMISERS)
        weights = list(self.layer_weights)
        if len(weights) != len(STYLE_LAYERS) or min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(
                f"There are {len(STYLE_LAYERS)} style layers (relu1_1 to relu5_1), each with a "
                f"weight of 0 or more, but the layer weights are {weights}."
            )

    def steps_at(self, level: int) -> int:
        """All of them at the coarsest size, half of them afterwards."""
        return self.steps if level == 0 else max(1, self.steps // 2)

    def features(self, picture: Tensor, last: int = STYLE_LAYERS[-1]) -> dict[int, Tensor]:
        """The taken layers' features [1, C, h, w] of a picture [1, 3, H, W] in 0..1."""
        mean, std = (
            picture.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
        )
        x, taken = (picture - mean) / std, {}
        for number, layer in enumerate(self.network):
            if number == 0:
                # A black border would be seen as a part of the picture.
                x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), layer.weight, layer.bias)
            else:
                x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
            if number == CONTENT_LAYER or number in STYLE_LAYERS:
                taken[number] = x
            if number == last:
                break
        return taken

    def paint(
        self, level: Level, picture: Tensor, report: Callable[[Tensor, float], bool]
    ) -> Tensor:
        """One size: the picture [1, 3, H, W] after its steps."""
        loss_of = _Loss(self, level)
        count = self.steps_at(0 if level.progress == 0 else 1)
        with torch.enable_grad():
            x = picture.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
            if self.optimiser == OPTIMISERS[0]:
                return self._with_adam(x, loss_of, count, report)
            return self._with_lbfgs(x, loss_of, count, report)

    def _with_adam(self, x: Tensor, loss_of: _Loss, count: int, report: Callable) -> Tensor:
        optimiser = torch.optim.Adam([x], lr=RATE, betas=MOMENTS)
        mean, weight = torch.zeros_like(x), 0.0
        for _ in range(count):
            optimiser.zero_grad()
            loss = loss_of(x)
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                x.clamp_(0, 1)
                mean.lerp_(x, 1 - AVERAGE)
            weight = 1 - (1 - weight) * AVERAGE
            if report(mean / weight, _finite(loss)):
                break
        return mean / weight

    def _with_lbfgs(self, x: Tensor, loss_of: _Loss, count: int, report: Callable) -> Tensor:
        optimiser = torch.optim.LBFGS([x], lr=1.0, max_iter=1, history_size=10)

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = loss_of(x)
            loss.backward()
            return loss

        for _ in range(count):
            loss = optimiser.step(closure)
            with torch.no_grad():
                x.clamp_(0, 1)
            if report(x.detach(), _finite(loss)):
                break
        return x.detach()


class _Loss:
    """L of one size; the targets are computed once."""

    def __init__(self, painter: GramPainter, level: Level) -> None:
        self.painter, self.level = painter, level
        with torch.no_grad():
            self.content = painter.features(level.content, CONTENT_LAYER)[CONTENT_LAYER].clone()
            keep = F.interpolate(level.keep, self.content.shape[2:], mode="area")
            self.content_map = 1 + KEPT_CONTENT * keep
            self.targets = [self._targets(members) for _, members in level.groups()]
            guided = [region * (1 - KEPT_STYLE * level.keep) for region, _ in level.groups()]
            self.guided = None if len(guided) == 1 and bool((guided[0] == 1).all()) else guided
            self.guides: dict[tuple[int, int], Tensor] = {}

    def _targets(self, members: list[tuple[Tensor, float]]) -> dict[int, Tensor]:
        """The mean Gram matrix of a region's styles, by layer."""
        total = sum(weight for _, weight in members)
        targets: dict[int, Tensor] = {}
        for style, weight in members:
            for layer, features in self.painter.features(style).items():
                if layer != CONTENT_LAYER:
                    part = gram_matrix(features) * (weight / total)
                    targets[layer] = targets[layer] + part if layer in targets else part
        return targets

    def _guide(self, number: int, layer: int, features: Tensor) -> Tensor | None:
        """The weight of a region's pixels, as large as a layer's features; None is 1 everywhere."""
        if self.guided is None:
            return None
        if (number, layer) not in self.guides:
            shape = features.shape[2:]
            self.guides[number, layer] = F.interpolate(self.guided[number], shape, mode="area")
        return self.guides[number, layer]

    def __call__(self, x: Tensor) -> Tensor:
        level, features = self.level, self.painter.features(x)
        content = CONTENT * level.content_weight
        loss = content * even_loss(features[CONTENT_LAYER] - self.content, self.content_map)
        weights = [
            weight / sum(self.painter.layer_weights) for weight in self.painter.layer_weights
        ]
        for number, targets in enumerate(self.targets):
            for weight, layer in zip(weights, STYLE_LAYERS, strict=True):
                own = gram_matrix(features[layer], self._guide(number, layer, features[layer]))
                loss = loss + level.strength * weight * even_loss(own - targets[layer])
        loss = loss + TOTAL_VARIATION * _total_variation(x)
        if level.anchor is not None and level.anchor_weight is not None:
            loss = loss + ANCHOR * (level.anchor_weight * (x - level.anchor).square()).mean()
        return loss


def _total_variation(x: Tensor) -> Tensor:
    """Mean squared difference between neighbours."""
    across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    return across.square().mean() + down.square().mean()


def _finite(loss: Tensor) -> float:
    value = float(loss.detach())
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(
            f"The loss became {value}. Is the VGG-19 file whole? Otherwise take Adam as optimiser."
        )
    return value

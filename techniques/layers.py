"""A picture as a stack of named layers with transparency, and the picture that a stack shows.

A layer is cut out of what lies below the layers before it: I = a F + (1 - a) B at every pixel, with
the mask as a. The layer keeps F, its own colour without the background that showed through its soft
edge (colour decontamination); B, filled where it was hidden, is what the next layer is cut from.
Estimates of F and B are corrected until they explain I, so an untouched stack shows the picture
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .hole_fill import fill_smooth
from .shapes import as_image, as_mask, fit_mask, match_batch, split_alpha

BACKGROUND = "background"
# The largest error of the recomposed picture: a 32nd of an 8-bit step.
TOLERANCE = 1 / 8192
CORRECTIONS = 8
# A pixel counts as wholly inside or outside beyond these mask values.
MIN_CLEAR = 0.02


@dataclass(frozen=True)
class Layer:
    """One layer of a stack.

    colour: [B, H, W, 3] in 0..1, straight (not multiplied by alpha). alpha: [B, H, W] in 0..1.
    """

    name: str
    colour: Tensor
    alpha: Tensor


@dataclass(frozen=True)
class Layers:
    """A stack of layers from the bottom to the top; the lowest is opaque."""

    stack: tuple[Layer, ...]

    @property
    def names(self) -> list[str]:
        return [layer.name for layer in self.stack]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return tuple(self.stack[0].alpha.shape[-2:])


def as_layers(image: Tensor) -> Layers:
    """Return a picture [B, H, W, C] as a stack of one opaque layer; transparency is dropped."""
    colour, _ = split_alpha(as_image(image))
    alpha = torch.ones(colour.shape[:3])
    return Layers((Layer(BACKGROUND, colour.clamp(0, 1).cpu(), alpha),))


def split_layer(layers: Layers, mask: Tensor, name: str, behind: Tensor | None = None) -> Layers:
    """Return the stack with the masked part of its lowest layer cut out as a layer of its own.

    The new layer lies directly on the lowest one, below those that were cut out before. mask:
    [B, H, W], soft or hard. behind: what the lowest layer shows where the mask hid it, such as an
    inpainting model's picture [B, H, W, 3]; without it the hole is filled smoothly.

    Raises ValueError for a name that is empty or taken, an empty mask, and sizes that do not fit.
    """
    name = name.strip()
    if not name:
        raise ValueError("The layer has no name. Name it after what it shows, such as `hair`.")
    if name in layers.names:
        raise ValueError(
            f"There is a layer {name!r} already: {', '.join(layers.names)}. Choose another name."
        )
    base = layers.stack[0]
    alpha = fit_mask(as_mask(mask).cpu(), *layers.size)
    alpha, colour = match_batch(alpha, base.colour, "mask", "the layers")
    if alpha.max() == 0:
        raise ValueError(
            f"The mask of the layer {name!r} is empty, so there is nothing to cut out. Look at the "
            "mask, or bypass this node."
        )
    if behind is None:
        hole = fill_smooth(colour, (alpha <= MIN_CLEAR).float())
    else:
        hole = _fitting_picture(behind, colour, "behind")
        hole, colour = match_batch(hole, colour, "behind", "the layers")
        alpha = alpha.expand(len(colour), -1, -1)
    inside = fill_smooth(colour, (alpha >= 1 - MIN_CLEAR).float())
    over, under = explain(colour, alpha, inside, hole)
    lowest = replace(base, colour=under, alpha=torch.ones_like(alpha))
    others = tuple(_with_batch(layer, len(alpha)) for layer in layers.stack[1:])
    return Layers((lowest, Layer(name, over, alpha), *others))


def explain(image: Tensor, alpha: Tensor, over: Tensor, under: Tensor) -> tuple[Tensor, Tensor]:
    """Return F and B near `over` and `under`, in 0..1, with alpha F + (1 - alpha) B = `image`.

    image, over, under: [B, H, W, 3]; alpha: [B, H, W]. The error is at most TOLERANCE. F and B are
    projected onto that plane and clamped to 0..1, alternately; the remaining error is removed by
    moving both towards the picture itself, which always explains it.
    """
    a = alpha.unsqueeze(-1)
    length = a.square() + (1 - a).square()
    for _ in range(CORRECTIONS):
        missing = (image - a * over - (1 - a) * under) / length
        over = (over + a * missing).clamp(0, 1)
        under = (under + (1 - a) * missing).clamp(0, 1)
    error = (image - a * over - (1 - a) * under).abs().amax(-1, keepdim=True)
    kept = (TOLERANCE / error.clamp_min(TOLERANCE)) * 0.999
    kept = torch.where(error <= TOLERANCE, torch.ones_like(kept), kept)
    return image + (over - image) * kept, image + (under - image) * kept


def compose(layers: Layers) -> Tensor:
    """Return the picture [B, H, W, 3] that the stack shows."""
    shown = layers.stack[0].colour
    for layer in layers.stack[1:]:
        alpha = layer.alpha.unsqueeze(-1)
        shown = alpha * layer.colour + (1 - alpha) * shown
    return shown


def pick_layer(layers: Layers, name: str) -> Layer:
    """Return the layer of that name; raises ValueError, naming all, where there is none."""
    for layer in layers.stack:
        if layer.name == name.strip():
            return layer
    raise ValueError(f"There is no layer {name.strip()!r}. There are: {', '.join(layers.names)}.")


def replace_layer(layers: Layers, name: str, image: Tensor, mask: Tensor | None = None) -> Layers:
    """Return the stack with another picture, and maybe another mask, in the layer of that name.

    image: [B, H, W, C] of the stack's size, up to padding to a multiple of 8; its transparency
    multiplies the layer's. Raises ValueError where names or sizes do not fit.
    """
    layer = pick_layer(layers, name)
    picture = _fitting_picture(image, layer.colour, "image", keep_alpha=True)
    colour, transparency = split_alpha(picture)
    alpha = layer.alpha if mask is None else fit_mask(as_mask(mask).cpu(), *layers.size)
    colour, alpha = match_batch(colour, alpha, "image", "the layer")
    if transparency is not None:
        alpha = alpha * transparency.squeeze(-1).clamp(0, 1)
    if layer is layers.stack[0]:
        alpha = torch.ones_like(alpha)
    changed = Layer(layer.name, colour.clamp(0, 1), alpha)
    stack = tuple(changed if other is layer else other for other in layers.stack)
    length = max(len(other.alpha) for other in stack)
    return Layers(tuple(_with_batch(other, length) for other in stack))


def keep_layers(layers: Layers, names: Sequence[str]) -> Layers:
    """Return the stack with the named layers alone, in its order, over its lowest layer."""
    chosen = {pick_layer(layers, name).name for name in names}
    return Layers((layers.stack[0], *(la for la in layers.stack[1:] if la.name in chosen)))


def raster_layers(layers: Layers, index: int) -> list[tuple[str, np.ndarray]]:
    """Return picture `index` of every layer as (name, RGBA uint8 [H, W, 4]), bottom to top."""
    return [
        (
            layer.name,
            (torch.cat([layer.colour[index], layer.alpha[index].unsqueeze(-1)], dim=-1) * 255)
            .round()
            .to(torch.uint8)
            .numpy(),
        )
        for layer in layers.stack
    ]


def _fitting_picture(image: Tensor, like: Tensor, name: str, keep_alpha: bool = False) -> Tensor:
    """`image` at the height, width and batch of `like`, on the CPU."""
    image = as_image(image, name).cpu()
    if not keep_alpha:
        image, _ = split_alpha(image)
    height, width = like.shape[1:3]
    extra = image.shape[1] - height, image.shape[2] - width
    if not all(0 <= pixels < 8 for pixels in extra):
        raise ValueError(
            f"{name} is {image.shape[2]} x {image.shape[1]} px and the layers are {width} x "
            f"{height} px. Give a picture of the layers' size."
        )
    image = image[:, :height, :width]
    return image.expand(len(like), -1, -1, -1) if len(image) == 1 else image


def _with_batch(layer: Layer, length: int) -> Layer:
    if len(layer.alpha) == length:
        return layer
    if len(layer.alpha) != 1:
        raise ValueError(
            f"The layer {layer.name!r} has {len(layer.alpha)} pictures and another has {length}."
        )
    return replace(
        layer,
        colour=layer.colour.expand(length, -1, -1, -1),
        alpha=layer.alpha.expand(length, -1, -1),
    )

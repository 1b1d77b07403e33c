"""Shapes of pictures, masks and batches, checked at the door.

Every technique takes what people really connect (gray or RGBA pictures, a mask without a batch
dimension, one mask for many pictures) and works on one form of it: pictures [B, H, W, C] and
masks [B, H, W], both float32 in 0..1. What cannot be brought into that form is refused here with
an error that names the shapes. Nothing is ever changed in place, and what is returned may be the
input itself or a view of it: treat it as read-only.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

ASPECT_TOLERANCE = 0.01
LATENT_STEP = 8


def as_image(image: Tensor, name: str = "image") -> Tensor:
    """A picture or a batch of pictures as float32 [B, H, W, C] with C = 3 (RGB) or 4 (RGBA).

    Takes [H, W, C] and [B, H, W, C]; gray (C = 1) is repeated to RGB. Values stay as they are,
    so a picture slightly outside 0..1 is let through.

    Raises ValueError for another rank or channel count, a size of zero, integers, NaN or inf.
    """
    _require_tensor(image, name)
    if image.ndim == 3:
        image = image.unsqueeze(0)
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"{name} has shape {_shape(image)}; expected [batch, height, width, channels] "
            "with 1, 3 or 4 channels."
        )
    if not image.is_floating_point():
        raise ValueError(
            f"{name} holds {image.dtype} values; expected floating point in 0..1. "
            "Divide 8-bit pictures by 255."
        )
    image = image.float()
    _require_values(image, name)
    return image.expand(-1, -1, -1, 3) if image.shape[-1] == 1 else image


def split_alpha(image: Tensor) -> tuple[Tensor, Tensor | None]:
    """RGB [B, H, W, 3] and alpha [B, H, W, 1] of a picture; alpha is None where it has none."""
    return image[..., :3], image[..., 3:] if image.shape[-1] == 4 else None


def as_mask(mask: Tensor, name: str = "mask") -> Tensor:
    """A mask or a batch of masks as float32 [B, H, W], clamped to 0..1.

    Takes [H, W], [B, H, W] and [B, 1, H, W], floating point or bool.

    Raises ValueError for another shape, a size of zero, integers, NaN or inf.
    """
    _require_tensor(mask, name)
    if mask.ndim == 4 and mask.shape[1] == 1:
        mask = mask[:, 0]
    if mask.ndim == 2:
        mask = mask.unsqueeze(0)
    if mask.ndim != 3:
        raise ValueError(f"{name} has shape {_shape(mask)}; expected [batch, height, width].")
    if not mask.is_floating_point() and mask.dtype != torch.bool:
        raise ValueError(f"{name} holds {mask.dtype} values; expected floating point in 0..1.")
    mask = mask.float()
    _require_values(mask, name)
    return mask.clamp(0, 1)


def match_batch(
    first: Tensor, second: Tensor, first_name: str, second_name: str
) -> tuple[Tensor, Tensor]:
    """Both tensors at one batch length: a length of 1 is repeated to the other's length.

    Raises ValueError naming both when the lengths differ and neither is 1.
    """
    length = max(len(first), len(second))
    if len(first) not in (1, length) or len(second) not in (1, length):
        raise ValueError(
            f"{first_name} has {len(first)} pictures and {second_name} has {len(second)} "
            f"({_shape(first)} and {_shape(second)}); give both the same number, or one of them 1."
        )
    return _repeat(first, length), _repeat(second, length)


def fit_mask(mask: Tensor, height: int, width: int, name: str = "mask") -> Tensor:
    """A mask [B, h, w] at another size [B, height, width], if it can show the same picture.

    The same size is returned unchanged. Masks of a single value, such as Solid Mask's and the zeros
    that Load Image gives where no mask was painted, have a size of their own that says nothing:
    they fit a picture of any shape. The same aspect ratio within 1 % (a mask made at latent
    resolution, say) is resized bilinearly, antialiased when it shrinks.

    Raises ValueError naming both sizes when the aspect ratios differ.
    """
    mask_height, mask_width = mask.shape[-2:]
    if (mask_height, mask_width) == (height, width):
        return mask
    if bool((mask == mask[:, :1, :1]).all()):
        return mask[:, :1, :1].expand(-1, height, width).contiguous()
    if not same_aspect((mask_height, mask_width), (height, width)):
        raise ValueError(
            f"{name} is {mask_width} x {mask_height} px but the picture is {width} x {height} px: "
            "the aspect ratios differ. Make the mask from the same picture, or crop it to match."
        )
    resized = F.interpolate(
        mask.unsqueeze(1), (height, width), mode="bilinear", antialias=mask_height > height
    )
    return resized.squeeze(1).clamp(0, 1)


def trim_padding(image: Tensor, height: int, width: int, name: str = "image") -> Tensor:
    """A picture [B, h, w, C] at [B, height, width, C], without its padding to multiples of 8.

    Latents come in steps of 8 pixels, so a decoded picture may be up to 7 pixels larger at its
    right and bottom than the one that went in.

    Raises ValueError naming both sizes when the difference is not such a padding.
    """
    if not is_padded(image.shape[1:3], (height, width)):
        raise ValueError(
            f"{name} is {image.shape[2]} x {image.shape[1]} px but should be {width} x {height} "
            f"px, or up to {LATENT_STEP - 1} px larger (padding of the latent). "
            "Resize it to that size first."
        )
    return image[:, :height, :width]


def is_padded(size: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a size (height, width) is the wanted one with at most a latent's padding."""
    return all(0 <= a - b < LATENT_STEP for a, b in zip(size, wanted, strict=True))


def same_aspect(size: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two sizes (height, width) have the same aspect ratio, within 1 %."""
    return abs(size[1] * other[0] / (size[0] * other[1]) - 1) <= ASPECT_TOLERANCE


def _require_tensor(value: object, name: str) -> None:
    if isinstance(value, (list, tuple)):
        shapes = sorted({_shape(part) for part in value if isinstance(part, Tensor)})
        raise ValueError(
            f"{name} is a list of {len(value)} and not one batch (shapes {', '.join(shapes)}). The "
            "pictures of a batch or clip have one size: resize them first, or give them one by one."
        )
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} is {type(value).__name__}; expected a tensor. Is it connected?")


def _require_values(values: Tensor, name: str) -> None:
    if values.numel() == 0:
        raise ValueError(f"{name} is empty: its shape is {_shape(values)}.")
    # One pass without a copy: NaN and inf both reach the extremes.
    low, high = torch.aminmax(values)
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise ValueError(
            f"{name} holds NaN or infinite values, so what made it failed. "
            "A VAE in half precision often does this: decode in float32."
        )


def _repeat(values: Tensor, length: int) -> Tensor:
    return values if len(values) == length else values.expand(length, *values.shape[1:])


def _shape(values: Tensor) -> str:
    return str(list(values.shape))

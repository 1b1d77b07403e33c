"""What a mask marks in another colour, without a model: `tone_blend` with a plain colour."""

from __future__ import annotations

from collections.abc import Callable

from PIL import ImageColor
from torch import Tensor

from .pixel_blend import blend
from .shapes import as_image, as_mask


def recolour(
    image: Tensor,
    mask: Tensor,
    colour: str,
    strength: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Pictures [B, H, W, C] with the masked part [B, H, W] in another colour.

    The part's mean becomes `colour`, and every contrast in it stays: strands, folds, pores. The
    change ends at the picture's own edges. `strength` from 0, the picture as it is bit for bit, to
    1. `progress` is called with the number of pictures done and their total.

    Raises ValueError for what `parse_colour` and `blend` refuse.
    """
    image = as_image(image)
    plain = image.new_tensor(parse_colour(colour)).expand(1, *image.shape[1:3], 3)
    return blend(plain, image, as_mask(mask) * strength, "tone", progress=progress)


def parse_colour(text: str) -> tuple[float, float, float]:
    """Red, green and blue in 0..1 of "#7a3a22", "#a31", a name of CSS, "rgb(..)" or "hsl(..)".

    Raises ValueError for anything else.
    """
    try:
        red, green, blue = ImageColor.getrgb(text.strip())[:3]
    except ValueError as error:
        raise ValueError(
            f'colour is "{text}"; expected six hexadecimal digits such as "#7a3a22", or a name '
            'such as "teal".'
        ) from error
    return red / 255, green / 255, blue / 255

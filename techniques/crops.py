"""Square crops of faces at a model's own size, and their way back into the picture.

A box has whole pixels, so that a crop of the box's own size is a plain copy. Resizing is in float:
Keys' cubic convolution with a = -1/2 ("Cubic convolution interpolation for digital image
processing", 1981), which keeps ramps straight, antialiased where it shrinks. There and back
through 512 px it keeps a 400 px piece of a photograph to 40 dB, where an area average keeps 33 dB.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .mask_parts import Rectangle, faces_of, require_boxes
from .shapes import as_image, as_mask, fit_mask, match_batch, split_alpha, trim_padding

# Margin around the mask in a crop that had to grow, as a fraction of its side.
EDGE = 0.1
# Weight of a crop where no mask covers the pixel: small, but enough where it is the only crop.
BASE_WEIGHT = 1e-3


@dataclass(frozen=True)
class CropBox:
    """A square of whole pixels in picture number `image`; it may reach over the border."""

    image: int
    left: int
    top: int
    side: int


@dataclass(frozen=True)
class Crops:
    """Where crops were taken: `masks` [N, size, size] and one box for each, and the source's size.

    Never changed once made: it stays in ComfyUI's cache and is used again.
    """

    size: int
    source_height: int
    source_width: int
    batch: int
    boxes: tuple[CropBox, ...]
    masks: Tensor


def crop_faces(
    image: Tensor,
    mask: Tensor,
    size: int,
    context: float = 0.8,
    boxes: list[list[Rectangle]] | None = None,
) -> tuple[Tensor, Tensor, Crops]:
    """Square crops [N, size, size, 3] of the faces in pictures [B, H, W, C], and their masks.

    There is one crop for each connected part of the mask [B, H, W] (as far as it is above half of
    the part's own peak, see `label_parts`), from left to right; parts under 0.02 % of the picture
    or 8 pixels are dropped. Given `boxes`,
    a list of (x, y, width, height) in pixels for each picture, there is one crop for each of
    those; where its part of the mask, such as long hair, reaches out of it, the crop grows to hold
    that. A crop's mask [N, size, size] holds only its own part of the mask: a neighbour's face
    in the same crop is not in it.

    The side of the square is (1 + context) times the longer side of the part, and at most the
    picture's longer side. The square moves to lie inside the picture where it fits; what still
    reaches over the border repeats the border's pixels. A picture without a face gives one crop:
    the whole picture, with an empty mask.

    Raises ValueError for pictures, masks or boxes that do not belong together, a size under 1 or
    a context below 0.
    """
    if size < 1:
        raise ValueError(f"size is {size}; expected the side of a crop in pixels, 1 or more.")
    if not context >= 0:
        raise ValueError(f"context is {context}; expected a part of the face's size, 0 or more.")
    image, mask = match_batch(as_image(image), as_mask(mask), "image", "mask")
    rgb, _ = split_alpha(image)
    batch, height, width = rgb.shape[:3]
    mask = fit_mask(mask, height, width)
    if boxes is not None:
        require_boxes(boxes, batch)

    pictures, masks, squares = [], [], []
    for k in range(batch):
        rectangles, owner = faces_of(mask[k], None if boxes is None else boxes[k])
        for number, rectangle in enumerate(rectangles, start=1):
            square = _square(rectangle, context, height, width)
            part = _extent(mask[k] * (owner == number))
            if part is not None and not _holds(square, part):
                square = _square(_around(rectangle, part), EDGE, height, width)
            box = CropBox(k, *square)
            own = _cut(mask[k], box) * (_cut(owner, box) == number).to(mask)
            squares.append(box)
            pictures.append(_resize(_cut(rgb[k], box), size, "bicubic"))
            masks.append(_resize(own.unsqueeze(-1), size, "bilinear")[..., 0])
    masks = torch.stack(masks)
    return (
        torch.stack(pictures),
        masks,
        Crops(size, height, width, batch, tuple(squares), masks),
    )


def cut_masks(mask: Tensor, crops: Crops) -> Tensor:
    """A mask [B, H, W] of the pictures, cut as the crops were: [N, size, size].

    Each holds its own face's part, as far as the crop's own mask reaches. Raises ValueError for a
    mask of other pictures.
    """
    mask = fit_mask(as_mask(mask), crops.source_height, crops.source_width)
    if len(mask) not in (1, crops.batch):
        raise ValueError(
            f"mask has {len(mask)} pictures but the crops were taken from {crops.batch}; connect "
            "the mask of the pictures that were cropped."
        )
    mask = mask.expand(crops.batch, -1, -1)
    cut = [
        _resize(_cut(mask[box.image], box).unsqueeze(-1), crops.size, "bilinear")[..., 0]
        for box in crops.boxes
    ]
    return torch.stack(cut) * (crops.masks > 0).to(mask)


def paste_faces(edited: Tensor, crops: Crops, original: Tensor) -> Tensor:
    """The pictures `original` [B, H, W, C] with the edited crops put back: [B, H, W, C].

    `edited` is [N, size, size, 3]; up to 7 pixels of padding at the right and bottom are cut off,
    and squares of another size (crops that were upscaled) are resized too. Pixels outside every
    box equal the original's, and a crop of its box's own size comes back unchanged, bit for bit.
    Where boxes overlap each crop counts by its mask. An alpha channel stays the original's.

    Raises ValueError naming both sides for a wrong number of crops or pictures, or a wrong size.
    """
    edited, _ = split_alpha(as_image(edited, "images"))
    original = as_image(original, "original")
    if len(edited) != len(crops.boxes):
        if crops.boxes and len(edited) % len(crops.boxes) == 0 and len(edited):
            times = len(edited) // len(crops.boxes)
            raise ValueError(
                f"images has {len(edited)} pictures and {len(crops.boxes)} crops were taken, as if "
                f"the crops had been repeated {times} times on their way (Repeat Latent Batch). "
                "Repeat the picture before Crop Faces instead."
            )
        raise ValueError(
            f"images has {len(edited)} pictures but {len(crops.boxes)} crops were taken; "
            "give one edited picture for each crop, in the same order."
        )
    source = (crops.batch, crops.source_height, crops.source_width)
    if len(original) == 1:
        original = original.expand(crops.batch, -1, -1, -1)
    if tuple(original.shape[:3]) != source:
        raise ValueError(
            f"original is {_size_text(*original.shape[:3])} but the crops were taken from "
            f"{_size_text(*source)}. Connect the picture that was cropped."
        )
    if edited.shape[1] != edited.shape[2] or edited.shape[1] - crops.size in range(1, 8):
        edited = trim_padding(edited, crops.size, crops.size, "images")

    rgb, alpha = split_alpha(original)
    rgb = rgb.clone()
    for k in range(crops.batch):
        numbers = [n for n, box in enumerate(crops.boxes) if box.image == k]
        weights = [_weight(crops.masks[n], crops.boxes[n]).to(rgb) for n in numbers]
        total = rgb.new_zeros(rgb.shape[1:3])
        for n, weight in zip(numbers, weights, strict=True):
            rows, columns, inside = _overlap(crops.boxes[n], crops)
            total[rows, columns] += weight[inside]
        rgb[k][total > 0] = 0
        for n, weight in zip(numbers, weights, strict=True):
            rows, columns, inside = _overlap(crops.boxes[n], crops)
            fraction = weight[inside] / total[rows, columns]
            picture = _resize(edited[n], crops.boxes[n].side, "bicubic").to(rgb)
            rgb[k, rows, columns] += fraction.unsqueeze(-1) * picture[inside]
    return rgb if alpha is None else torch.cat([rgb, alpha], -1)


def _square(rectangle: Rectangle, context: float, height: int, width: int) -> tuple[int, int, int]:
    """Left, top and side of the square around a rectangle, inside the picture where it fits."""
    x, y, box_width, box_height = rectangle
    longer = max(height, width)
    side = min(max(round((1 + context) * max(box_width, box_height)), 1), longer)
    left, top = (
        _inside(round(start + length / 2 - side / 2), side, limit)
        for start, length, limit in ((x, box_width, width), (y, box_height, height))
    )
    return left, top, side


def _extent(mask: Tensor) -> Rectangle | None:
    """The rectangle of all that a mask [H, W] touches; None for an empty one."""
    rows, columns = (mask.amax(dim=axis).nonzero()[:, 0] for axis in (1, 0))
    if not len(rows):
        return None
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def _holds(square: tuple[int, int, int], part: Rectangle) -> bool:
    left, top, side = square
    x, y, width, height = part
    return left <= x and top <= y and x + width <= left + side and y + height <= top + side


def _around(first: Rectangle, second: Rectangle) -> Rectangle:
    """The smallest rectangle that holds both."""
    left, top = min(first[0], second[0]), min(first[1], second[1])
    right = max(first[0] + first[2], second[0] + second[2])
    bottom = max(first[1] + first[3], second[1] + second[3])
    return left, top, right - left, bottom - top


def _inside(start: int, side: int, limit: int) -> int:
    """Moves a span into 0..limit; one that is longer than that is moved to cover it."""
    return min(max(start, min(0, limit - side)), max(0, limit - side))


def _cut(values: Tensor, box: CropBox) -> Tensor:
    """The square of a picture [H, W, ...], whose border repeats outwards."""
    height, width = values.shape[:2]
    rows, columns = (
        torch.arange(start, start + box.side, device=values.device).clamp(0, limit - 1)
        for start, limit in ((box.top, height), (box.left, width))
    )
    return values[rows][:, columns]


def _resize(values: Tensor, size: int, mode: str) -> Tensor:
    """A square [side, side, C] at [size, size, C], in 0..1; its own size is the identity."""
    if len(values) == size:
        return values
    channels = values.movedim(-1, 0).unsqueeze(0)
    resized = F.interpolate(channels, (size, size), mode=mode, antialias=True)
    return resized[0].movedim(0, -1).clamp(0, 1)


def _weight(mask: Tensor, box: CropBox) -> Tensor:
    """The weight of each pixel of a crop where boxes overlap, [side, side]."""
    return _resize(mask.unsqueeze(-1), box.side, "bilinear")[..., 0] + BASE_WEIGHT


def _overlap(box: CropBox, crops: Crops) -> tuple[slice, slice, tuple[slice, slice]]:
    """Rows and columns of the picture under a box, and the same pixels in the box's own square."""
    top, left = max(box.top, 0), max(box.left, 0)
    bottom = max(min(box.top + box.side, crops.source_height), top)
    right = max(min(box.left + box.side, crops.source_width), left)
    inside = slice(top - box.top, bottom - box.top), slice(left - box.left, right - box.left)
    return slice(top, bottom), slice(left, right), inside


def _size_text(batch: int, height: int, width: int) -> str:
    return f"{batch} of {width} x {height} px"

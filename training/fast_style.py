"""Training of a fast style network on one painting, without a downloaded model.

Johnson et al. train with VGG-16's features. Here the style is the painting's patch distribution
(`techniques.sliced_wasserstein`) and the content is the picture's forms in the painting's colours:
    L = SW(y, style) + w (|blur(y) - blur(x')| + |grad(y) - grad(x')|),
where x' is the picture with the mean and covariance of the style's colours. Noise is added to the
crops, so that the network does not amplify noise from frame to frame of a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.checkpoints import write_weights
from ..models.fast_style import SMALL_BLOCKS, SMALL_WIDTHS, FastStyle
from ..models.picture_files import read_picture
from ..models.picture_folder import PICTURES
from ..techniques.colour_transfer import match_colours
from ..techniques.sliced_wasserstein import WHITENING, PatchDistribution

MAX_SIDE = 512
"""Longer side in pixels to which larger pictures are shrunk when they are read."""
NOISE = 0.02
RATE = 2e-3


@dataclass(frozen=True)
class FastStyleSettings:
    """Settings of a training of `steps` steps on `batch` crops of `size` px.

    style_size is the painting's longer side in pixels during training, content_weight is w, and
    whitening is the weight of fine strokes beside large ones (`techniques.sliced_wasserstein`).
    """

    steps: int = 2000
    batch: int = 2
    size: int = 128
    style_size: int = 256
    content_weight: float = 1.5
    seed: int = 0
    widths: tuple[int, int, int] = SMALL_WIDTHS
    blocks: int = SMALL_BLOCKS
    whitening: float = WHITENING


def train_fast_style(
    style: Tensor,
    pictures: Sequence[Tensor],
    settings: FastStyleSettings | None = None,
    progress: Callable[[int, float, FastStyle], bool] | None = None,
    start: FastStyle | None = None,
) -> tuple[FastStyle, list[float]]:
    """Train a network that paints in the style [h, w, 3] on pictures [H, W, 3], all in 0..1.

    progress(step, loss, network) ends the training by returning True. start is a network of another
    style to begin with; its size is used instead of the settings', and it is not changed. Returns
    the network and the loss of every step. Raises ValueError when no picture is large enough.
    """
    settings = settings or FastStyleSettings()
    if not any(min(picture.shape[:2]) >= settings.size for picture in pictures):
        raise ValueError(
            f"None of the {len(pictures)} pictures is {settings.size} px large; training takes "
            "crops of that size."
        )
    generator = torch.Generator().manual_seed(settings.seed)
    torch.manual_seed(settings.seed)
    with torch.inference_mode(False), torch.enable_grad():
        painting = _scaled(style, settings.style_size)
        wanted = PatchDistribution(
            painting.movedim(-1, 0)[None], generator, whitening=settings.whitening
        )
        matched = [match_colours(picture, painting) for picture in pictures]
        crops = _crops(list(zip(pictures, matched, strict=True)), settings, generator)
        if start is None:
            network = FastStyle(settings.widths, settings.blocks)
            _begin_as_colours(network, painting)
        else:
            network = FastStyle(start.widths, start.blocks)
            network.load_state_dict(start.state_dict())
        network.train()
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, RATE, total_steps=settings.steps + 1, pct_start=0.1
        )
        losses: list[float] = []
        for step in range(settings.steps):
            content, target = next(crops)
            noisy = content + NOISE * torch.randn(content.shape, generator=generator)
            painted = network(noisy * 255) / 255
            loss = wanted.distance(painted) + settings.content_weight * content_loss(
                painted, target
            )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
            if progress is not None and progress(step + 1, losses[-1], network):
                break
    return network.eval().requires_grad_(False), losses


def save_fast_style(
    network: FastStyle, path: Path, style_name: str, overwrite: bool = False
) -> None:
    """Write a network in half precision, with the style's name in the header."""
    weights = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    metadata = {"visage.kind": "fast_style", "visage.style": style_name}
    write_weights(path, weights, metadata, overwrite)


def pictures_in(source: Path | Sequence[Path]) -> list[Tensor]:
    """Read the pictures of a folder or of files as [H, W, 3] in 0..1, at most MAX_SIDE px long.

    Raises ValueError for a folder that does not exist or holds no pictures.
    """
    if isinstance(source, Path):
        if not source.is_dir():
            raise ValueError(f"There is no folder {source}.")
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in PICTURES)
        if not files:
            raise ValueError(f"There are no pictures in {source} ({', '.join(sorted(PICTURES))}).")
    else:
        files = list(source)
    pictures = []
    for file in files:
        picture = read_picture(file).convert("RGB")
        picture.thumbnail((MAX_SIDE, MAX_SIDE))
        pictures.append(torch.from_numpy(np.array(picture)).float() / 255)
    return pictures


def drawn_pictures(count: int = 24, size: int = 192) -> list[Tensor]:
    """Portraits [size, size, 3] of the built-in renderer, and its background photographs."""
    from ..world import portrait
    from ..world.background import photographs

    drawn = [portrait(seed, size=size, split="train", style="photo").image for seed in range(count)]
    # The photographs are in linear light.
    return [
        *(torch.from_numpy(picture).float() / 255 for picture in drawn),
        *(torch.from_numpy(picture**0.5).float() for picture in photographs()),
    ]


def content_loss(painted: Tensor, target: Tensor) -> Tensor:
    """The distance of pictures [B, 3, H, W] from the target, in their blur and their edges."""
    small, wanted = F.avg_pool2d(painted, 4), F.avg_pool2d(target, 4)
    loss = (small - wanted).abs().mean()
    own, other = F.avg_pool2d(painted, 2).mean(1), F.avg_pool2d(target, 2).mean(1)
    for axis in (1, 2):
        loss = loss + 0.5 * (own.diff(dim=axis) - other.diff(dim=axis)).abs().mean()
    return 10 * loss


def _begin_as_colours(network: FastStyle, painting: Tensor) -> None:
    """Let the untrained network give the painting's mean colour instead of black."""
    with torch.no_grad():
        last = network.deconv3.conv2d
        last.weight *= 20
        last.bias = nn.Parameter(painting.flatten(0, 1).mean(0) * 255)


def _crops(
    pairs: list[tuple[Tensor, Tensor]], settings: FastStyleSettings, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches [B, 3, size, size] of pictures, and of the same in the painting's colours."""
    size = settings.size
    large = [pair for pair in pairs if min(pair[0].shape[:2]) >= size]

    def draw(limit: int) -> int:
        return int(torch.randint(limit, (1,), generator=generator))

    while True:
        both = []
        for _ in range(settings.batch):
            picture, matched = large[draw(len(large))]
            most = min(picture.shape[:2]) // size
            factor = 1 + draw(most)
            span = size * factor
            top, left = draw(picture.shape[0] - span + 1), draw(picture.shape[1] - span + 1)
            flip = draw(2)
            cut = torch.cat(
                [part[top : top + span, left : left + span] for part in (picture, matched)], -1
            )
            cut = cut.movedim(-1, 0)[None]
            cut = F.avg_pool2d(cut, factor) if factor > 1 else cut
            both.append(cut.flip(3) if flip else cut)
        crops = torch.cat(both)
        yield crops[:, :3], crops[:, 3:]


def _scaled(style: Tensor, max_side: int) -> Tensor:
    height, width = style.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = (round(height * scale), round(width * scale))
    pixels = style.movedim(-1, 0)[None].float()
    smaller = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    return smaller[0].movedim(0, -1).clamp(0, 1)

"""Style without a checkpoint: correctness of the formulae, cost, and effect.

The table on people needs your own photographs and paintings, in the subfolders `headshots`,
`people` and `styles` of the folder that the environment variable VISAGE_PHOTOS names, and dlib
(the extra `eval`). Without them these figures are left out.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.classics import flicker, flicker_ratios, moving_clip
from ..evaluation.classics_memory import peak_mib
from ..evaluation.classics_people import built_in_pair, compare_methods, figures_of
from ..evaluation.classics_table import draw_curves, write_table
from ..evaluation.photo_faces import shrink
from ..models.adain import PUBLIC_COUNTS, PUBLIC_WIDTHS, load_public_pair, new_pair
from ..models.fast_style import (
    SMALL_BLOCKS,
    SMALL_WIDTHS,
    FastStyle,
    built_in_styles,
    load_fast_style,
)
from ..models.picture_files import read_picture
from ..techniques.adain_style import EPSILON, adain, paint_adain, statistics
from ..techniques.fast_style import paint_fast
from ..techniques.gram_painting import gram_matrix
from ..techniques.neural_style import NeuralStyle, StylePicture, neural_style
from ..techniques.patch_painting import PatchPainter
from . import say

PHOTOGRAPHS, QUICK_PHOTOGRAPHS = 40, 2
EACH = 12
"""Number of paintings for each photograph in the full run."""
SIZE, QUICK_SIZE = 256, 192
MEMORY_SIDE = 2048
RESULTS = Path(__file__).parent / "results"
SAMPLES = Path(__file__).resolve().parents[1] / "web" / "samples"


def run(quick: bool, samples: int | None = None) -> dict[str, float]:
    """Measure all figures, by name; those on people are over `samples` photographs."""
    figures = {
        "gram_parity": gram_parity(),
        "adain_parity": adain_parity(),
        "public_file_parity": max(public_fast_style_parity(), public_adain_parity()),
    }
    figures |= seconds(quick) | clips(quick)
    if not quick:
        figures |= memory(MEMORY_SIDE)
    return figures | people(quick, samples)


def gram_parity() -> float:
    """Largest difference of a Gram matrix from its formula, in double precision."""
    features = torch.randn(1, 6, 5, 7, dtype=torch.float64)
    flat = features[0].flatten(1)
    formula = torch.stack([torch.stack([(a * b).sum() for b in flat]) for a in flat]) / flat.numel()
    return float((gram_matrix(features) - formula).abs().max())


def adain_parity() -> float:
    """Largest difference of AdaIN from its formula, value by value in double precision."""
    generator = torch.Generator().manual_seed(0)
    content = torch.randn(1, 6, 9, 7, generator=generator, dtype=torch.float64)
    style = 3 + 2 * torch.randn(1, 6, 8, 5, generator=generator, dtype=torch.float64)
    result = adain(content, statistics(content), statistics(style))
    worst = 0.0
    for channel in range(6):
        own, other = content[0, channel].flatten().tolist(), style[0, channel].flatten().tolist()
        (mean, deviation), (wanted, spread) = _moments(own), _moments(other)
        for value, found in zip(own, result[0, channel].flatten().tolist(), strict=True):
            worst = max(worst, abs(spread * (value - mean) / deviation + wanted - found))
    return worst


def _moments(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, (variance + EPSILON) ** 0.5


def public_adain_parity() -> float:
    """Largest difference of the public AdaIN files' networks from a plain forward pass."""
    torch.manual_seed(0)
    random = new_pair(PUBLIC_WIDTHS, PUBLIC_COUNTS)
    weights = random.encoder.state_dict(), random.decoder.state_dict()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("vgg_normalised.pth", "decoder.pth")]
        for path, part in zip(paths, weights, strict=True):
            torch.save(part, path)
        pair = load_public_pair(*paths)
    x = torch.rand(1, 3, 64, 80)
    found = pair.decoder(pair.encoder(x))
    x = F.conv2d(x, weights[0]["0.weight"], weights[0]["0.bias"])
    for place in (2, 5, 9, 12, 16, 19, 22, 25, 29):
        x = F.max_pool2d(x, 2) if place in (9, 16, 29) else x
        x = _mirrored(x, weights[0], place).relu()
    for place in (1, 5, 8, 11, 14, 18, 21, 25, 28):
        x = F.interpolate(x, scale_factor=2) if place in (5, 18, 25) else x
        x = _mirrored(x, weights[1], place)
        x = x if place == 28 else x.relu()
    return float((found - x).abs().max() / x.abs().max())


def _mirrored(x: Tensor, weights: dict[str, Tensor], place: int) -> Tensor:
    x = F.pad(x, (1, 1, 1, 1), mode="reflect")
    return F.conv2d(x, weights[f"{place}.weight"], weights[f"{place}.bias"])


def public_fast_style_parity() -> float:
    """Largest difference of a public fast style file's network from a plain forward pass, divided
    by the largest value."""
    torch.manual_seed(0)
    weights = FastStyle().state_dict()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pth"
        torch.save(weights, path)
        network = load_fast_style(path)
    picture = 255 * torch.rand(1, 3, 64, 80)
    expected = _plain_forward(weights, picture)
    return float((network(picture) - expected).abs().max() / expected.abs().max())


def _plain_forward(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network of the public layout, written with PyTorch's functions."""

    def conv(name: str, x: Tensor, border: int, stride: int = 1) -> Tensor:
        x = F.pad(x, (border,) * 4, mode="reflect")
        names = (f"{name}.conv2d.weight", f"{name}.conv2d.bias")
        return F.conv2d(x, *(weights[part] for part in names), stride)

    def norm(name: str, x: Tensor) -> Tensor:
        return F.instance_norm(x, weight=weights[f"{name}.weight"], bias=weights[f"{name}.bias"])

    for k, border, stride in ((1, 4, 1), (2, 1, 2), (3, 1, 2)):
        x = norm(f"in{k}", conv(f"conv{k}", x, border, stride)).relu()
    for k in range(1, 6):
        y = norm(f"res{k}.in1", conv(f"res{k}.conv1", x, 1)).relu()
        x = x + norm(f"res{k}.in2", conv(f"res{k}.conv2", y, 1))
    for k in (1, 2):
        x = F.interpolate(x, scale_factor=2)
        x = norm(f"in{k + 3}", conv(f"deconv{k}", x, 1)).relu()
    return conv("deconv3", x, 4)


def seconds(quick: bool) -> dict[str, float]:
    """Time of a painting of 512 px and of one pass at 1080p.

    Measured are seconds of the clock and seconds of all cores, which differ on a busy machine.
    AdaIN has networks of the pack's own size, and at 512 px also of the public files' size.
    """
    side, shape = (128, (270, 480)) if quick else (512, (1080, 1920))
    picture, small = torch.rand(1, *shape, 3), torch.rand(1, side, side, 3)
    styles = [StylePicture(_sample("night"))]
    fast, own = FastStyle(SMALL_WIDTHS, SMALL_BLOCKS).eval(), new_pair()
    public = new_pair(PUBLIC_WIDTHS, PUBLIC_COUNTS)
    figures = {"threads": float(torch.get_num_threads())}
    for name, run in (
        (f"patches_{{}}_{side}", lambda: neural_style(_astronaut(side), styles, PatchPainter())),
        (f"fast_{{}}_{shape[0]}p", lambda: paint_fast(picture, fast)),
        (f"adain_{{}}_{shape[0]}p", lambda: paint_adain(picture, styles, own)),
        (f"adain_public_{{}}_{side}", lambda: paint_adain(small, styles, public)),
    ):
        clock, cores = _timed(run)
        figures |= {name.format("seconds"): clock, name.format("core_seconds"): cores}
    return figures


def memory(side: int) -> dict[str, float]:
    """Peak MiB of each method for a square of `side` px.

    Gram matrices with VGG-19 are left out: they take several times as much as the others, which a
    small machine does not have.
    """
    figures = {f"peak_mib_{side}": peak_mib("patches", side)}
    for method in ("fast", "adain", "adain_public"):
        figures[f"{method}_peak_mib_{side}"] = peak_mib(method, side)
    return figures


def people(quick: bool, samples: int | None = None) -> dict[str, float]:
    """Style and identity of paintings of real people; the full run writes a table and a plot."""
    root = os.environ.get("VISAGE_PHOTOS")
    if not root:
        say("VISAGE_PHOTOS names no folder of photographs: the table on people is left out.")
        return {}
    count = samples or (QUICK_PHOTOGRAPHS if quick else PHOTOGRAPHS)
    each = 1 if quick or samples else EACH
    rows = compare_methods(Path(root), count, QUICK_SIZE if quick else SIZE, say, each)
    if not quick:
        write_table(rows, RESULTS / "classics_table.md")
        curve = cv2.cvtColor(draw_curves(rows), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(RESULTS / "classics_curve.png"), curve)
    return {"people": float(count)} | figures_of(rows)


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    clock, cores = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - cores


def clips(quick: bool) -> dict[str, float]:
    """Warping errors of a clip painted by each method, divided by the clip's own error."""
    size, frames = (96, 3) if quick else (192, 4)
    clip = moving_clip(_astronaut(QUICK_SIZE if quick else SIZE), size, frames)
    painting = _sample("night")
    figures = flicker(clip, painting, NeuralStyle())
    style = next(iter(built_in_styles().values()), None)
    if style is not None:
        network = load_fast_style(style)
        figures |= _named("fast", clip, lambda is_clip: paint_fast(clip, network, is_clip=is_clip))
    pair = built_in_pair()
    if pair is not None:
        styles = [StylePicture(painting)]
        figures |= _named(
            "adain", clip, lambda is_clip: paint_adain(clip, styles, pair, is_clip=is_clip)
        )
    return figures


def _named(name: str, clip: Tensor, paint: Callable[[bool], Tensor]) -> dict[str, float]:
    ratios = flicker_ratios(clip, paint(True), paint(False))
    return {f"{name}_{figure}": value for figure, value in ratios.items()}


def _sample(name: str) -> Tensor:
    picture = np.array(read_picture(SAMPLES / f"visage_painting_{name}.jpg").convert("RGB"))
    return torch.from_numpy(shrink(picture, 640)).float() / 255


def _astronaut(side: int) -> Tensor:
    return (
        torch.from_numpy(shrink(np.array(read_picture(SAMPLES / "visage_astronaut.png")), side))[
            ..., :3
        ]
        / 255.0
    )

"""The face editor compared with inpainting, Blended Latent Diffusion, and itself without parts.

The tables of Kang et al., "High-Fidelity Face Swap via Prompt-Driven Inpainting and Pixel-Level
Background Preservation", on any dataset that the trainer reads. Each picture is edited with the
caption of another one. All rows use the same pictures, prompts and noise.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..diffusion.interface import Engine
from ..diffusion.latent import to_latent_size
from ..diffusion.sampling import sample
from ..models.face_parser import FaceParser
from ..models.picture_files import read_picture
from ..techniques.blended_latent_diffusion import blend_latents
from ..techniques.pixel_blend import blend
from ..techniques.soft_inpaint import inpaint_condition
from ..techniques.soft_mask import soften
from ..techniques.text_adapter import FaceAwareTextAdapter, adapt_text
from ..training.face_edit.dataset import BadExample, Example, load_example
from .realism import frechet_distance

RESAMPLES = 2000


@dataclass(frozen=True)
class Method:
    """A row of the table, by the parts of the edit that it has. weights: "base", "tuned" or "plain
    loss"; latent_blend: Blended Latent Diffusion."""

    name: str
    weights: str = "tuned"
    adapter: bool = True
    soft_mask: bool = True
    blend: bool = True
    latent_blend: bool = False


PLAIN = Method("plain inpainting", "base", adapter=False, soft_mask=False, blend=False)
METHODS = (
    PLAIN,
    Method("Blended Latent Diffusion", "base", False, False, False, latent_blend=True),
    Method("ours without mask-weighted loss", "plain loss"),
    Method("ours without adapter", adapter=False),
    Method("ours without blend", blend=False),
    Method("ours without soft mask", soft_mask=False),
    Method("ours"),
)


@dataclass(frozen=True)
class Pair:
    """A picture [S, S, 3], its binary mask [S, S], and the prompt for its face."""

    name: str
    image: Tensor
    mask: Tensor
    prompt: str


@dataclass(frozen=True)
class EditSettings:
    """Settings of the sampling, and the soft mask's sigma and growth in pixels."""

    steps: int = 20
    guidance: float = 5.0
    sigma: float = 8.0
    grow: int = 4
    adapter_strength: float = 0.3


@dataclass(frozen=True)
class Weights:
    """An engine with one set of K/V weights, and their adapter."""

    engine: Engine
    adapter: FaceAwareTextAdapter | None = None


@dataclass
class Row:
    """A method's values for each pair, by `COLUMNS`; missing says why there are none."""

    name: str
    values: dict[str, list[float]] = field(default_factory=dict)
    missing: str = ""

    def add(self, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.values.setdefault(name, []).append(value)


Metric = Callable[[Tensor, Pair], float]
"""metric(edited picture [S, S, 3], its pair) -> one figure."""

Features = Callable[[Tensor, Pair], np.ndarray]
"""features(picture [S, S, 3], its pair) -> feature vector [d] of the face."""

COLUMNS = {
    "outside_max_abs": "largest error outside the soft mask",
    "psnr_background": "PSNR over 1 - M, dB",
    "lpips_background": "LPIPS (VGG) over 1 - M",
    "pickscore": "PickScore",
    "frechet": "Frechet distance of face embeddings",
    "identity": "identity similarity",
    "seconds": "seconds",
    "memory": "peak GPU memory, MiB",
}


def choose_pairs(
    examples: Sequence[Example],
    count: int,
    size: int,
    parts: Sequence[str] = ("face",),
    parser: FaceParser | None = None,
) -> tuple[list[Pair], list[str]]:
    """Choose the first `count` usable examples, each with the first caption of the next one.

    Also returns a line about each example that cannot be used."""
    loaded, problems = [], []
    for example in examples:
        if len(loaded) == count:
            break
        try:
            loaded.append((example, *load_example(example, size, parts, parser)))
        except BadExample as error:
            problems.append(str(error))
    prompts = [example.captions[0] for example, *_ in loaded]
    pairs = [
        Pair(example.name, image, mask, prompts[(index + 1) % len(loaded)])
        for index, (example, image, mask) in enumerate(loaded)
    ]
    return pairs, problems


@torch.inference_mode()
def edit_pair(
    pair: Pair, method: Method, weights: Weights, settings: EditSettings, seed: int
) -> Tensor:
    """Edit the picture with a method; return it as [S, S, 3]."""
    engine, image, mask = weights.engine, pair.image[None], pair.mask[None]
    if method.latent_blend:
        options = (seed, settings.steps, settings.guidance)
        return blend_latents(image, mask, pair.prompt, engine, *options)[0]
    matte = soften(mask, settings.sigma, settings.grow) if method.soft_mask else mask
    text = engine.encode_text([pair.prompt, ""])
    positive = text[:1]
    if method.adapter and weights.adapter is not None:
        positive = adapt_text(positive, mask, weights.adapter, settings.adapter_strength)
    condition = inpaint_condition(image, matte, engine.encode, engine.latent_scale)
    latent = condition.latent * engine.latent_scale
    denoiser = engine.denoiser(positive, text[1:], settings.guidance, condition.concat)
    cells = to_latent_size(matte) if method.soft_mask else None
    sigmas = engine.sigmas("normal", settings.steps)
    result = sample(denoiser, latent, seed, sigmas, engine.sigma_max, cells)
    edited = engine.decode(result / engine.latent_scale)
    return blend(edited, image, matte)[0] if method.blend else edited[0]


def background_figures(edited: Tensor, pair: Pair, settings: EditSettings) -> dict[str, float]:
    """The largest error where the soft mask is 0, and the PSNR in dB over 1 - M, which is infinite
    if nothing changed."""
    matte = soften(pair.mask[None], settings.sigma, settings.grow)[0]
    difference = (edited - pair.image).abs()
    outside = difference[matte == 0]
    weight = (1 - pair.mask)[..., None]
    error = float((difference.square() * weight).sum() / (3 * weight.sum()).clamp(min=1))
    return {
        "outside_max_abs": float(outside.max()) if outside.numel() else 0.0,
        "psnr_background": float(-10 * np.log10(error)) if error else float("inf"),
    }


def run_table(
    pairs: Sequence[Pair],
    weights: Callable[[str], Weights | None],
    settings: EditSettings,
    metrics: dict[str, Metric],
    features: Features | None = None,
    seed: int = 42,
    methods: Sequence[Method] = METHODS,
    compare: dict[str, Path] | None = None,
    keep: Callable[[str, Pair, Tensor], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Row]:
    """Measure every method, and every folder of pictures made elsewhere; return a row for each.

    weights("base" | "tuned" | "plain loss") returns None for missing weights. keep is called with
    every edited picture. With features, a row also has the Frechet distance between edits and
    originals, and each edit's cosine with its original. compare maps names to folders, whose
    pictures must have the names of the dataset's.
    """
    rows, originals = [], []
    if features is not None:
        originals = [features(pair.image, pair) for pair in pairs]
    for method in methods:
        row = Row(method.name)
        rows.append(row)
        own = weights(method.weights)
        if own is None:
            row.missing = f"no weights for {method.weights}"
            continue
        say(method.name)
        vectors = []
        for index, pair in enumerate(pairs):
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            begun = time.perf_counter()
            edited = edit_pair(pair, method, own, settings, seed + index)
            row.add({"seconds": time.perf_counter() - begun})
            if torch.cuda.is_available():
                row.add({"memory": torch.cuda.max_memory_allocated() / 2**20})
            _judge(row, edited, pair, settings, metrics)
            if features is not None:
                vectors.append(features(edited, pair))
            if keep:
                keep(method.name, pair, edited)
        _compare_faces(row, originals, vectors)
    for name, folder in (compare or {}).items():
        row = Row(name)
        rows.append(row)
        found = [(pair, path) for pair in pairs if (path := _picture_of(pair, folder))]
        if len(found) < len(pairs):
            row.missing = f"{len(pairs) - len(found)} of {len(pairs)} pictures are not in {folder}"
            continue
        vectors = []
        for pair, path in found:
            edited = _read(path, len(pair.image))
            _judge(row, edited, pair, settings, metrics)
            if features is not None:
                vectors.append(features(edited, pair))
        _compare_faces(row, originals, vectors)
    return rows


def interval(values: Sequence[float], seed: int = 42) -> tuple[float, float, float]:
    """The mean and its 95 % bootstrap interval; infinite values are left out."""
    finite = np.array([value for value in values if np.isfinite(value)])
    if not len(finite):
        return (float("inf"),) * 3
    random = np.random.default_rng(seed)
    picks = random.integers(len(finite), size=(RESAMPLES, len(finite)))
    low, high = np.quantile(finite[picks].mean(axis=1), (0.025, 0.975))
    return float(finite.mean()), float(low), float(high)


def to_markdown(rows: Sequence[Row], absent: dict[str, str]) -> str:
    """The table in Markdown; `absent` gives the reason for each missing column."""
    names = [name for name in COLUMNS if name not in absent]
    lines = [
        "| method | " + " | ".join(COLUMNS[name] for name in names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for row in rows:
        cells = [_cell(row.values.get(name)) for name in names]
        if row.missing:
            cells = [row.missing] + [""] * (len(names) - 1)
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    notes = [f"Not computed: {COLUMNS[name]} ({why})." for name, why in absent.items()]
    return "\n".join(lines + [""] + notes) + "\n"


def write_report(folder: Path, rows: Sequence[Row], absent: dict[str, str], about: dict) -> str:
    """Write table.md and table.json; return the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    text = to_markdown(rows, absent)
    (folder / "table.md").write_text(text, encoding="utf-8")
    content = {"about": about, "absent": absent, "rows": [asdict(row) for row in rows]}
    (folder / "table.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    return text


def _cell(values: list[float] | None) -> str:
    if not values:
        return "-"
    mean, low, high = interval(values)
    if np.isinf(mean):
        return "exact"
    if len(values) == 1:
        return f"{mean:.4g}"
    return f"{mean:.4g} [{low:.4g}, {high:.4g}]"


def _judge(
    row: Row, edited: Tensor, pair: Pair, settings: EditSettings, metrics: dict[str, Metric]
) -> None:
    row.add(background_figures(edited, pair, settings))
    row.add({name: metric(edited, pair) for name, metric in metrics.items()})


def _compare_faces(row: Row, originals: list[np.ndarray], edited: list[np.ndarray]) -> None:
    for first, second in zip(originals, edited, strict=True) if edited else ():
        cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
        row.add({"identity": float(cosine)})
    if len(edited) > 1:
        row.add({"frechet": frechet_distance(np.stack(originals), np.stack(edited))})


def _picture_of(pair: Pair, folder: Path) -> Path | None:
    return next((path for path in sorted(folder.glob(f"{pair.name}.*")) if path.is_file()), None)


def _read(path: Path, size: int) -> Tensor:
    picture = read_picture(path).resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(picture)).float() / 255

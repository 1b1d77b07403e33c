"""Photographs of people painted by every method, with and without keeping the person.

The methods are Neural Style by patches, which has a strength of its own; Fast Style in the built-in
styles; and AdaIN with the built-in pair, if there is one. The latter two mix pictures by strength.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..engines.image_encoder import ImageEncoder
from ..models.adain import AdaINPair, load_pair
from ..models.face_parser import load_face_parser
from ..models.fast_style import built_in_styles, load_fast_style
from ..models.picture_files import read_picture
from ..models.picture_folder import PICTURES
from ..models.starter_files import FILES, STARTER, starter_file
from ..techniques.adain_style import AdaINStyle, paint_adain
from ..techniques.fast_style import paint_fast
from ..techniques.neural_style import NeuralStyle, StylePicture
from .classics import Row, Way, at_equal_style, compare, dialled, interval, patches_way
from .photo_faces import REAL, FaceJudge, shrink, spread

PAINTINGS = 12
KEEP = 1.0
"""keep_strength of the ways that keep the person; Neural Style has its default and 1."""
FROM = {
    "delaunay_portrait": "robert_delaunay_portrait_1906__zh.jpg",
    "great_wave": "hokusai_the_great_wave_off_kanagawa__hok.jpg",
    "starry_night": "vincent_van_gogh_the_starry_night_1889__gall.jpg",
    "the_scream": "edvard_munch_the_scream_1893__amg.jpg",
}
"""The paintings of the built-in fast styles, in the folder `styles`."""


def built_in_pair() -> AdaINPair | None:
    """The pack's own AdaIN pair, or None if it has none."""
    return load_pair(starter_file("adain")) if "adain" in FILES else None


def compare_methods(
    root: Path, count: int, size: int, say: Callable[[str], None], each: int = 1
) -> dict[str, dict[str, Row]]:
    """Rows by method and way over `count` photographs of `size` px, each in `each` styles."""
    photographs = [
        shrink(np.array(read_picture(file).convert("RGB")), size)
        for file in spread([file for part in REAL for file in _files(root / part)], count)
    ]
    paintings = [_read(file) for file in spread(_files(root / "styles"), PAINTINGS)]
    methods = {"patches": (paintings, _patches(paintings))}
    fast = {name: root / "styles" / file for name, file in FROM.items()}
    networks = {path.stem: path for path in built_in_styles().values()}
    known = [name for name in networks if name in fast and fast[name].is_file()]
    if known:
        methods["fast"] = (
            [_read(fast[name]) for name in known],
            _fast([networks[name] for name in known]),
        )
    pair = built_in_pair()
    if pair is not None:
        methods["adain"] = (paintings, _adain(paintings, pair))
    judge, encoder = FaceJudge(), ImageEncoder.load(STARTER / "image_encoder")
    parser = load_face_parser(starter_file("face_parser"))
    rows = {}
    for name, (styles, ways) in methods.items():
        rows[name] = compare(
            photographs, styles, ways, judge, encoder, parser,
            lambda text, name=name: say(f"{name}: {text}"), each,
        )  # fmt: skip
    return rows


def figures_of(rows: dict[str, dict[str, Row]]) -> dict[str, float]:
    """Means and 95 % intervals of every way, and what keeping the person gains.

    identity_gain: the gain at full strength; style_change: the change of the rest's style;
    identity_gain_at_equal_style: the gain over painting without keeping the person, at the strength
    at which the rest has the same style.
    """
    figures: dict[str, float] = {}
    for method, ways in rows.items():
        figures[f"{method}_pictures"] = float(len(ways["free"].style))
        for way, row in ways.items():
            for kind, values in (("style_gain", row.style), ("identity_kept", row.identity)):
                figures |= _with_interval(f"{method}_{kind}_{way}", values)
            figures[f"{method}_distance_{way}"] = float(np.mean(row.distance))
        free, kept = ways["free"], ways["kept"]
        dial = [row for way, row in ways.items() if not way.startswith("kept")]
        figures |= _with_interval(
            f"{method}_identity_gain", np.subtract(kept.identity, free.identity)
        )
        figures |= _with_interval(f"{method}_style_change", np.subtract(kept.style, free.style))
        figures |= _with_interval(
            f"{method}_identity_gain_at_equal_style",
            np.subtract(kept.identity, at_equal_style(dial, kept.style)),
        )
    return figures


def _with_interval(name: str, values: Sequence[float]) -> dict[str, float]:
    mean, low, high = interval(values)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def _patches(paintings: Sequence[Tensor]) -> dict[str, Way]:
    free = NeuralStyle(keep_strength=0.0)
    settings = {
        "free": free,
        "dial_0.75": replace(free, strength=0.75),
        "dial_0.5": replace(free, strength=0.5),
        "kept": NeuralStyle(),
        "kept_all": NeuralStyle(keep_strength=1.0),
    }
    return {name: patches_way(paintings, setting) for name, setting in settings.items()}


def _dialled(free: Way, kept: Way, half: Way) -> dict[str, Way]:
    dial = {f"dial_{strength}": dialled(free, strength) for strength in (0.75, 0.5, 0.25)}
    return {"free": free, **dial, "kept": kept, "kept_half": half}


def _fast(files: Sequence[Path]) -> dict[str, Way]:
    networks = [load_fast_style(file) for file in files]

    def way(keep_strength: float) -> Way:
        def paint(picture: Tensor, painting: int, keep: Tensor) -> Tensor:
            network = networks[painting]
            mask = keep[None] if keep_strength else None
            return paint_fast(picture[None], network, keep=mask, keep_strength=keep_strength)[0]

        return paint

    return _dialled(way(0.0), way(KEEP), way(KEEP / 2))


def _adain(paintings: Sequence[Tensor], pair: AdaINPair) -> dict[str, Way]:
    def way(keep_strength: float) -> Way:
        def paint(picture: Tensor, painting: int, keep: Tensor) -> Tensor:
            mask = keep[None] if keep_strength else None
            settings = AdaINStyle(keep_strength=keep_strength)
            styles = [StylePicture(paintings[painting])]
            return paint_adain(picture[None], styles, pair, settings, mask)[0]

        return paint

    return _dialled(way(0.0), way(KEEP), way(KEEP / 2))


def _files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in PICTURES)
    if not files:
        raise FileNotFoundError(f"There are no pictures in {folder}, which VISAGE_PHOTOS names.")
    return files


def _read(file: Path) -> Tensor:
    return torch.from_numpy(shrink(np.array(read_picture(file).convert("RGB")), 640)).float() / 255

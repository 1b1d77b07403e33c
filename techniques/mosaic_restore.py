"""Restyled faces pasted from a mosaic back into their picture, where they keep the person better.

Each face's matte is an ellipse blurred by a Gaussian. Overlapping mattes share a pixel by weight,
and the rim of a face gets half of the background's light and colour. A face from its tile is used
only if it is more like the person than the background alone, which is measured for each face.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..models.face_analyzer import FaceAnalyzer, FoundFace
from .lanczos import reached, resize
from .mosaic import FaceTile, Mosaic, Progress, ellipse, flatten
from .pixel_blend import match_tone
from .shapes import as_image, as_mask, fit_mask, match_batch, trim_padding
from .soft_mask import soften

BLUR = 0.06
"""Sigma of a matte's edge, as a fraction of the crop."""
RAMP = 0.03
"""Width of the border in which a crop fades out, likewise, so that no square edge is visible."""
PASTED = "from its tile"
WORSE = "its tile is less like the person"


@dataclass(frozen=True)
class FaceReport:
    """The outcome of one face. Lengths are in pixels of the picture; cosines are with the original.

    gain: how much larger its tile showed it, None without a tile. before: the cosine with the
    background alone; after: in the result; tile: with the face from its tile; each is None if not
    measured. outcome: "from its tile", or why not.
    """

    picture: int
    box: tuple[float, float, float, float]
    gain: float | None
    before: float | None
    tile: float | None
    after: float | None
    outcome: str


@dataclass(frozen=True)
class Restored:
    """image [B, H, W, C]; matte [B, H, W]: how much of each pixel comes from a face's tile."""

    image: Tensor
    matte: Tensor
    faces: tuple[FaceReport, ...]

    def text(self) -> str:
        """One line for each face, for people."""
        if not self.faces:
            return "no face found: the result is the background alone"
        return "\n".join(map(_line, self.faces))

    def json(self) -> str:
        """The reports as one JSON object."""
        return json.dumps({"faces": [asdict(face) for face in self.faces]})


@dataclass(frozen=True)
class _Patch:
    """A tile at its place in the picture: its face, rows and columns, matte and pixels there."""

    tile: FaceTile
    rows: slice
    columns: slice
    matte: Tensor
    pixels: Tensor


def paste_back(
    mosaic: Mosaic,
    stylised: Tensor,
    analyzer: FaceAnalyzer | None = None,
    background: Tensor | None = None,
    style_mask: Tensor | None = None,
    seam_match: float = 0.5,
    keep_best: bool = True,
    progress: Progress | None = None,
) -> Restored:
    """Put restyled canvases [N, h, w, 3] together to pictures of the original size.

    background [B, H, W, C], where given, takes the place of the canvas' own picture tile: the
    faces go into a picture that was restyled by other means. style_mask [B, H, W] says where the
    result may differ from the original; where it is 0 the original stays bit for bit. Pixels of the
    picture's tile that were not restyled also keep the original. With an `analyzer` that can tell
    people apart, each face's likeness is measured, and with `keep_best` a face from a tile that
    lowers it is left out. `seam_match` is the fraction of the background's light and colour that a
    face takes on.

    Raises ValueError for canvases or pictures that do not belong to the mosaic.
    """
    stylised, background = _require_same(mosaic, stylised, background)
    original = mosaic.original
    count, height, width = original.shape[:3]
    if style_mask is not None:
        style_mask = fit_mask(as_mask(style_mask, "style_mask"), height, width, "style_mask")
        style_mask, _ = match_batch(style_mask.to(original), original, "style_mask", "original")
    result, matte, reports = original.clone(), original.new_zeros(count, height, width), []
    done = 0
    for k in range(count):
        plain = _background(mosaic, stylised, k) if background is None else background[k]
        patches = []
        for tile in (tile for tile in mosaic.tiles if tile.picture == k):
            patches.append(_patch(mosaic, stylised[tile.canvas], tile, plain, seam_match))
            done += 1
            if progress is not None:
                progress(done, len(mosaic.tiles), patches[-1].pixels)
        mask = None if style_mask is None else style_mask[k]
        image, matte[k], faces = _restore(mosaic, k, plain, patches, mask, analyzer, keep_best)
        # Where nothing changed, the original's own values stay, and so does its alpha.
        changed = (image != flatten(original[k : k + 1])[0]).any(-1, keepdim=True)
        result[k, ..., :3] = torch.where(changed, image, original[k, ..., :3])
        reports += faces
    return Restored(result, matte, tuple(reports))


def _restore(
    mosaic: Mosaic,
    number: int,
    background: Tensor,
    patches: Sequence[_Patch],
    mask: Tensor | None,
    analyzer: FaceAnalyzer | None,
    keep_best: bool,
) -> tuple[Tensor, Tensor, list[FaceReport]]:
    """Picture `number` restored [H, W, 3], its matte [H, W], and what became of its faces."""
    original = flatten(mosaic.original[number : number + 1])[0]
    tiles = [patch.tile for patch in patches]
    others = [other for other in mosaic.others if other.picture == number]
    alike = _Likeness(analyzer, original, [part.face for part in (*tiles, *others)])

    def within(picture: Tensor) -> Tensor:
        # The restyled picture where the mask is 1, the original, bit for bit, where it is 0.
        return picture if mask is None else torch.lerp(original, picture, mask[..., None])

    before, with_tile = alike(within(background)), alike(within(_merge(background, patches)[0]))
    better = [
        not keep_best or was is None or now >= was
        for was, now in zip(before, with_tile, strict=True)
    ]
    pasted, matte = _merge(background, [patches[i] for i in range(len(tiles)) if better[i]])
    image = within(pasted)
    after, reports = alike(image), []
    for i, part in enumerate((*tiles, *others)):
        tiled = isinstance(part, FaceTile)
        outcome = f"no tile: {part.why}" if not tiled else WORSE if not better[i] else PASTED
        reports.append(
            FaceReport(
                picture=number,
                box=part.face.box,
                gain=part.gain if tiled else None,
                before=before[i],
                tile=with_tile[i] if tiled else None,
                after=after[i],
                outcome=outcome,
            )
        )
    return image, matte, reports


class _Likeness:
    """Cosines of a restyled picture's faces with the original's, aligned by the original's
    landmarks: detectors fail on paintings. None for a face that cannot be measured.
    """

    def __init__(
        self, analyzer: FaceAnalyzer | None, original: Tensor, faces: Sequence[FoundFace]
    ) -> None:
        self._analyzer = analyzer if analyzer and analyzer.embedding_size is not None else None
        self._count = len(faces)
        self._measured = [i for i, face in enumerate(faces) if face.landmarks is not None]
        self._landmarks = [faces[i].landmarks for i in self._measured]
        if self._analyzer and self._measured:
            self._wanted = self._analyzer.embed(original, self._landmarks)

    def __call__(self, picture: Tensor) -> list[float | None]:
        cosines: list[float | None] = [None] * self._count
        if self._analyzer and self._measured:
            found = self._analyzer.embed(picture, self._landmarks)
            measured = (found * self._wanted).sum(1).tolist()
            for i, cosine in zip(self._measured, measured, strict=True):
                cosines[i] = cosine
        return cosines


def _require_same(
    mosaic: Mosaic, stylised: Tensor, background: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    stylised = flatten(as_image(stylised, "stylised")).to(mosaic.canvas)
    if stylised.shape != mosaic.canvas.shape:
        batch, height, width = mosaic.canvas.shape[:3]
        raise ValueError(
            f"stylised is {len(stylised)} of {stylised.shape[2]} x {stylised.shape[1]} px but the "
            f"mosaic is {batch} of {width} x {height} px. Restyle the mosaic as it came from "
            "Mosaic Compose, without resizing or cropping."
        )
    if background is None:
        return stylised, None
    background = flatten(as_image(background, "background")).to(mosaic.canvas)
    height, width = mosaic.original.shape[1:3]
    background = trim_padding(background, height, width, "background")
    return stylised, match_batch(background, mosaic.original, "background", "original")[0]


def _background(mosaic: Mosaic, stylised: Tensor, picture: int) -> Tensor:
    """The restyled picture tile at the picture's own size [H, W, 3]."""
    width, height = mosaic.layout.picture
    canvas = mosaic.first_canvas[picture]
    tile, shown = (batch[canvas, :height, :width] for batch in (stylised, mosaic.canvas))
    original = flatten(mosaic.original[picture : picture + 1])[0]
    size = original.shape[:2]
    # Where the host changed nothing, scaling there and back would only blur.
    touched = reached((tile != shown).any(-1), *size)
    return torch.where(touched[..., None], resize(tile[None], *size)[0], original)


def _patch(
    mosaic: Mosaic, canvas: Tensor, tile: FaceTile, background: Tensor, seam_match: float
) -> _Patch:
    side, (x, y), (left, top, crop) = mosaic.layout.side, tile.corner, tile.square
    pixels = resize(canvas[None, y : y + side, x : x + side], crop, crop)[0]
    fit_x, fit_y, *extent = tile.face.box
    matte = face_matte((fit_x - left, fit_y - top, *extent), crop).to(pixels)
    height, width = background.shape[:2]
    rows, columns = (
        slice(max(start, 0), min(start + crop, length))
        for start, length in ((top, height), (left, width))
    )
    inner = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    matte, pixels = matte[inner], pixels[inner]
    matched = match_tone(pixels, background[rows, columns], matte)
    return _Patch(tile, rows, columns, matte, torch.lerp(pixels, matched, seam_match))


def face_matte(box: tuple[float, float, float, float], side: int) -> Tensor:
    """How much of each pixel of a square crop [side, side] its face takes: 1 at most, and 0 on the
    border.
    """
    blurred = soften(ellipse(box, side, side, 1.0)[None], sigma=BLUR * side)[0]
    line = torch.arange(side)
    inwards = torch.minimum(line, side - 1 - line) / max(RAMP * side, 1.0)
    ramp = torch.minimum(inwards[:, None], inwards[None]).clamp(0, 1)
    matte = blurred * ramp
    return matte / matte.max().clamp(min=1e-6)


def _merge(background: Tensor, patches: Sequence[_Patch]) -> tuple[Tensor, Tensor]:
    """The background [H, W, 3] with the patches in it, and how much of each pixel is theirs.

    out = B + sum a_i (Y_i - B) / max(1, sum a_i).
    """
    total = background.new_zeros(background.shape[:2])
    moved = torch.zeros_like(background)
    for patch in patches:
        total[patch.rows, patch.columns] += patch.matte
        there = background[patch.rows, patch.columns]
        moved[patch.rows, patch.columns] += patch.matte[..., None] * (patch.pixels - there)
    merged = (background + moved / total.clamp(min=1)[..., None]).clamp(0, 1)
    return torch.where(total[..., None] > 0, merged, background), total.clamp(max=1)


def _line(face: FaceReport) -> str:
    x, y, width, height = face.box
    place = f"picture {face.picture + 1}: face of {width:.0f} x {height:.0f} px at {x:.0f}, {y:.0f}"
    larger = "" if face.gain is None else f", {face.gain:.1f} times larger in its tile"
    if face.before is None:
        return f"{place}{larger}: {face.outcome}; likeness not measured"
    with_tile = "" if face.tile is None else f", {face.tile:.2f} with its tile"
    return (
        f"{place}{larger}: {face.outcome}; likeness {face.before:.2f} from the background"
        f"{with_tile}, {face.after:.2f} in the result"
    )

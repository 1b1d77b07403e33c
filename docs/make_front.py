"""Makes the four pictures of the README, icon and banner: python docs/make_front.py [DEMO]

DEMO is the folder that `visage demo` wrote. What it painted is shown; the curve is measured here,
in a few minutes of one CPU core. Nothing needs a checkpoint.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from visage.cli.demo_paintings import SAMPLES, STYLES
from visage.evaluation.photo_faces import FaceJudge
from visage.models.face_classes import PRESETS
from visage.models.face_parser import FaceParser, load_face_parser
from visage.models.picture_files import read_picture
from visage.models.starter_files import starter_file
from visage.techniques.face_mask import face_mask
from visage.techniques.neural_style import NeuralStyle, StylePicture, neural_style
from visage.techniques.patch_painting import PatchPainter
from visage.techniques.pixel_blend import BlendProof, prove
from visage.techniques.prompt_mask import mask_of_parts
from visage.techniques.recolour import recolour
from visage.techniques.soft_mask import soften
from visage.techniques.style_score import colour_distance, colour_statistics
from visage.workflows.builder.stamp import stamp

IMAGES = Path(__file__).parent / "images"
GAP, BAR, QUALITY = 8, 34, 90
PAPER, INK, GOOD = "#fbfaf7", "#222", "#1d7a43"
FONT = ImageFont.load_default(17)
WORDS, COLOUR = "hair", "#7a3a22"
STRENGTHS = (0.25, 0.5, 0.75, 1.0)  # of the paintings along the curve, where nothing is kept
CLOSE = (slice(0, 320), slice(64, 384))  # head and shoulders, on which the curve is measured
SIDE = 240  # pixels of the paintings along the curve
NOSE = 224  # the column of the photograph that parts the face
SCRIPT = "docs/make_front.py"


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", nargs="?", type=Path, default=Path("output/demo"))
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder to write")
    parser.add_argument("--without-curve", action="store_true", help="leave the curve as it is")
    given = parser.parse_args()
    original = read(given.demo / "astronaut" / "input.png")
    painted, background = (
        read(given.demo / "paintings" / f"{name}.png") for name in ("painted", "background")
    )
    face_parser = load_face_parser(starter_file("face_parser"))
    save(
        given.out / "painting.jpg",
        row([("the photograph", original), ("painted, face and hair kept", painted)]),
    )
    save(given.out / "background.jpg", changed_sheet(original, background))
    save(given.out / "words.jpg", words_sheet(original, face_parser))
    icon(original, painted).save(given.out / "icon.png", optimize=True)
    stamp(given.out / "icon.png", SCRIPT)
    save(given.out / "banner.jpg", banner(original, painted))
    if not given.without_curve:
        head = as_image(original[CLOSE]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        small = torch.from_numpy(np.array(head)).float() / 255
        save(given.out / "curve.jpg", curve_sheet(small, face_parser))


def read(path: Path) -> Tensor:
    """A picture [H, W, 3] in 0..1."""
    return torch.from_numpy(np.array(read_picture(path).convert("RGB"))).float() / 255


def as_image(picture: Tensor) -> Image.Image:
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().numpy())


def row(pictures: list[tuple[str, Tensor]], line: str = "") -> Image.Image:
    """Pictures of one height side by side over their names, and maybe a line below all."""
    images = [as_image(picture) for _, picture in pictures]
    high = images[0].height
    wide = sum(image.width for image in images) + GAP * (len(images) + 1)
    page = Image.new("RGB", (wide, high + 2 * GAP + BAR + (BAR if line else 0)), PAPER)
    draw, left = ImageDraw.Draw(page), GAP
    for (name, _), image in zip(pictures, images, strict=True):
        page.paste(image, (left, GAP))
        place = (left + image.width // 2, high + GAP + BAR // 2)
        draw.text(place, name, INK, FONT, anchor="mm")
        left += image.width + GAP
    if line:
        middle = high + GAP + BAR + BAR // 2
        draw.rectangle((GAP, middle - 13, GAP + 4, middle + 13), fill=GOOD)
        draw.text((GAP + 16, middle), line, GOOD, FONT, anchor="lm")
    return page


def changed_sheet(original: Tensor, result: Tensor) -> Image.Image:
    """A result beside its original, with the pixels that are other ones now in white."""
    changed = (original != result).any(dim=-1)
    line = (
        f"{int((~changed).sum()):,} of {changed.numel():,} pixels are those of the photograph, "
        "bit for bit: the person."
    )
    shown = changed[..., None].float().expand(-1, -1, 3)
    names = ("the photograph", "a painted background", "what changed, in white")
    return row(list(zip(names, (original, result, shown), strict=True)), line)


def words_sheet(original: Tensor, parser: FaceParser) -> Image.Image:
    """What the words name takes another colour, all else stays."""
    found = mask_of_parts(original[None], [WORDS], parser)
    # Soft and a little too large: the colour itself ends at the photograph's edges.
    mask = soften(found.mask, 3.0, 2)
    result = recolour(original[None], mask, COLOUR)
    proof: BlendProof = prove(result, original[None], mask)
    if proof.outside_max_abs_diff:
        raise ValueError("What the words do not name has changed.")
    shown = mask[0][..., None].expand(-1, -1, 3)
    line = f"Outside the mask all of the {proof.outside_pixels:,} pixels are untouched."
    return row(
        [("the photograph", original), (f"“{WORDS}”", shown), ("recoloured there", result[0])],
        line,
    )


def curve_sheet(original: Tensor, parser: FaceParser) -> Image.Image:
    """Paintings of growing strength, and one that keeps the face, over their style and identity.

    Style is how much of the way the colours went to the painting's, identity what dlib says. (The
    starter's image encoder does not tell one such picture's strokes from a photograph's.)
    """
    painting = read(SAMPLES / STYLES["painted"])
    keep = face_mask(original[None], parser, PRESETS["face and hair"], soft=True).mask[0]
    judge, colours = FaceJudge(), colour_statistics(painting[None])
    before = colour_distance(colour_statistics(original[None]), colours)
    eight = np.asarray(as_image(original))
    box = judge.faces(eight)[0]
    face = judge.embedding(eight, box)
    results, points = [], []
    for settings, mask in [
        *((NeuralStyle(strength=strength), None) for strength in STRENGTHS),
        (NeuralStyle(), keep),
    ]:
        styles = [StylePicture(painting)]
        result = neural_style(original, styles, PatchPainter(), settings, mask).picture
        left = colour_distance(colour_statistics(result[None]), colours)
        distance = np.linalg.norm(judge.embedding(np.asarray(as_image(result)), box) - face)
        results.append(as_image(result))
        points.append((1 - left / before, 1 - float(distance)))
    return drawn_curve(results, points)


def drawn_curve(pictures: list[Image.Image], points: list[tuple[float, float]]) -> Image.Image:
    """The pictures in a row, each numbered, and the points of the same numbers below; the last one
    stands by itself.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    page = Image.new("RGB", (len(pictures) * (SIDE + GAP) + GAP, SIDE + 2 * GAP + 330), PAPER)
    draw = ImageDraw.Draw(page)
    for number, picture in enumerate(pictures):
        left = GAP + number * (SIDE + GAP)
        page.paste(picture, (left, GAP))
        draw.ellipse((left + 8, GAP + 8, left + 36, GAP + 36), fill="#000")
        draw.text((left + 22, GAP + 22), str(number + 1), "white", FONT, anchor="mm")
    figure, axis = pyplot.subplots(figsize=(page.width / 100, 3.2), dpi=100, facecolor=PAPER)
    axis.set_facecolor(PAPER)
    axis.plot(*zip(*points[:-1], strict=True), color="0.5", marker="o", markersize=9)
    axis.plot(*points[-1], color="#c8553d", marker="o", markersize=11)
    for number, point in enumerate(points, 1):
        text = f"{number}: face and hair kept" if number == len(points) else str(number)
        axis.annotate(text, point, xytext=(0, 11), textcoords="offset points", ha="right")
    axis.axhline(0.4, color="0.6", linestyle="--", linewidth=1)
    left = min(point[0] for point in points)
    axis.text(left, 0.41, "dlib: above this line the same person", color="0.4")
    axis.set(
        xlabel="style: part of the way to the painting's colours",
        ylabel="identity (1 is the same face)",
    )
    axis.margins(x=0.08, y=0.2)
    figure.tight_layout()
    content = io.BytesIO()
    figure.savefig(content, format="png")
    page.paste(Image.open(content).convert("RGB"), (0, SIDE + 2 * GAP))
    return page


def icon(original: Tensor, painted: Tensor) -> Image.Image:
    """A square of 400 px: the face, half of it painted."""
    head = slice(20, 220), slice(124, 324)
    both = painted[head].clone()
    both[:, : both.shape[1] // 2] = original[head][:, : both.shape[1] // 2]
    face = as_image(both).resize((400, 400), Image.Resampling.LANCZOS)
    ImageDraw.Draw(face).rectangle((198, 0, 201, 400), fill="white")
    mask = Image.new("L", (1600, 1600), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 1599, 1599), 320, fill=255)
    face.putalpha(mask.resize((400, 400), Image.Resampling.LANCZOS))
    return face.quantize(192, method=Image.Quantize.FASTOCTREE)


def banner(original: Tensor, painted: Tensor) -> Image.Image:
    """21:9, as the registry shows it."""
    wide, high = 1260, 540
    both = painted.clone()
    both[:, :NOSE] = original[:, :NOSE]
    picture = as_image(both).resize((high, high), Image.Resampling.LANCZOS)
    page = Image.new("RGB", (wide, high), "#17181c")
    page.paste(picture, (wide - high, 0))
    draw = ImageDraw.Draw(page)
    split = wide - high + NOSE * high // painted.shape[0]
    draw.rectangle((split - 1, 0, split + 1, high), fill="white")
    draw.text((64, 190), "Visage", "white", ImageFont.load_default(104), anchor="lm")
    for number, line in enumerate(("Change the style of a picture", "and keep the person in it.")):
        draw.text((68, 290 + 46 * number), line, "#c9cbd2", ImageFont.load_default(34), anchor="lm")
    return page


def save(path: Path, picture: Image.Image) -> None:
    """Write a JPEG that says what made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=QUALITY, optimize=True)
    stamp(path, SCRIPT)


if __name__ == "__main__":
    main()

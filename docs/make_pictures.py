"""Makes the pictures of the README from the product itself: python docs/make_pictures.py

Portraits from words, prompts against edited faces, held-out parsing, the renderer's styles, the
style adapter's curve as its benchmark measured it and, from the folder of a training run, every
stage's learning curve.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from visage.engines.diffusers import DiffusersEngine
from visage.evaluation.editing import load_edit
from visage.evaluation.held_out import as_batch, as_pictures, held_out
from visage.models.face_classes import CLASSES, COLOURS
from visage.models.face_parser import FaceParser, load_face_parser
from visage.models.starter_files import starter_file
from visage.techniques.portraits import paint_portrait
from visage.workflows.builder.stamp import stamp
from visage.world.portrait import Portrait
from visage.world.styles import STYLES

IMAGES = Path(__file__).parent / "images"
STYLE_ADAPTER = Path(__file__).parents[1] / "benchmarks" / "results" / "style_adapter.json"
GAP, LINE = 6, 24
SCRIPT = "docs/make_pictures.py"
# Words of the prompt after "a photo of a woman", and the parts that are painted anew for them.
PROMPTS = {
    "with glasses": "face",
    "with a smile": "face",
    "with red lipstick": "face",
    "with dark skin": "face",
    "with red hair": "face and hair",
    "with grey hair": "face and hair",
}
# At the workflows' 5 the starter overdoes what a prompt names, dark skin most of all.
GUIDANCE = 2.0
# Words of the prompt after "a photo of", by the title of their column.
WORDS = {
    "brown hair, smiling": "a woman with brown hair, smiling",
    "bald, beard": "a bald man with a beard",
    "old woman, grey hair": "an old woman with grey hair",
    "young man, black hair": "a young man with black hair",
    "dark brown skin, smiling": "a woman with dark brown skin and black hair, smiling",
}
SEEDS = (0, 1, 2, 3)
PEOPLE = (3, 10, 17)
PARSED = (1, 5, 8, 12)
STYLED = (12, 1)


def sheet(rows: list[list[np.ndarray]], titles: list[str], side: int) -> Image.Image:
    """Pictures in rows under their columns' titles, each `side` pixels wide."""
    step = side + GAP
    size = (len(titles) * step + GAP, LINE + len(rows) * step + GAP)
    page = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for column, title in enumerate(titles):
        centre = GAP + column * step + side // 2
        draw.text((centre, LINE // 2 + 2), title, fill="black", font=font, anchor="mm")
        for row, pictures in enumerate(rows):
            picture = Image.fromarray(pictures[column]).resize(
                (side, side), Image.Resampling.LANCZOS
            )
            page.paste(picture, (GAP + column * step, LINE + row * step))
    return page


def portraits_sheet() -> Image.Image:
    """Portraits from words alone, a row for each seed."""
    engine = DiffusersEngine.load()
    rows = [
        [
            as_pictures(paint_portrait(f"a photo of {words}", engine, seed))[0]
            for words in WORDS.values()
        ]
        for seed in SEEDS
    ]
    return sheet(rows, list(WORDS), 240)


def prompts_sheet(parser: FaceParser) -> Image.Image:
    """Held-out people, edited as each prompt says."""
    edit = load_edit(parser)

    def edited(person: Portrait, words: str, part: str) -> np.ndarray:
        prompt = f"a photo of a {person.traits['sex']} {words}"
        return as_pictures(edit(person, prompt, (part,), guidance=GUIDANCE).blended)[0]

    rows = []
    for person in held_out(PEOPLE, style="photo"):
        edits = [edited(person, words, part) for words, part in PROMPTS.items()]
        rows.append([person.image, *edits])
    return sheet(rows, ["held-out person", *PROMPTS], 144)


def parsing_sheet(parser: FaceParser) -> Image.Image:
    """Held-out pictures, their true maps and the maps that the parser finds."""
    colours = np.array([COLOURS[name] for name in CLASSES], np.uint8)
    rows: list[list[np.ndarray]] = [[], [], []]
    for picture in held_out(PARSED, parser.input_size):
        found = parser.probabilities(as_batch([picture.image]))[0].argmax(0).numpy()
        for row, image in zip(
            rows, (picture.image, colours[picture.labels], colours[found]), strict=True
        ):
            row.append(image)
    columns = [list(column) for column in zip(*rows, strict=True)]
    return sheet(columns, ["held-out picture", "true map", "map found"], 200)


def styles_sheet() -> Image.Image:
    """Two people in every style."""
    rows = [[held_out([number], 256, style)[0].image for style in STYLES] for number in STYLED]
    return sheet(rows, list(STYLES), 160)


def save_learning_curves(run: Path, path: Path) -> None:
    """Plot the figure that each stage's log in `run` gives last, smoothed over 2 % of its steps.

    Raises FileNotFoundError where `run` holds no logs.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    logs = sorted(run.glob("*.jsonl"))
    if not logs:
        raise FileNotFoundError(f"There are no *.jsonl logs in {run}: name the folder of a run.")
    columns = min(3, len(logs))
    figure, axes = pyplot.subplots(
        -(-len(logs) // columns),
        columns,
        squeeze=False,
        figsize=(4 * columns, 8 * len(logs) // 9 + 2),
    )
    for axis in axes.flat[len(logs) :]:
        axis.axis("off")
    for axis, log in zip(axes.flat, logs, strict=False):
        steps = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        measure = [name for name in steps[-1] if name not in ("step", "seconds")][-1]
        values = np.array([step[measure] for step in steps])
        width = max(1, len(values) // 50)
        smooth = np.convolve(values, np.full(width, 1 / width), mode="valid")
        at = [step["step"] for step in steps]
        axis.plot(at, values, color="0.85", linewidth=0.6)
        axis.plot(at[width - 1 :], smooth, color="C0")
        axis.set(title=log.stem.replace("_", " "), xlabel="step", ylabel=measure.replace("_", " "))
        if smooth[-1] < smooth[0]:
            axis.set_yscale("log")  # a loss: its later, smaller steps count as much
        axis.set_ylim(smooth.min() * 0.95, smooth.max() * 1.05)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def save_style_curve(results: Path, path: Path) -> None:
    """Plot style and identity at every weight, with 95 % intervals, and the best style to be had.

    Raises FileNotFoundError where there are no results.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figures = json.loads(results.read_text(encoding="utf-8"))["figures"]
    weights = [name.removeprefix("leak_") for name in figures if re.fullmatch(r"leak_[\d.]+", name)]
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2))
    for axis, column in zip(axes, ("style", "identity"), strict=True):
        values = [figures[f"{column}_{weight}"] for weight in weights]
        spread = [1.96 * figures[f"{column}_{weight}_error"] for weight in weights]
        at = [float(weight) for weight in weights]
        axis.errorbar(at, values, spread, color="C0", marker="o", capsize=3)
        axis.set(xlabel="weight", ylabel=column, xlim=(0, 1.05))
    best = figures["style_best"]
    axes[0].axhline(best, color="0.6", linestyle="--")
    axes[0].text(0.03, 0.99 * best, "the renderer's own painting", color="0.4", va="top")
    for axis in axes:
        axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=IMAGES, help="folder to write")
    options.add_argument("--run", type=Path, help="folder of a training run, for its curves")
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.run:
        save_learning_curves(given.run, given.out / "learning_curves.png")
        stamp(given.out / "learning_curves.png", SCRIPT)
    save_style_curve(STYLE_ADAPTER, given.out / "style_curve.png")
    stamp(given.out / "style_curve.png", SCRIPT)
    parser = load_face_parser(starter_file("face_parser"))
    with torch.inference_mode():
        for name, page in (
            ("portraits", portraits_sheet()),
            ("styles", styles_sheet()),
            ("parsing", parsing_sheet(parser)),
            ("prompts", prompts_sheet(parser)),
        ):
            page.save(given.out / f"{name}.jpg", quality=88)
            stamp(given.out / f"{name}.jpg", SCRIPT)


if __name__ == "__main__":
    main()

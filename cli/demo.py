"""`visage demo`: edit faces by prompt in three pictures, and prove the background unchanged."""

from __future__ import annotations

import argparse
import io
import json
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..engines.comfyui.location import comfyui_version, find_comfyui
from ..headless.workflow import node_titled
from . import demo_paintings
from .demo_page import write_page

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from ..engines.diffusers import DiffusersEngine
    from ..headless.client import ComfyServer
    from ..techniques.face_edit import FaceEditSettings

WORKFLOWS = Path(__file__).resolve().parent.parent / "workflows" / "api"
SHEET_SIDE = 320
# Portraits are shown this many times larger than they are painted.
ENLARGED = 2


@dataclass(frozen=True)
class Edit:
    """A workflow with some inputs changed, {title of the node: {input: value}}, for a photograph,
    or for a portrait that the starter paints from `words` with `seed`.
    """

    workflow: str
    changes: dict[str, dict[str, object]] = field(default_factory=dict)
    words: str = ""
    seed: int = 0

    def changed_workflow(self) -> dict:
        """The workflow in API form."""
        path = WORKFLOWS / f"{self.workflow}.json"
        prompt = json.loads(path.read_text(encoding="utf-8"))
        for title, inputs in self.changes.items():
            node_titled(prompt, title)[1]["inputs"] |= inputs
        return prompt


WOMAN = "a photo of a woman with brown hair, smiling"
# The portraits' seeds were chosen by eye among some forty, those of the edits among four.
EDITS = {
    "astronaut": Edit("face_edit"),
    "first_portrait": Edit("recolour_hair", {"Sampler": {"seed": 0}}, words=WOMAN, seed=17),
    "second_portrait": Edit(
        "face_edit",
        {
            "Prompt": {"text": "a portrait of a woman with red lipstick"},
            "Sampler": {"seed": 3, "cfg": 3.0},
            "Pixel blend": {"mode": "linear"},
        },
        words=WOMAN,
        seed=3,
    ),
}


@dataclass(frozen=True)
class Edited:
    """Pictures [H, W, 3] uint8 by name, and the figures that Pixel Blend measured."""

    pictures: dict[str, np.ndarray]
    proof: dict


Editor = Callable[[Path, dict], Edited]
"""Runs the workflow (API form) on the picture in a file."""


def add_demo_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage demo` to the command line."""
    parser = subparsers.add_parser("demo", help="edit faces in three pictures")
    parser.add_argument(
        "--engine",
        choices=("auto", "comfyui", "diffusers"),
        default="auto",
        help="auto uses ComfyUI if it is found",
    )
    parser.add_argument("--output", type=Path, default=Path("output/demo"), help="folder to write")
    parser.add_argument("--open", action="store_true", help="open the page of results at the end")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    start = time.monotonic()
    options.output.mkdir(parents=True, exist_ok=True)
    comfyui = None if options.engine == "diffusers" else find_comfyui()
    if options.engine == "comfyui" and comfyui is None:
        raise FileNotFoundError(
            "There is no ComfyUI in COMFYUI_PATH, two folders up or ~/comfy/ComfyUI: "
            "`make comfyui` gets it."
        )
    if comfyui:
        print(f"Engine: ComfyUI {comfyui_version(comfyui)}, a server of its own from {comfyui}")
    else:
        print("Engine: diffusers; `make comfyui` gets ComfyUI, to run the workflow there")
    with _comfyui_editor(comfyui) if comfyui else nullcontext(_diffusers_editor()) as edit:
        pictures = [_edit_picture(name, options.output / name, edit) for name in EDITS]
    print("astronaut: painted without a model")
    astronaut = _original("astronaut")
    folder = options.output / "paintings"
    paintings = [demo_paintings.paint(name, astronaut, folder) for name in demo_paintings.STYLES]
    _add_likeness(pictures, paintings)
    seconds = round(time.monotonic() - start, 1)
    report = {
        "engine": "comfyui" if comfyui else "diffusers",
        "comfyui_version": comfyui_version(comfyui) if comfyui else None,
        "seconds": seconds,
        "pictures": pictures,
        "paintings": paintings,
    }
    (options.output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    page = options.output / "report.html"
    write_page(report, page)
    print(f"Done in {seconds} s: open {page} in a browser")
    if options.open:
        webbrowser.open(page.resolve().as_uri())


def _edit_picture(name: str, folder: Path, edit: Editor) -> dict:
    """Edit one picture and write its files; return its entry in the report."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    original = _original(name)
    picture = folder / "input.png"
    Image.fromarray(original).save(picture)
    prompt = EDITS[name].changed_workflow()
    text = node_titled(prompt, "Prompt")[1]["inputs"]["text"]
    print(f'{name}: "{text}"')
    edited = edit(picture, prompt)
    files = {"input": picture}
    for part, image in edited.pictures.items():
        files[part] = folder / f"{part}.png"
        Image.fromarray(image).save(files[part])
    files["sheet"] = folder / "sheet.png"
    _contact_sheet({"input": original, **edited.pictures}, text).save(files["sheet"])
    difference, fraction = edited.proof["outside_max_abs_diff"], edited.proof["changed_share"]
    print(
        f"{name}: {fraction:.1%} of the pixels changed, largest difference elsewhere {difference:g}"
    )
    return {
        "name": name,
        "prompt": text,
        "words": EDITS[name].words,
        "blend": node_titled(prompt, "Pixel blend")[1]["inputs"]["mode"],
        "outside_max_abs_diff": difference,
        "mask_share": edited.proof["mask_share"],
        "changed_share": fraction,
        "files": {part: str(file) for part, file in files.items()},
    }


def _add_likeness(pictures: list[dict], paintings: list[dict]) -> None:
    """Add to each entry the cosine of its faces before and after (None without) and a verdict."""
    import torch

    from ..models.face_analyzer import starter_analyzer
    from ..models.picture_files import read_picture
    from ..techniques.identity_score import identity_scores

    def read(file: str) -> torch.Tensor:
        import numpy as np

        return torch.from_numpy(np.array(read_picture(file).convert("RGB"))).float()[None] / 255

    pairs = [(entry["files"]["input"], entry["files"]["blended"]) for entry in pictures]
    astronaut = next(e["files"]["input"] for e in pictures if e["name"] == "astronaut")
    pairs += [(astronaut, entry["file"]) for entry in paintings]
    analyzer = starter_analyzer()
    for entry, (before, after) in zip([*pictures, *paintings], pairs, strict=True):
        (score,) = identity_scores(read(before), read(after), analyzer)
        largest = max(score.faces, key=lambda face: face.box[2] * face.box[3], default=None)
        entry["identity"] = largest and round(largest.cosine, 4)
        entry["verdict"] = largest and largest.verdict


def _original(name: str) -> np.ndarray:
    """The original picture of a name, [H, W, 3] uint8."""
    if not EDITS[name].words:
        import skimage.data

        return skimage.data.astronaut()
    import numpy as np
    from PIL import Image

    from ..techniques.portraits import paint_portrait

    words, seed = EDITS[name].words, EDITS[name].seed
    print(f'{name}: painted from "{words}"')
    progress = partial(_show_progress, "Portrait")
    (painted,) = paint_portrait(words, _painter(), seed, progress=progress)
    picture = Image.fromarray((painted * 255).round().byte().numpy())
    size = (ENLARGED * picture.width, ENLARGED * picture.height)
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS))


@cache
def _painter() -> DiffusersEngine:
    """The starter without its face edit."""
    from ..engines.diffusers import DiffusersEngine

    return DiffusersEngine.load()


@contextmanager
def _comfyui_editor(comfyui: Path) -> Iterator[Editor]:
    from ..headless.server import comfy_server

    print("Starting ComfyUI ...")
    with comfy_server(comfyui) as server:
        yield partial(_edit_with_comfyui, server)


def _edit_with_comfyui(server: ComfyServer, picture: Path, prompt: dict) -> Edited:
    import numpy as np
    from PIL import Image

    node_titled(prompt, "Picture")[1]["inputs"]["image"] = server.upload(picture)
    outputs = server.run(prompt, _show_progress)

    def image(title: str) -> np.ndarray:
        saved = outputs[node_titled(prompt, title)[0]]["images"][0]
        return np.asarray(Image.open(io.BytesIO(server.download(saved))).convert("RGB"))

    return Edited(
        {
            "overlay": image("Mask overlay"),
            "raw": image("Raw result"),
            "blended": image("Result"),
        },
        json.loads(outputs[node_titled(prompt, "Report")[0]]["text"][0]),
    )


def _diffusers_editor() -> Editor:
    import numpy as np
    import torch

    from ..engines.diffusers import DiffusersEngine
    from ..models.face_edit import read_face_edit
    from ..models.face_parser import load_face_parser
    from ..models.picture_files import read_picture
    from ..models.starter_files import starter_file
    from ..techniques.face_edit import edit_faces
    from ..techniques.text_adapter import FaceAwareTextAdapter

    weights = read_face_edit(starter_file("face_edit"))
    engine = DiffusersEngine.load(face_edit=weights)
    parser = load_face_parser(starter_file("face_parser"))
    adapter = FaceAwareTextAdapter.from_weights(weights.adapter)

    def edit(picture: Path, prompt: dict) -> Edited:
        text = node_titled(prompt, "Prompt")[1]["inputs"]["text"]
        image = torch.from_numpy(np.array(read_picture(picture))).float().unsqueeze(0) / 255
        progress = partial(_show_progress, "Sampler")
        settings = _settings_of(prompt)
        result = edit_faces(image, text, engine, parser, settings, adapter, progress)
        pictures = {"overlay": result.overlay, "raw": result.edited, "blended": result.blended}
        return Edited(
            {name: (image[0] * 255).round().byte().numpy() for name, image in pictures.items()},
            json.loads(result.proof.json()),
        )

    return edit


def _settings_of(prompt: dict) -> FaceEditSettings:
    """What a shipped workflow sets; the technique's defaults are what these workflows share."""
    from ..techniques.face_edit import FaceEditSettings

    mask, soft, crops, blend, sampler = (
        node_titled(prompt, title)[1]["inputs"]
        for title in ("Face mask", "Soft mask", "Crop faces", "Pixel blend", "Sampler")
    )
    return FaceEditSettings(
        seed=sampler["seed"],
        guidance=sampler["cfg"],
        parts=tuple(mask["parts"].split(", ")),
        sigma=soft["sigma"],
        grow=soft["grow"],
        context=crops["context"],
        blend_mode=blend["mode"],
    )


def _show_progress(title: str, step: int, steps: int) -> None:
    if not steps:
        return  # a node begins
    print(f"\r  {title} {step}/{steps}", end="\n" if step == steps else "", flush=True)


def _contact_sheet(pictures: dict[str, np.ndarray], prompt: str) -> Image.Image:
    """Draw the pictures side by side at one height, each with its name, below the prompt."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(18)
    columns = [Image.fromarray(image) for image in pictures.values()]
    columns = [
        image.resize(
            (round(image.width * SHEET_SIDE / image.height), SHEET_SIDE), Image.Resampling.LANCZOS
        )
        for image in columns
    ]
    gap, line = 12, 30
    width = sum(image.width + gap for image in columns) + gap
    sheet = Image.new("RGB", (width, SHEET_SIDE + 2 * line + 2 * gap), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((gap, gap), prompt, fill="black", font=font)
    left = gap
    for name, image in zip(pictures, columns, strict=True):
        sheet.paste(image, (left, gap + line))
        draw.text((left, gap + line + SHEET_SIDE + 4), name, fill="gray", font=font)
        left += image.width + gap
    return sheet

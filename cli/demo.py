"""`visage demo`: edit a face by prompt in two pictures, and prove the background untouched."""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..engines.comfyui_location import comfyui_version, find_comfyui
from ..headless.workflow import node_titled
from ..models.face_edit import read_face_edit
from ..models.face_parser import load_face_parser
from ..models.starter_files import starter_file
from ..techniques.face_edit import edit_faces
from ..techniques.text_adapter import FaceAwareTextAdapter

if TYPE_CHECKING:
    from ..headless.client import ComfyServer

WORKFLOW = Path(__file__).resolve().parent.parent / "workflows" / "api" / "face_edit.json"
PORTRAIT = 3
PROMPTS = {
    "portrait": "a portrait of a woman with glasses, smiling",
    "astronaut": "a portrait of a woman with glasses, smiling",
}
SHEET_SIDE = 320


@dataclass(frozen=True)
class Edited:
    """Pictures [H, W, 3] uint8 by name, and the figures that Pixel Blend measured."""

    pictures: dict[str, np.ndarray]
    proof: dict


Editor = Callable[[Path, dict], Edited]
"""Runs the workflow (API form) on the picture in a file."""


def add_demo_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage demo` to the command line."""
    parser = subparsers.add_parser("demo", help="edit a face in two pictures, end to end")
    parser.add_argument(
        "--engine",
        choices=("auto", "comfyui", "diffusers"),
        default="auto",
        help="auto takes ComfyUI where it is found",
    )
    parser.add_argument("--output", type=Path, default=Path("output/demo"), help="folder to write")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    start = time.monotonic()
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
        pictures = [_edit_picture(name, options.output / name, edit) for name in PROMPTS]
    seconds = round(time.monotonic() - start, 1)
    report = {
        "engine": "comfyui" if comfyui else "diffusers",
        "comfyui_version": comfyui_version(comfyui) if comfyui else None,
        "seconds": seconds,
        "pictures": pictures,
    }
    (options.output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"Done in {seconds} s: see {options.output}")


def _edit_picture(name: str, folder: Path, edit: Editor) -> dict:
    """Edit one picture and write its files; returns its entry of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    original = _original(name)
    picture = folder / "input.png"
    Image.fromarray(original).save(picture)
    prompt = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    node_titled(prompt, "Prompt")[1]["inputs"]["text"] = PROMPTS[name]
    print(f'{name}: "{PROMPTS[name]}"')
    edited = edit(picture, prompt)
    files = {"input": picture}
    for part, image in edited.pictures.items():
        files[part] = folder / f"{part}.png"
        Image.fromarray(image).save(files[part])
    files["sheet"] = folder / "sheet.png"
    _contact_sheet({"input": original, **edited.pictures}, PROMPTS[name]).save(files["sheet"])
    difference, share = edited.proof["outside_max_abs_diff"], edited.proof["mask_share"]
    print(f"{name}: {share:.1%} of the picture edited, largest difference elsewhere {difference:g}")
    return {
        "name": name,
        "outside_max_abs_diff": difference,
        "mask_share": share,
        "files": {part: str(file) for part, file in files.items()},
    }


def _original(name: str) -> np.ndarray:
    """The picture [512, 512, 3] uint8 of that name."""
    if name == "astronaut":
        import skimage.data

        return skimage.data.astronaut()
    from ..training.world import portrait

    return portrait(PORTRAIT, size=512, split="test", style="photo").image


@contextmanager
def _comfyui_editor(comfyui: Path) -> Iterator[Editor]:
    from ..headless.server import comfy_server

    print("Starting ComfyUI ...")
    with comfy_server(comfyui) as server:
        yield partial(_edit_with_comfyui, server)


def _edit_with_comfyui(server: ComfyServer, picture: Path, prompt: dict) -> Edited:
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
    from ..engines.diffusers import DiffusersEngine

    weights = read_face_edit(starter_file("face_edit"))
    engine = DiffusersEngine.load(face_edit=weights)
    parser = load_face_parser(starter_file("face_parser"))
    adapter = FaceAwareTextAdapter.from_weights(weights.adapter)

    def edit(picture: Path, prompt: dict) -> Edited:
        text = node_titled(prompt, "Prompt")[1]["inputs"]["text"]
        image = torch.from_numpy(np.array(Image.open(picture))).float().unsqueeze(0) / 255
        progress = partial(_show_progress, "Sampler")
        # The settings of the technique are those of the shipped workflow.
        result = edit_faces(image, text, engine, parser, adapter=adapter, progress=progress)
        pictures = {"overlay": result.overlay, "raw": result.edited, "blended": result.blended}
        return Edited(
            {name: (image[0] * 255).round().byte().numpy() for name, image in pictures.items()},
            json.loads(result.proof.json()),
        )

    return edit


def _show_progress(title: str, step: int, steps: int) -> None:
    if not steps:
        return  # a node begins
    print(f"\r  {title} {step}/{steps}", end="\n" if step == steps else "", flush=True)


def _contact_sheet(pictures: dict[str, np.ndarray], prompt: str) -> Image.Image:
    """The pictures side by side at one height, each with its name, under the prompt."""
    font = ImageFont.load_default(18)
    columns = [Image.fromarray(image) for image in pictures.values()]
    columns = [
        image.resize((round(image.width * SHEET_SIDE / image.height), SHEET_SIDE), Image.LANCZOS)
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

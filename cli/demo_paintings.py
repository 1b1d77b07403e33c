"""The paintings of `visage demo`: a photograph like a painting, and a painted world behind it.

They do what the workflows paint_picture and paint_background do, with the same settings.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PACK = Path(__file__).resolve().parent.parent
SAMPLES = PACK / "web" / "samples"
STYLES = {"painted": "visage_painting_night.jpg", "background": "visage_painting_orchard.jpg"}
SIGMA, GROW = 1.5, -2


def paint(name: str, original: np.ndarray, folder: Path) -> dict:
    """Paint a picture [H, W, 3] uint8 in one of STYLES and save it; return its part of the report.

    "painted" paints everything and keeps the likeness of face and hair; "background" paints
    everything except the person, who stays bit for bit.
    """
    import numpy as np
    import torch
    from PIL import Image

    from ..models.face_classes import PRESETS
    from ..models.face_parser import load_face_parser
    from ..models.picture_files import read_picture
    from ..models.starter_files import starter_file
    from ..techniques.face_mask import face_mask
    from ..techniques.neural_style import NeuralStyle, StylePicture, neural_style
    from ..techniques.patch_painting import PatchPainter
    from ..techniques.person_mask import person_mask
    from ..techniques.pixel_blend import blend, prove
    from ..techniques.soft_mask import soften

    start = time.monotonic()
    picture = torch.from_numpy(original).float() / 255
    painting = np.array(read_picture(SAMPLES / STYLES[name]).convert("RGB"))
    style = StylePicture(torch.from_numpy(painting).float() / 255)
    parser = load_face_parser(starter_file("face_parser"))
    keep = None
    if name == "painted":
        parts = PRESETS["face and hair"]
        keep = face_mask(picture[None], parser, parts, soft=True).mask[0]
    total = 0

    def show(done: int, steps: int, _picture: torch.Tensor, _loss: float) -> bool:
        nonlocal total
        total = steps
        print(f"\r  {name} {done}/{steps}", end="\n" if done == steps else "", flush=True)
        return False

    result = neural_style(picture, [style], PatchPainter(), NeuralStyle(), keep, show).picture
    entry: dict = {"name": name, "steps": total}
    if name == "background":
        around = soften(1 - person_mask(picture[None], parser).mask, SIGMA, GROW)
        blended = blend(result[None], picture[None], around)
        entry["outside_max_abs_diff"] = prove(blended, picture[None], around).outside_max_abs_diff
        result = blended[0]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.png"
    Image.fromarray((result.clamp(0, 1) * 255).round().byte().numpy()).save(file)
    return entry | {"seconds": round(time.monotonic() - start, 1), "file": str(file)}

"""Portraits written to disk in the folder layout of CelebAMask-HQ."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..models.user_input import require_choice
from .labels import ATTRIBUTES
from .parallel import draw_in_parallel
from .portrait import SPLITS, Portrait, check_size, portrait
from .styles import STYLES

IMAGES = "CelebA-HQ-img"
MASKS = "CelebAMask-HQ-mask-anno"
ATTRIBUTE_FILE = "CelebAMask-HQ-attribute-anno.txt"
CAPTION_FILE = "captions.jsonl"
SETTINGS_FILE = "visage-data.json"
DONE_FILE = "captions.jsonl.part"
MASKS_PER_FOLDER = 2000
# CelebAMask-HQ's names of its parts, in the order of labels from 1.
PARTS = (
    "skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip l_lip neck neck_l "
    "cloth hair hat"
).split()


def export_portraits(
    folder: Path, count: int, size: int, split: str, style: str | None, workers: int
) -> Iterator[int]:
    """Write portraits 0 .. count - 1 below `folder`; yields the number finished so far.

    Masks are 0 and 255 at the picture's size, one file for each visible part. An unfinished export
    is continued. Raises ValueError for a folder that holds anything else or was written with other
    settings, and for an unknown split or style.
    """
    if count < 1:
        raise ValueError(f"the number of portraits must be at least 1, not {count}")
    check_size(size)
    require_choice("split", split, SPLITS)
    if style is not None:
        require_choice("style", style, STYLES)
    _claim(folder, {"size": size, "split": split, "style": style or "mixed"})
    records = _finished(folder)
    missing = [index for index in range(count) if index not in records]
    finished = count - len(missing)
    yield finished
    if not missing and (folder / CAPTION_FILE).exists():
        (folder / DONE_FILE).unlink()
        return
    with (folder / DONE_FILE).open("a", encoding="utf-8") as done:
        jobs = [(folder, index, size, split, style) for index in missing]
        for record in draw_in_parallel(_export_one, jobs, workers, chunksize=8):
            done.write(json.dumps(record) + "\n")
            done.flush()
            records[record["index"]] = record
            finished += 1
            yield finished
    _write_tables(folder, [records[index] for index in sorted(records)])


def _claim(folder: Path, settings: dict) -> None:
    """Mark the folder as this export's; raises ValueError if it holds something else."""
    marker = folder / SETTINGS_FILE
    if marker.exists():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found != settings:
            raise ValueError(
                f"{folder} holds portraits of other settings ({found}, asked for {settings}); "
                "choose another folder"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(
            f"{folder} is not empty and was not written by this command; choose another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _write(marker, json.dumps(settings).encode())


def _finished(folder: Path) -> dict[int, dict]:
    """Records of the finished portraits; a line cut off by a crash is dropped."""
    content = b"".join(
        (folder / name).read_bytes()
        for name in (CAPTION_FILE, DONE_FILE)
        if (folder / name).exists()
    )
    whole = [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
    _write(folder / DONE_FILE, b"".join(whole))
    records = [json.loads(line) for line in whole]
    return {record["index"]: record for record in records}


def _export_one(job: tuple) -> dict:
    folder, index, size, split, style = job
    drawn = portrait(index, size, split, style)
    _write_image(folder / IMAGES / f"{index}.png", drawn.image[..., ::-1])
    place = folder / MASKS / str(index // MASKS_PER_FOLDER)
    for label, part in enumerate(PARTS, start=1):
        mask = drawn.labels == label
        if mask.any():
            _write_image(place / f"{index:05d}_{part}.png", mask.astype(np.uint8) * 255)
    return _record(index, drawn)


def _record(index: int, drawn: Portrait) -> dict:
    return {
        "index": index,
        "image": f"{IMAGES}/{index}.png",
        "identity": drawn.identity_id,
        "style": drawn.style,
        "box": list(drawn.box),
        "landmarks": [[round(float(x), 2), round(float(y), 2)] for x, y in drawn.landmarks],
        "captions": drawn.captions,
        "traits": drawn.traits,
        "attributes": [name for name in ATTRIBUTES if drawn.attributes[name]],
    }


def _write_tables(folder: Path, records: list[dict]) -> None:
    """Write the attribute table (1 and -1, as in CelebA) and a line of JSON for each portrait."""
    lines = [str(len(records)), " ".join(ATTRIBUTES)]
    for record in records:
        flags = " ".join("1" if name in record["attributes"] else "-1" for name in ATTRIBUTES)
        lines.append(f"{Path(record['image']).name} {flags}")
    _write(folder / ATTRIBUTE_FILE, ("\n".join(lines) + "\n").encode())
    text = "".join(json.dumps(record) + "\n" for record in records)
    _write(folder / CAPTION_FILE, text.encode())
    (folder / DONE_FILE).unlink()


def _write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, cv2.imencode(".png", image)[1].tobytes())


def _write(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename, so that no half-written file is left."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_bytes(content)
    os.replace(temporary, path)

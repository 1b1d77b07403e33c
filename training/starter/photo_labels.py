"""Label maps of photographs: the parts of the face from landmarks, the rest from a teacher.

Landmarks give the exact place of the face and its parts, but not hair, neck and clothes. These come
from a parser that was trained before (self-training: Lee, "Pseudo-Label", 2013). Its labels are
used only where it is sure and agrees with the colours (GrabCut) and with the photograph's labels.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from ...models.face_classes import CLASSES, PRESETS, class_index
from ...models.face_parser import FaceParser
from ...techniques.face_squares import Square, cut_squares, square_around
from .augment import mirror_labels
from .photographs import SURE, Photograph

IGNORE = 255
NOT_FACE = 254
"""Label of a pixel that is not part of a face, of whatever other class."""
ANY_FACE = 253
"""Label of a pixel that is part of a face, of whatever class."""

OVAL = (
    "10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 152 148 176 149 150 "
    "136 172 58 132 93 234 127 162 21 54 103 67 109"
)
_INNER_LIP_UP = "308 415 310 311 312 13 82 81 80 191 78"
_INNER_LIP_DOWN = "308 324 318 402 317 14 87 178 88 95 78"
# In drawing order; left and right are the viewer's.
POLYGONS: tuple[tuple[str, str], ...] = (
    ("skin", OVAL),
    ("nose", "168 193 122 196 198 49 48 64 98 97 2 326 327 294 278 279 420 419 351 417"),
    ("left_brow", "70 63 105 66 107 55 65 52 53 46"),
    ("right_brow", "300 293 334 296 336 285 295 282 283 276"),
    ("left_eye", "33 7 163 144 145 153 154 155 133 173 157 158 159 160 161 246"),
    ("right_eye", "263 249 390 373 374 380 381 382 362 398 384 385 386 387 388 466"),
    ("upper_lip", f"61 185 40 39 37 0 267 269 270 409 291 {_INNER_LIP_UP}"),
    ("lower_lip", f"61 146 91 181 84 17 314 405 321 375 291 {_INNER_LIP_DOWN}"),
    ("mouth", "78 95 88 178 87 14 317 402 318 324 308 415 310 311 312 13 82 81 80 191"),
)
_BROW_LINE = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_FACE = tuple(class_index(name) for name in PRESETS["face"])
_TEACHER_SURE = 0.6
_SIDE = 256
# Pixels needed to fit the colours of hair and skin; log likelihood ratio that decides.
_FEW = 300
_CLEAR = 2.0
_CONTEXTS = (0.6, 1.4)
# Hair above this fraction of the oval's height, counted from the brows, is no forehead.
_HAIRLINE = 0.45


def polygon(landmarks: np.ndarray, indices: str) -> np.ndarray:
    """Return the points [K, 2] of one of `POLYGONS`."""
    return landmarks[[int(index) for index in indices.split()]]


def is_plausible(photograph: Photograph, face: int) -> bool:
    """Whether a face has a high score and landmarks that fit its box."""
    points, (x, y, w, h) = photograph.landmarks[face], photograph.boxes[face]
    if photograph.scores[face] < SURE or not np.isfinite(points).all():
        return False
    if (photograph.boxes[face, 2:] < 0.25 * photograph.boxes[:, 2:].max()).any():
        return False
    off = np.abs(points.mean(0) - (x + w / 2, y + h / 2)) / (w, h)
    return bool((off < 0.45).all())


def face_map(photograph: Photograph) -> np.ndarray:
    """Return the labels by landmarks, uint8 [H, W]: parts of faces, NOT_FACE and IGNORE."""
    height, width = photograph.image.shape[:2]
    labels = np.full((height, width), NOT_FACE, np.uint8)
    faces = range(len(photograph.boxes))
    plausible = [face for face in faces if is_plausible(photograph, face)]
    for face in set(faces) - set(plausible):
        x, y, w, h = photograph.boxes[face].round().astype(int)
        grown = slice(max(0, y - h // 3), y + h + h // 3), slice(max(0, x - w // 3), x + w + w // 3)
        labels[grown] = IGNORE
    for face in plausible:
        labels[_above_brows(photograph.landmarks[face], height, width)] = IGNORE
    for face in plausible:
        for name, indices in POLYGONS:
            corners = (polygon(photograph.landmarks[face], indices) * 16).round().astype(np.int32)
            cv2.fillPoly(labels, [corners], class_index(name), cv2.LINE_8, 4)
    glasses = photograph.labels.get("glasses", "none")
    for face in plausible if glasses != "none" else ():
        labels[_eye_region(photograph.landmarks[face], height, width)] = ANY_FACE
    return labels


def _above_brows(points: np.ndarray, height: int, width: int, highest: float = 0.6) -> np.ndarray:
    """Where [H, W] the forehead may be above the oval, which ends below most hairlines.

    `highest` is a fraction of the oval's height, counted from the brows.
    """
    up = points[10] - points[152]
    rows, columns = np.mgrid[:height, :width]
    line = points[list(_BROW_LINE)].mean(0)
    along = ((columns - line[0]) * up[0] + (rows - line[1]) * up[1]) / (up @ up)
    across = ((columns - line[0]) * up[1] - (rows - line[1]) * up[0]) / (up @ up)
    return (along > 0) & (along < highest) & (np.abs(across) < 0.6)


def _eye_region(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where [H, W] glasses may be."""
    eyes = np.concatenate([polygon(points, POLYGONS[k][1]) for k in (2, 3, 4, 5)])
    middle = eyes.mean(0)
    hull = cv2.convexHull((middle + (eyes - middle) * (1.15, 1.6)).astype(np.float32))
    region = np.zeros((height, width), np.uint8)
    cv2.fillPoly(region, [hull.round().astype(np.int32)], 1)
    return (region > 0) & (_filled_oval(points, height, width) > 0)


def _filled_oval(points: np.ndarray, height: int, width: int) -> np.ndarray:
    oval = np.zeros((height, width), np.uint8)
    cv2.fillPoly(oval, [polygon(points, OVAL).round().astype(np.int32)], 1)
    return oval


def teach(photograph: Photograph, teacher: FaceParser) -> np.ndarray:
    """Return the teacher's mean probabilities [19, 256, 256] of a photograph made square.

    It is shown the surest face closely and from afar, and the mirrored picture.
    """
    image = torch.from_numpy(photograph.image).float() / 255
    height, width = image.shape[:2]
    total = np.zeros((len(CLASSES), height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    boxes = [tuple(photograph.boxes[0].tolist())] if len(photograph.boxes) else []
    squares = [square_around(box, height, width, c) for box in boxes for c in _CONTEXTS]
    squares.append(Square((width - max(width, height)) // 2, (height - max(width, height)) // 2,
                          max(width, height)))  # fmt: skip
    cuts = cut_squares(image, squares, teacher.input_size)
    seen = teacher.parse_squares(torch.cat([cuts, cuts.flip(2)])).numpy()
    table = mirror_labels(np.arange(len(CLASSES), dtype=np.uint8)[None, ::-1])[0]
    for k, square in enumerate(squares):
        mean = (seen[k] + seen[len(squares) + k][table][:, :, ::-1]) / 2
        _add(total, weight, mean, square)
    mean = total / np.maximum(weight, 1e-6)
    return np.stack([cv2.resize(plane, (_SIDE, _SIDE)) for plane in mean])


def _add(total: np.ndarray, weight: np.ndarray, planes: np.ndarray, square: Square) -> None:
    height, width = weight.shape
    top, left = max(0, square.top), max(0, square.left)
    bottom, right = min(height, square.top + square.side), min(width, square.left + square.side)
    for index, plane in enumerate(planes):
        large = cv2.resize(plane, (square.side, square.side))
        part = large[top - square.top : bottom - square.top, left - square.left :]
        total[index, top:bottom, left:right] += part[:, : right - left]
    weight[top:bottom, left:right] += 1


def allowed(probabilities: np.ndarray, labels: dict[str, str]) -> np.ndarray:
    """Return the probabilities with those of ruled-out classes moved to the likeliest other one."""
    p = probabilities.copy()
    if labels.get("headwear", "") == "none":
        p[class_index("hair")] += p[class_index("hat")]
        p[class_index("hat")] = 0
    if labels.get("hair_colour", "") == "bald" or labels.get("hair_length", "") == "bald":
        p[class_index("skin")] += p[class_index("hair")]
        p[class_index("hair")] = 0
    if labels.get("glasses", "") == "none":
        p[class_index("glasses")] = 0
    return p / p.sum(0, keepdims=True).clip(1e-6)


def _grab(pixels: np.ndarray, probability: np.ndarray, never: np.ndarray, always: np.ndarray):
    """Return where [S, S] GrabCut finds what is likely by `probability` [S, S]."""
    trimap = np.where(probability > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[(probability > 0.9) | always] = cv2.GC_FGD
    trimap[(probability < 0.03) & ~always] = cv2.GC_BGD
    trimap[never] = cv2.GC_BGD
    if not (trimap & 1).any() or (trimap & 1).all():
        return probability > 0.5
    models = np.zeros((2, 1, 65))
    cv2.grabCut(pixels, trimap, None, models[0], models[1], 2, cv2.GC_INIT_WITH_MASK)
    return (trimap & 1) > 0


def pseudo_map(photograph: Photograph, probabilities: np.ndarray, sure: float = _TEACHER_SURE):
    """Return the label map uint8 [H, W] of a photograph: landmarks first, then the teacher.

    `probabilities` are those of `teach`.
    """
    height, width = photograph.image.shape[:2]
    known = face_map(photograph)
    p = allowed(probabilities, photograph.labels)
    small = cv2.resize(known, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)
    pixels = cv2.resize(photograph.image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    face = small <= ANY_FACE
    nothing = np.zeros_like(face)
    background, hair, hat = (class_index(name) for name in ("background", "hair", "hat"))
    person = _grab(pixels, np.where(face, 1, 1 - p[background]), nothing, face)
    told = p.argmax(0).astype(np.uint8)
    is_sure = p.max(0) > sure
    is_sure &= (told == background) == ~person
    for part in (hair, hat):
        if (told == part).mean() > 0.01:
            agreed = _grab(pixels, np.where(face, 0, p[part]), face | ~person, nothing)
            is_sure &= (told == part) == agreed
    # Skin outside the oval may be forehead, ear or neck: the teacher is not trusted there.
    is_sure &= ~np.isin(told, _FACE)
    told = cv2.resize(np.where(is_sure, told, IGNORE).astype(np.uint8), (width, height),
                      interpolation=cv2.INTER_NEAREST)  # fmt: skip
    probability = cv2.resize(p[class_index("glasses")], (width, height))
    result = np.where((known >= NOT_FACE) & (told != IGNORE), told, known)
    result[(known == ANY_FACE) & (probability > 0.6)] = class_index("glasses")
    covered = cv2.resize(p[hair] + p[hat], (width, height)) > 0.8
    above = _forehead(photograph)
    # A fringe or the brim of a hat may cover the oval.
    inside = (known == class_index("skin")) & above
    result[inside & covered] = IGNORE
    # Most foreheads go on above the oval, where the teacher takes them for hair at times.
    beyond = above & (known >= NOT_FACE) & np.isin(result, (hair, IGNORE))
    return with_fringe(photograph.image, result.astype(np.uint8), inside | beyond)


def with_fringe(image: np.ndarray, labels: np.ndarray, forehead: np.ndarray) -> np.ndarray:
    """Label the forehead [H, W] as hair or skin by its colour, IGNORE where that is unclear.

    The colours of hair and skin are those outside the forehead.
    """
    hair = (labels == class_index("hair")) & ~forehead
    skin = (labels == class_index("skin")) & ~forehead
    if min(hair.sum(), skin.sum()) < _FEW or not forehead.any():
        return labels
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1.5), cv2.COLOR_RGB2LAB).astype(np.float32)
    likelier = _log_density(lab, hair)[forehead] - _log_density(lab, skin)[forehead]
    result = labels.copy()
    result[forehead] = np.where(
        likelier > _CLEAR,
        class_index("hair"),
        np.where(likelier > -_CLEAR, IGNORE, class_index("skin")),
    )
    return result


def _log_density(lab: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The log density [H, W], up to a constant, of a Gaussian fitted to the colours [H, W, 3] at
    `where`.
    """
    colours = lab[where]
    mean = np.median(colours, axis=0)
    covariance = np.cov((colours - mean).T) + 9 * np.eye(3)
    away = lab - mean
    squared = np.einsum("hwi,ij,hwj->hw", away, np.linalg.inv(covariance), away)
    return -(squared + np.log(np.linalg.det(covariance))) / 2


def _forehead(photograph: Photograph) -> np.ndarray:
    height, width = photograph.image.shape[:2]
    where = np.zeros((height, width), bool)
    for face in range(len(photograph.boxes)):
        if is_plausible(photograph, face):
            where |= _above_brows(photograph.landmarks[face], height, width, _HAIRLINE)
    return where


def label_maps(
    photographs: list[Photograph], teacher: FaceParser, path: Path
) -> list[tuple[Photograph, np.ndarray]]:
    """Return each photograph with its `pseudo_map`; the maps are kept in the file `path`."""
    if path.exists():
        with np.load(path) as kept:
            return [(photograph, kept[photograph.file]) for photograph in photographs]
    maps = {p.file: pseudo_map(p, teach(p, teacher)) for p in tqdm(photographs, desc="label maps")}
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **maps)
    os.replace(temporary, path)
    return [(photograph, maps[photograph.file]) for photograph in photographs]

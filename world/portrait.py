"""A portrait: person, situation and style turned into a picture with exact ground truth."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from ..models.user_input import require_choice
from .accessories import paint_glasses, paint_hat
from .attributes import describe_attributes, describe_traits
from .background import paint_background
from .body import paint_body
from .canvas import Canvas
from .captions import write_captions
from .circumstance import Circumstance, sample_circumstance
from .ears import paint_ear, paint_earring
from .frame import Frame, build_frame
from .hair import grow, paint_back, paint_front, shaded_hair
from .head import paint_head
from .identity import Identity, sample_person
from .labels import face_box, halve
from .light import set_lights
from .styles import STYLES, stylise

SPLITS = {"train": 0, "validation": 1, "test": 2}
PEOPLE_PER_BLOCK = 128
PORTRAITS_PER_PERSON = 8
PEOPLE_PER_SPLIT = 100_000_000
PHOTO_FRACTION = 0.62


@dataclass
class Portrait:
    """image [S, S, 3] uint8 RGB; labels [S, S] uint8; box (x, y, w, h) px; landmarks [5, 2] px."""

    image: np.ndarray
    labels: np.ndarray
    attributes: dict[str, bool]
    captions: list[str]
    identity_id: int
    box: tuple[int, int, int, int]
    landmarks: np.ndarray
    style: str
    traits: dict = field(default_factory=dict)


def paint_person(canvas: Canvas, person: Identity, now: Circumstance) -> Frame:
    """Paint one person onto the canvas, back to front; return the frame for landmarks."""
    frame = build_frame(person, now, canvas.labels.shape[0])
    lights = set_lights(now)
    hair, colour = grow(person, now, frame), None
    if hair is not None:
        colour = shaded_hair(now, frame, hair, lights)
        paint_back(canvas, now, frame, hair, colour)
    paint_body(canvas, person, now, frame, lights)
    for side in (-1.0, 1.0):
        paint_ear(canvas, person, now, frame, lights, side)
    paint_head(canvas, person, now, frame, lights)
    for side in (-1.0, 1.0):
        paint_earring(canvas, person, now, frame, lights, side)
    if hair is not None:
        paint_front(canvas, now, frame, hair, colour, lights)
    paint_glasses(canvas, person, now, frame, lights)
    paint_hat(
        canvas, person, now, frame, lights, now.hair_volume * 0.12 if hair is not None else 0.0
    )
    return frame


def landmarks_of(person: Identity, now: Circumstance, frame: Frame) -> np.ndarray:
    """[5, 2] pixels of the canvas: left eye, right eye, nose tip, left and right mouth corner."""
    smile = max(now.smile, 0.0)
    tip = person.eye_height + person.nose_length + 0.105
    lift = 0.245 * person.nose_bridge + 0.075 * person.nose_tip
    width = person.mouth_width * (1 + 0.26 * smile - 0.10 * now.mouth_open * (now.smile < 0.3))
    corner = person.mouth_height - 0.02 * smile - 0.0455 * (now.smile + 0.14)
    points = [
        frame.project(-person.eye_spacing, person.eye_height),
        frame.project(person.eye_spacing, person.eye_height),
        frame.project(0.0, tip, lift),
        frame.project(-width, corner),
        frame.project(width, corner),
    ]
    return np.array(points, np.float32)


def finish(rgb: np.ndarray, blurry: bool, seed: int) -> np.ndarray:
    """Turn linear light [H, W, 3] into an 8-bit photograph: tone curve, soft lens, sensor noise."""
    rng = np.random.default_rng([0xF11, seed])
    rgb = rgb / (1.0 + 0.16 * np.maximum(rgb - 0.55, 0.0))
    image = np.sqrt(np.clip(rgb, 0.0, 1.0))
    contrast = float(rng.uniform(0.92, 1.12))
    image = (image - 0.45) * contrast + 0.45 + float(rng.normal(0, 0.015))
    size = image.shape[0]
    if blurry:
        image = cv2.GaussianBlur(image, (0, 0), 0.012 * size)
    noise = float(rng.choice([0.0, 0.003, 0.006, 0.011]))
    if noise:
        image = image + noise * rng.standard_normal((size, size, 1), np.float32)
    return np.clip(image * 255.0 + 0.5, 0, 255).astype(np.uint8)


def check_size(size: int) -> None:
    """Raise ValueError unless a portrait can be `size` pixels wide."""
    if not 16 <= size <= 2048:
        raise ValueError(f"a portrait is 16 to 2048 px wide, not {size}")


def render(
    identity: Identity,
    circumstance: Circumstance,
    size: int = 128,
    style: str = "photo",
    seed: int = 0,
) -> Portrait:
    """Draw one portrait of size x size pixels, 16 to 2048.

    identity and circumstance decide the content, `seed` sensor noise, brush and captions.
    Raises ValueError for an unknown style or another size.
    """
    require_choice("style", style, STYLES)
    check_size(size)
    factor = 2
    while size * factor < 128:
        factor *= 2
    canvas = Canvas(paint_background(circumstance, size * factor))
    frame = paint_person(canvas, identity, circumstance)
    labels = canvas.labels
    while len(labels) > size:
        labels = halve(labels)
    image = stylise(finish(canvas.shrunk(size), circumstance.blurry, seed), style, seed)
    attributes = describe_attributes(identity, circumstance, labels)
    traits = describe_traits(identity, circumstance, labels, style)
    return Portrait(
        image=image,
        labels=labels,
        attributes=attributes,
        captions=write_captions(traits, seed),
        identity_id=identity.seed,
        box=face_box(labels),
        landmarks=landmarks_of(identity, circumstance, frame) / factor,
        style=style,
        traits=traits,
    )


def person_of(index: int, split: str) -> int:
    """Identity seed of portrait `index`: blocks of 1024 portraits hold 128 people 8 times each."""
    require_choice("split", split, SPLITS)
    block = index // (PEOPLE_PER_BLOCK * PORTRAITS_PER_PERSON)
    return SPLITS[split] * PEOPLE_PER_SPLIT + block * PEOPLE_PER_BLOCK + index % PEOPLE_PER_BLOCK


def portrait(
    index: int, size: int = 128, split: str = "train", style: str | None = None
) -> Portrait:
    """Draw portrait number `index` of a split ("train", "validation", "test"), always the same one.

    Splits have no people or seeds in common. style None draws photographs and paintings at random.
    Raises ValueError for an unknown split, style or size.
    """
    person, seed = _sitting(index, split)
    rng = np.random.default_rng([0x57, seed])
    drawn = "photo" if rng.random() < PHOTO_FRACTION else str(rng.choice(STYLES[1:]))
    return render(person, sample_circumstance(seed, person), size, style or drawn, seed)


def portrait_landmarks(index: int, size: int = 128, split: str = "train") -> np.ndarray:
    """Landmarks [5, 2] of portrait number `index` in pixels, without drawing it."""
    person, seed = _sitting(index, split)
    now = sample_circumstance(seed, person)
    return landmarks_of(person, now, build_frame(person, now, 32)) * np.float32(size / 32)


def _sitting(index: int, split: str) -> tuple[Identity, int]:
    """The person in portrait number `index`, and the seed of everything else in it."""
    person = sample_person(person_of(index, split))
    return person, SPLITS[split] * PEOPLE_PER_SPLIT * 10 + index

"""Pictures of several people at several distances, for face detection and group edits."""

from dataclasses import dataclass, replace

import numpy as np

from ..models.user_input import require_choice
from .background import paint_background
from .canvas import Canvas
from .captions import write_scene_captions
from .circumstance import Circumstance, sample_circumstance
from .identity import Identity, sample_person
from .labels import face_box, halve
from .portrait import PEOPLE_PER_SPLIT, SPLITS, finish, landmarks_of, paint_person
from .styles import STYLES, stylise

MAX_PEOPLE = 5
PHOTO_FRACTION = 0.8
# Scenes use people from the end of a split's range, which portraits do not reach.
FIRST_PERSON = 90_000_000


@dataclass
class SceneFace:
    """One face of a scene: box (x, y, w, h) of its visible pixels, landmarks [5, 2], in pixels.

    visible: fraction of its pixels that are not hidden by people in front.
    """

    identity_id: int
    box: tuple[int, int, int, int]
    landmarks: np.ndarray
    visible: float


@dataclass
class Scene:
    """image [S, S, 3] uint8 RGB; labels, owners [S, S] uint8; owners: 0 nobody, i + 1 face i."""

    image: np.ndarray
    labels: np.ndarray
    owners: np.ndarray
    faces: list[SceneFace]
    captions: list[str]
    style: str


def _places(rng: np.random.Generator, count: int) -> list[tuple[float, float, float]]:
    """(x, y, face height) of up to `count` people with separate faces, the farthest first."""
    placed: list[tuple[float, float, float]] = []
    for _ in range(60):
        if len(placed) == count:
            break
        height = float(np.exp(rng.uniform(np.log(0.09), np.log(0.42 if count < 3 else 0.3))))
        x = float(rng.uniform(0.5 * height, 1 - 0.5 * height))
        y = float(rng.uniform(0.62 * height + 0.04, max(0.7 - 0.35 * height, 0.66 * height + 0.05)))
        here = (x, y, height)
        if all(_apart(*sorted((here, other), key=lambda place: place[2])) for other in placed):
            placed.append(here)
    return sorted(placed, key=lambda place: place[2])


def _apart(far: tuple[float, float, float], near: tuple[float, float, float]) -> bool:
    """Whether the faces are apart and the nearer person's shoulders do not hide the farther one."""
    dx, dy = abs(far[0] - near[0]), far[1] - near[1]
    reach = far[2] + near[2]
    if dx < 0.58 * reach and abs(dy) < 0.72 * reach:
        return False
    return dx > 0.95 * near[2] + 0.4 * far[2] or dy < 0.35 * near[2]


def scene(index: int, size: int = 256, split: str = "train") -> Scene:
    """Draw scene number `index` of a split with 1 to 5 people, always the same one.

    Raises ValueError for an unknown split or a size outside 64..2048.
    """
    require_choice("split", split, SPLITS)
    if not 64 <= size <= 2048:
        raise ValueError(f"a scene is 64 to 2048 px wide, not {size}")
    seed = SPLITS[split] * PEOPLE_PER_SPLIT * 10 + FIRST_PERSON * 10 + index
    rng = np.random.default_rng([0x5CE, seed])
    places = _places(rng, int(rng.integers(1, MAX_PEOPLE + 1)))
    first = SPLITS[split] * PEOPLE_PER_SPLIT + FIRST_PERSON + index * MAX_PEOPLE
    people = [_stand(sample_person(first + i), place, seed, i) for i, place in enumerate(places)]
    style = "photo" if rng.random() < PHOTO_FRACTION else str(rng.choice(STYLES[1:]))
    canvas = Canvas(paint_background(people[0][1], 2 * size))
    owners = np.zeros_like(canvas.labels)
    labels = np.zeros_like(canvas.labels)
    frames, whole = [], []
    for number, (person, now) in enumerate(people, start=1):
        canvas.labels = np.zeros_like(labels)
        frames.append(paint_person(canvas, person, now))
        mine = canvas.labels > 0
        labels[mine] = canvas.labels[mine]
        owners[mine] = number
        whole.append(face_box(canvas.labels)[2:])
    labels, owners = halve(labels), halve(owners)
    faces = []
    for number, ((person, now), frame, extent) in enumerate(
        zip(people, frames, whole, strict=True), start=1
    ):
        box = face_box(np.where(owners == number, labels, 0))
        fraction = 4 * box[2] * box[3] / max(extent[0] * extent[1], 1)
        faces.append(
            SceneFace(person.seed, box, landmarks_of(person, now, frame) / 2, min(fraction, 1.0))
        )
    image = stylise(finish(canvas.shrunk(size), False, seed), style, seed)
    captions = write_scene_captions([(p.male, n.smile > 0.4) for p, n in people], style, seed)
    return Scene(image, labels, owners, faces, captions, style)


def _stand(
    person: Identity, place: tuple[float, float, float], seed: int, number: int
) -> tuple[Identity, Circumstance]:
    """The person at their place in the scene, in the light of the whole scene."""
    now = sample_circumstance(seed * MAX_PEOPLE + number, person)
    shared = sample_circumstance(seed, person)
    x, y, height = place
    return person, replace(
        now,
        centre=(x, y),
        face_height=height,
        light_angle=shared.light_angle,
        light_height=shared.light_height,
        light_hardness=shared.light_hardness,
        light_name=shared.light_name,
        exposure=shared.exposure,
        fill=shared.fill,
        blurry=False,
    )

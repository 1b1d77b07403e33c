"""Pictures with faces, in and out of groups, that the face detector is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...world import portrait_landmarks
from ...world.labels import face_box
from .clutter import add_clutter, from_behind, out_of_place
from .dataset import PortraitSet
from .photo_labels import OVAL, is_plausible, polygon
from .photographs import Photograph
from .scenes import SceneSet

MIN_FACE, MAX_FACE = 14.0, 84.0
"""Sizes in pixels of faces to detect; others are ignored, as a level of the pyramid has them."""
MIRRORED = [1, 0, 2, 4, 3]
MAX_STORED = 128.0
"""Size in pixels of the largest face in a stored photograph; larger ones are shrunk."""
TIMES = {"profile": 4, "quarter": 2}
"""How often a photograph is in the set by its label `pose`: few heads are turned."""
_IRISES_NOSE_MOUTH = (468, 473, 1, 61, 291)


@dataclass(frozen=True)
class Layer:
    """A picture [H, W, 3] uint8 with its people [H, W] bool, boxes [F, 4], landmarks [F, 5, 2] and
    visible [F], the fraction of each face that is not hidden by other people.
    """

    image: np.ndarray
    people: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray


def portrait_layers(people: PortraitSet) -> list[Layer]:
    """Each portrait as a layer."""
    size = people.images.shape[1]
    layers = []
    for index, (image, labels) in enumerate(zip(people.images, people.labels, strict=True)):
        box = np.array([face_box(labels)], np.float32)
        points = portrait_landmarks(index, size)[None]
        layers.append(Layer(image, labels > 0, box, points, np.ones(1, np.float32)))
    return layers


def scene_layers(scenes: SceneSet) -> list[Layer]:
    """Each scene as a layer."""
    return [
        Layer(
            image,
            people,
            np.array([face["box"] for face in faces], np.float32),
            np.array([face["landmarks"] for face in faces], np.float32),
            np.array([face["visible"] for face in faces], np.float32),
        )
        for image, people, faces in zip(scenes.images, scenes.people, scenes.faces, strict=True)
    ]


def photograph_layers(people: list[tuple[Photograph, np.ndarray]]) -> list[Layer]:
    """Each photograph with a plausible face as a layer, turned heads several times (`TIMES`); the
    photographs come with label maps.
    """
    layers = []
    for photograph, labels in people:
        good = [k for k in range(len(photograph.boxes)) if is_plausible(photograph, k)]
        if not good:
            continue
        points = photograph.landmarks
        ovals = np.stack([polygon(points[k], OVAL) for k in good])
        boxes = np.concatenate([ovals.min(1), ovals.max(1) - ovals.min(1)], 1)
        shrink = min(1.0, MAX_STORED / float(np.sqrt(boxes[:, 2:].prod(1).max())))
        size = [max(1, round(side * shrink)) for side in labels.shape[::-1]]
        # Doubtful faces are hidden from the loss.
        unsure = [k for k in range(len(photograph.boxes)) if k not in good]
        boxes = np.concatenate([boxes, photograph.boxes[unsure]]).astype(np.float32)
        seen = np.array([1.0] * len(good) + [0.0] * len(unsure), np.float32)
        marks = np.zeros((len(boxes), 5, 2), np.float32)
        marks[: len(good)] = points[good][:, list(_IRISES_NOSE_MOUTH)]
        shown = Layer(
            cv2.resize(photograph.image, size, interpolation=cv2.INTER_AREA),
            cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST) > 0,
            boxes * shrink,
            marks * shrink,
            seen,
        )
        layers += [shown] * TIMES.get(photograph.labels.get("pose", ""), 1)
    return layers


def _mirrored(layer: Layer) -> Layer:
    width = layer.image.shape[1]
    boxes, landmarks = layer.boxes.copy(), layer.landmarks[:, MIRRORED].copy()
    boxes[:, 0] = width - boxes[:, 0] - boxes[:, 2]
    landmarks[..., 0] = width - landmarks[..., 0]
    return Layer(layer.image[:, ::-1], layer.people[:, ::-1], boxes, landmarks, layer.visible)


def _squeezed(layer: Layer, factor: float) -> Layer:
    """The layer made narrower by a factor, as a face that is turned away looks narrower."""
    height, width = layer.image.shape[:2]
    size = max(1, round(width * factor)), height
    across = np.float32([size[0] / width, 1])
    return Layer(
        cv2.resize(np.ascontiguousarray(layer.image), size, interpolation=cv2.INTER_AREA),
        cv2.resize(layer.people.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0,
        layer.boxes * np.tile(across, 2),
        layer.landmarks * across,
        layer.visible,
    )


def _placed(layer: Layer, size: int, rng: np.random.Generator) -> tuple[Layer, np.ndarray]:
    """The layer turned, scaled and moved so that one of its faces lies in a picture of `size`.

    Also returns where the layer's picture has come to lie, bool [size, size].
    """
    if rng.random() < 0.5:
        layer = _mirrored(layer)
    if rng.random() < 0.3:
        layer = _squeezed(layer, float(rng.uniform(0.65, 1.0)))
    face = rng.integers(max(1, int((layer.visible > 0).sum())))
    middle = layer.boxes[face, :2] + layer.boxes[face, 2:] / 2
    # Uniform in the logarithm of the size, because small faces are the hard ones.
    wanted = np.exp(rng.uniform(np.log(MIN_FACE + 1), np.log(MAX_FACE)))
    if rng.random() < 0.1:
        # Sometimes too close for any face, to learn that hair, hands and clothes are not faces.
        wanted *= 4
    angle = float(rng.uniform(-50, 50) if rng.random() < 0.2 else rng.normal(0, 10))
    scale = float(wanted / np.sqrt(max(layer.boxes[face, 2:].prod(), 1)))
    matrix = cv2.getRotationMatrix2D(middle.tolist(), angle, scale)
    matrix[:, 2] += rng.uniform(0.1, 0.9, 2) * size - middle
    # Our coordinates count from the border, OpenCV's from the middle of the first pixel.
    pixels = matrix.copy()
    pixels[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5
    if scale < 0.5:
        blurred = cv2.GaussianBlur(layer.image, (0, 0), 0.35 / scale)
    else:
        blurred = np.ascontiguousarray(layer.image)
    image = cv2.warpAffine(
        blurred, pixels, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    masks = np.stack([layer.people, np.ones_like(layer.people)], 2).astype(np.uint8)
    masks = cv2.warpAffine(masks, pixels, (size, size), flags=cv2.INTER_NEAREST) > 0
    middles = (layer.boxes[:, :2] + layer.boxes[:, 2:] / 2) @ matrix[:, :2].T + matrix[:, 2]
    sides = layer.boxes[:, 2:] * scale
    boxes = np.concatenate([middles - sides / 2, sides], 1)
    landmarks = layer.landmarks @ matrix[:, :2].T + matrix[:, 2]
    return Layer(image, masks[..., 0], boxes, landmarks, layer.visible), masks[..., 1]


def _covered(boxes: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Fraction of each box that is hidden by the people of the layer above."""
    size = people.shape[0]
    fractions = np.zeros(len(boxes), np.float32)
    for number, (x, y, w, h) in enumerate(boxes):
        rows = slice(max(0, int(y)), min(size, int(y + h) + 1))
        columns = slice(max(0, int(x)), min(size, int(x + w) + 1))
        inside = people[rows, columns]
        fractions[number] = inside.mean() if inside.size else 0
    return fractions


def _photograph(photos: list[np.ndarray], size: int, rng: np.random.Generator) -> np.ndarray:
    photo = photos[rng.integers(len(photos))]
    side = int(rng.integers(min(64, *photo.shape[:2]), min(photo.shape[:2]) + 1))
    top = int(rng.integers(0, photo.shape[0] - side + 1))
    left = int(rng.integers(0, photo.shape[1] - side + 1))
    view = photo[top : top + side, left : left + side]
    flags = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(view, (size, size), interpolation=flags)


def draw_picture(
    recipe: dict,
    portraits: list[Layer],
    scenes: list[Layer],
    photos: list[np.ndarray],
    rng: np.random.Generator,
    people: list[Layer] = (),
) -> Layer:
    """Return a training picture: a photograph with people in front of it, or a scene.

    `people` are photographs of people, `photos` those without people.
    """
    size = recipe["input_size"]
    picture = _ground(recipe, people or portraits, photos, rng)
    if rng.random() < recipe["negatives"]:
        return picture
    drawn = rng.random()
    photographed = bool(people) and drawn < recipe["photographs"]
    whole = not photographed and rng.random() < recipe["scenes"]
    source = people if photographed else scenes if whole else portraits
    for _ in range(1 if whole else int(rng.integers(1, 6 if photographed else 4))):
        layer, inside = _placed(source[rng.integers(len(source))], size, rng)
        if rng.random() < recipe["behind"]:
            layer = _seen_from_behind(layer, rng)
        shown = inside if rng.random() < (0.7 if photographed else 0.4) else layer.people
        picture = _in_front(layer, shown, picture)
    return picture


def _ground(
    recipe: dict, people: list[Layer], photos: list[np.ndarray], rng: np.random.Generator
) -> Layer:
    """A picture without faces: a photograph, at times with clutter and parts of faces in it."""
    size = recipe["input_size"]
    if rng.random() < recipe["clutter"]:
        image = _beside_faces(people[rng.integers(len(people))], size, rng)
    else:
        image = _photograph(photos, size, rng)
    if rng.random() < recipe["clutter"]:
        image = add_clutter(image, rng)
    for _ in range(int(rng.integers(1, 4)) if rng.random() < recipe["clutter"] else 0):
        image = _with_parts_of_a_face(image, people[rng.integers(len(people))], rng)
    empty = np.zeros((size, size), bool)
    none = np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
    return Layer(image, empty, *none)


def _beside_faces(layer: Layer, size: int, rng: np.random.Generator) -> np.ndarray:
    """A square [size, size, 3] from where a picture has no face: clothes, hair, surroundings."""
    height, width = layer.image.shape[:2]
    for _ in range(20):
        side = int(rng.uniform(0.2, 0.7) * min(height, width))
        top, left = (int(v) for v in rng.integers(0, (height - side, width - side)))
        low = np.maximum(layer.boxes[:, :2], (left, top))
        high = np.minimum(layer.boxes[:, :2] + layer.boxes[:, 2:], (left + side, top + side))
        if not (high > low).all(1).any():
            view = layer.image[top : top + side, left : left + side]
            turned = np.ascontiguousarray(np.rot90(view, int(rng.integers(4))))
            return cv2.resize(turned, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.full((size, size, 3), layer.image.mean((0, 1)), np.uint8)


def _with_parts_of_a_face(image: np.ndarray, layer: Layer, rng: np.random.Generator) -> np.ndarray:
    x, y, w, h = (int(value) for value in layer.boxes[0])
    face = layer.image[max(0, y) : y + h, max(0, x) : x + w]
    size = image.shape[0]
    side = int(np.exp(rng.uniform(np.log(MIN_FACE), np.log(MAX_FACE)))) // 2 * 2
    if min(face.shape[:2]) < 8:
        return image
    part = out_of_place(cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA), rng)
    top, left = (int(value) for value in rng.integers(0, size - side, 2))
    result = image.copy()
    result[top : top + side, left : left + side] = part
    return result


def _seen_from_behind(layer: Layer, rng: np.random.Generator) -> Layer:
    return Layer(
        from_behind(layer.image, layer.boxes, rng),
        layer.people,
        layer.boxes[:0],
        layer.landmarks[:0],
        layer.visible[:0],
    )


def _in_front(layer: Layer, shown: np.ndarray, picture: Layer) -> Layer:
    """The picture with a layer in front of it where `shown` [S, S] is true."""
    matte = cv2.GaussianBlur(shown.astype(np.float32), (0, 0), 0.7)[..., None]
    left = picture.visible - _covered(picture.boxes, shown)
    return Layer(
        (layer.image * matte + picture.image * (1 - matte)).astype(np.uint8),
        picture.people | layer.people,
        np.concatenate([picture.boxes, layer.boxes]),
        np.concatenate([picture.landmarks, layer.landmarks]),
        np.concatenate([left, layer.visible]),
    )

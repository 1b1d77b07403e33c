"""Stage: the face detector, trained on rendered people and scenes and on photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.face_detector import STRIDE, DetectorNetwork, FaceDetector
from ...models.small_network import as_pixels
from ...world import portrait_landmarks
from ...world.labels import face_box
from ..loop import AveragedWeights, Run, optimizer_step, train, trapezoid_rate
from .augment import degrade, jitter_colour
from .dataset import PortraitSet, photographs
from .photo_labels import OVAL, is_plausible, polygon
from .photographs import Photograph
from .scenes import SceneSet

MIN_FACE, MAX_FACE = 14.0, 84.0
"""Sizes in pixels of faces to detect; others are ignored, as a level of the pyramid has them."""
MIN_VISIBLE = 0.6
MIRRORED = [1, 0, 2, 4, 3]
MAX_STORED = 128.0
"""Size in pixels of the largest face in a stored photograph; larger ones are shrunk."""
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
    """Each photograph with a plausible face as a layer; the photographs come with label maps."""
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
        layers.append(
            Layer(
                cv2.resize(photograph.image, size, interpolation=cv2.INTER_AREA),
                cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST) > 0,
                boxes * shrink,
                marks * shrink,
                seen,
            )
        )
    return layers


def _mirrored(layer: Layer) -> Layer:
    width = layer.image.shape[1]
    boxes, landmarks = layer.boxes.copy(), layer.landmarks[:, MIRRORED].copy()
    boxes[:, 0] = width - boxes[:, 0] - boxes[:, 2]
    landmarks[..., 0] = width - landmarks[..., 0]
    return Layer(layer.image[:, ::-1], layer.people[:, ::-1], boxes, landmarks, layer.visible)


def _placed(layer: Layer, size: int, rng: np.random.Generator) -> tuple[Layer, np.ndarray]:
    """The layer turned, scaled and moved so that one of its faces lies in a picture of `size`.

    Also returns where the layer's picture has come to lie, bool [size, size].
    """
    if rng.random() < 0.5:
        layer = _mirrored(layer)
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
    empty = np.zeros((size, size), bool)
    none = np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
    picture = Layer(_photograph(photos, size, rng), empty, *none)
    if rng.random() < recipe["negatives"]:
        return picture
    drawn = rng.random()
    photographed = bool(people) and drawn < recipe["photographs"]
    whole = not photographed and rng.random() < recipe["scenes"]
    source = people if photographed else scenes if whole else portraits
    for _ in range(1 if whole else int(rng.integers(1, 6 if photographed else 4))):
        layer, inside = _placed(source[rng.integers(len(source))], size, rng)
        shown = inside if rng.random() < (0.7 if photographed else 0.4) else layer.people
        matte = cv2.GaussianBlur(shown.astype(np.float32), (0, 0), 0.7)[..., None]
        left = picture.visible - _covered(picture.boxes, shown)
        picture = Layer(
            (layer.image * matte + picture.image * (1 - matte)).astype(np.uint8),
            picture.people | layer.people,
            np.concatenate([picture.boxes, layer.boxes]),
            np.concatenate([picture.landmarks, layer.landmarks]),
            np.concatenate([left, layer.visible]),
        )
    return picture


def targets(picture: Layer) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return heat [g, g], weight [g, g], the 14 target numbers [14, g, g] and their cells [g, g].

    The heat is 1 in the cell of a face's centre and falls off around it. The weight is 0 over
    faces that are too small, too large or too hidden to be detected.
    """
    size = picture.image.shape[0]
    grid = size // STRIDE
    axis = np.arange(grid, dtype=np.float32) + 0.5
    heat, weight = np.zeros((grid, grid), np.float32), np.ones((grid, grid), np.float32)
    numbers, where = np.zeros((14, grid, grid), np.float32), np.zeros((grid, grid), np.float32)
    for box, points, visible in zip(picture.boxes, picture.landmarks, picture.visible, strict=True):
        extent = float(np.sqrt(max(box[2:].prod(), 0)))
        low = np.maximum(box[:2], 0)
        seen = np.clip(np.minimum(box[:2] + box[2:], size) - low, 0, None).prod()
        if seen <= 0:
            continue
        visible = visible * seen / max(box[2:].prod(), 1e-6)
        x, y = (box[:2] + box[2:] / 2) / STRIDE
        if not MIN_FACE <= extent <= MAX_FACE or visible < MIN_VISIBLE:
            rows = np.abs(axis - y) < box[3] / 2 / STRIDE
            weight[np.ix_(rows, np.abs(axis - x) < box[2] / 2 / STRIDE)] = 0
            continue
        if not (0 <= x < grid and 0 <= y < grid):
            continue
        sigma = max(0.12 * extent / STRIDE, 0.5)
        near = np.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * sigma**2))
        near[int(y), int(x)] = 1.0
        mine = near > np.maximum(heat, 0.3)
        heat = np.maximum(heat, near)
        rows, columns = np.nonzero(mine)
        cells = np.stack([columns, rows], 1) + 0.5
        told = np.concatenate(
            [
                [x, y] - cells,
                np.tile(np.log(box[2:] / STRIDE), (len(cells), 1)),
                (points[None] / STRIDE - cells[:, None]).reshape(-1, 10),
            ],
            1,
        )
        numbers[:, rows, columns] = told.T
        where[rows, columns] = near[rows, columns]
    return heat, weight, numbers, where


def detection_loss(outputs: Tensor, heat: Tensor, weight: Tensor, numbers: Tensor, where: Tensor):
    """Focal loss of the heat (Law and Deng, "CornerNet", equation 1); smooth L1 of box and marks.

    Returns both losses, each summed over cells and divided by the number of faces.
    """
    logits = outputs[:, 0].float()
    sure = logits.sigmoid()
    centre = (heat == 1).float()
    found = -F.logsigmoid(logits) * (1 - sure).square() * centre
    empty = -F.logsigmoid(-logits) * sure.square() * (1 - heat).pow(4) * (1 - centre) * weight
    faces = centre.sum().clamp(min=1)
    distance = F.smooth_l1_loss(outputs[:, 1:].float(), numbers, beta=0.1, reduction="none")
    scale = distance.new_tensor([1.0] * 2 + [2.0] * 2 + [0.4] * 10)[:, None, None]
    told = (distance * scale * where[:, None]).sum() / where.sum().clamp(min=1)
    return (found + empty).sum() / faces, told


def begin(recipe: dict[str, Any], start: FaceDetector | None) -> DetectorNetwork:
    """Return the network that training starts from: new, or with the weights of `start`.

    New blocks that `start` lacks begin as the identity.
    """
    network = DetectorNetwork(**recipe["network"])
    if start is not None:
        weights = {name: value.float() for name, value in start.network.state_dict().items()}
        network.load_state_dict(network.state_dict() | weights)
        for block in network.blocks[len(start.network.blocks) :]:
            torch.nn.init.zeros_(block.get_parameter("second.1.weight"))
    return network.to(memory_format=torch.channels_last)


def train_face_detector(
    recipe: dict[str, Any],
    seed: int,
    people: PortraitSet,
    scenes: SceneSet,
    folder: Path,
    photographed: list[tuple[Photograph, np.ndarray]] = (),
    start: FaceDetector | None = None,
):
    """Train the detector and return its averaged weights in a DetectorNetwork.

    `photographed` are photographs of people with their label maps (`photo_labels`); with them the
    checkpoint is that of the stage `photo_detector`. Training continues from `start` if given.
    """
    torch.manual_seed(seed)
    network = begin(recipe, start)
    average = AveragedWeights(network, 0.997)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe["learning_rate"], weight_decay=1e-2
    )
    sources = portrait_layers(people), scene_layers(scenes), photographs()
    shown_people = photograph_layers(photographed)
    run = Run(folder, "photo_detector" if photographed else "face_detector", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 6, step])
        drawn = [draw_picture(recipe, *sources, rng, shown_people) for _ in range(recipe["batch"])]
        shown = [
            degrade(jitter_colour(picture.image.astype(np.float32) / 255, rng, 1.0), rng)
            for picture in drawn
        ]
        truth = [torch.from_numpy(np.stack(t)) for t in zip(*map(targets, drawn), strict=True)]
        pixels = as_pixels(torch.from_numpy(np.stack(shown)))
        outputs = network(pixels.contiguous(memory_format=torch.channels_last))
        heat, told = detection_loss(outputs, *truth)
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        optimizer_step(heat + told, optimizer, rate, network.parameters(), 5.0)
        average.update(network)
        return {"heat": heat.item(), "numbers": told.item()}

    train(run, {"network": network, "average": average, "optimizer": optimizer}, take_step)
    network.load_state_dict(average.weights)
    return network.eval()

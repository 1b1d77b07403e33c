"""Makes the style pictures and the clip that the pack ships: python docs/make_paintings.py

Each style is painted stroke by stroke along a flow, from large brushes to small ones, with ridges
of bristles in every stroke; leather is lit grain by grain. They show nobody and copy no painter;
their licence is the pack's. The clip is a camera's way over scikit-image's astronaut.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.spatial import KDTree
from skimage import data

SAMPLES = Path(__file__).resolve().parents[1] / "web" / "samples"
WIDTH, HEIGHT = 640, 512
QUALITY = 90
BITS = 4  # OpenCV draws at sixteenths of a pixel

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From places x, y [n] to directions or colours [n, ...]."""


def noise(generator: np.random.Generator, scale: int) -> np.ndarray:
    """Smooth noise [HEIGHT, WIDTH] of mean 0 and deviation 1 whose forms are `scale` px large."""
    grid = generator.normal(size=(HEIGHT // scale + 3, WIDTH // scale + 3)).astype(np.float32)
    large = cv2.resize(grid, (WIDTH + 2 * scale, HEIGHT + 2 * scale), interpolation=cv2.INTER_CUBIC)
    part = large[scale : scale + HEIGHT, scale : scale + WIDTH]
    return (part - part.mean()) / part.std()


def at(field: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values of a field [HEIGHT, WIDTH, ...] at places, the border's outside."""
    rows = np.clip(y.astype(int), 0, HEIGHT - 1)
    return field[rows, np.clip(x.astype(int), 0, WIDTH - 1)]


def stroke(
    canvas: np.ndarray, points: np.ndarray, width: float, colour: np.ndarray,
    generator: np.random.Generator,
) -> None:  # fmt: skip
    """One stroke along points [n, 2]: the body of the paint, and bristles lighter and darker."""
    ahead = np.gradient(points, axis=0)
    across = np.stack([-ahead[:, 1], ahead[:, 0]], 1)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-6
    _line(canvas, points, width, colour)
    count = max(2, int(width / 1.6))
    for place in np.linspace(-0.5, 0.5, count):
        shade = generator.normal(0, 13) + 16 * (place < -0.3) - 18 * (place > 0.3)
        cut = (
            generator.integers(0, max(1, len(points) // 4)),
            generator.integers(0, max(1, len(points) // 4)),
        )
        part = points + across * place * width
        _line(canvas, part[cut[0] : len(part) - cut[1]], 1.3, colour + shade)


def _line(canvas: np.ndarray, points: np.ndarray, width: float, colour: np.ndarray) -> None:
    shifted = np.round(points * (1 << BITS)).astype(np.int32)[:, None]
    shade = tuple(float(value) for value in np.clip(colour, 0, 255))
    cv2.polylines(canvas, [shifted], False, shade, max(1, round(width)), cv2.LINE_AA, BITS)


def paint(
    canvas: np.ndarray, direction: np.ndarray, colours: Field, brushes: list[tuple],
    generator: np.random.Generator,
) -> None:  # fmt: skip
    """Cover the canvas: brushes are (how many strokes, length, width, spread of the colour)."""
    for count, length, width, spread in brushes:
        x = generator.uniform(-10, WIDTH + 10, count)
        y = generator.uniform(-10, HEIGHT + 10, count)
        base = colours(x, y) + generator.normal(0, spread, (count, 1))
        base += generator.normal(0, spread / 2, (count, 3))
        paths = [np.stack([x, y], 1)]
        for _ in range(max(2, int(length / 3))):
            angle = at(direction, x, y)
            x, y = x + 3 * np.cos(angle), y + 3 * np.sin(angle)
            paths.append(np.stack([x, y], 1))
        for points, colour in zip(np.stack(paths, 1), base, strict=True):
            stroke(canvas, points, width * generator.uniform(0.7, 1.3), colour, generator)


def mixed(palette: list[tuple], place: np.ndarray) -> np.ndarray:
    """Colours [n, 3] between those of a palette, at places 0..1."""
    stops = np.linspace(0, 1, len(palette))
    channels = np.array(palette, dtype=float).T
    return np.stack([np.interp(place, stops, channel) for channel in channels], -1)


def night() -> np.ndarray:
    """Lights over dark hills, the sky in whirls."""
    generator = np.random.default_rng(11)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    whirls = [(150, 150, 1), (420, 110, -1), (560, 230, 1), (290, 270, -1), (60, 300, 1)]
    whirls += [(500, 40, 1), (230, 40, -1)]
    angle_x, angle_y = np.cos(0.25 * noise(generator, 160)), 0.4 * noise(generator, 120)
    glow = np.zeros((HEIGHT, WIDTH), np.float32)
    for x, y, turn in whirls:
        dx, dy = columns - x, rows - y
        far = np.hypot(dx, dy) + 1
        pull = 2.2 * np.exp(-((far / 75) ** 2))
        angle_x += pull * -dy / far * turn
        angle_y += pull * dx / far * turn
        glow = np.maximum(
            glow, np.exp(-((far / 26) ** 2)) + 0.45 * np.exp(-(((far - 46) / 9) ** 2))
        )
    hills = rows > 390 + 38 * np.sin(columns / 95) + 16 * np.sin(columns / 37 + 2)
    direction = np.where(hills, 0.5 * np.sin(columns / 60) - 0.3, np.arctan2(angle_y, angle_x))
    tone = noise(generator, 48) * 0.5 + noise(generator, 18) * 0.5
    sky = [(18, 28, 78), (30, 62, 140), (58, 108, 178), (128, 168, 202), (196, 212, 196)]
    land = [(12, 22, 36), (24, 52, 62), (48, 86, 66), (120, 120, 60)]
    light = [(214, 196, 110), (248, 214, 72), (255, 240, 170)]

    def colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        value = 1 / (1 + np.exp(-1.5 * at(tone, x, y)))
        result = np.where(at(hills, x, y)[:, None], mixed(land, value), mixed(sky, value))
        shine = np.clip(at(glow, x, y), 0, 1)[:, None] * ~at(hills, x, y)[:, None]
        return result * (1 - shine) + mixed(light, np.clip(at(glow, x, y), 0, 1)) * shine

    canvas = np.full((HEIGHT, WIDTH, 3), (30, 44, 92), np.uint8)
    brushes = [(1400, 70, 15, 8), (4200, 44, 9, 14), (3200, 28, 6, 20)]
    paint(canvas, direction, colours, brushes, generator)
    return canvas


def orchard() -> np.ndarray:
    """Trees in a hot afternoon, in short thick strokes of unmixed paint."""
    generator = np.random.default_rng(5)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    horizon = 300 + 14 * np.sin(columns / 80)
    crowns, trunks = np.zeros((HEIGHT, WIDTH), bool), np.zeros((HEIGHT, WIDTH), bool)
    for x, y, size in ((110, 190, 92), (330, 150, 112), (540, 210, 86)):
        wobble = 0.16 * noise(generator, 40)
        crowns |= np.hypot((columns - x) / 1.15, rows - y) < size * (1 + wobble)
        trunks |= (abs(columns - x - 10 * np.sin(rows / 30)) < 9) & (rows > y) & (rows < y + 190)
    tone = noise(generator, 30)
    sky = [(84, 158, 190), (140, 200, 206), (236, 226, 170), (248, 206, 120)]
    leaves = [(20, 62, 44), (44, 110, 48), (128, 160, 42), (228, 190, 44), (232, 120, 40)]
    earth = [(120, 44, 60), (196, 78, 46), (230, 140, 52), (244, 198, 96), (110, 140, 70)]
    bark = [(52, 30, 70), (96, 48, 76), (150, 78, 70)]

    def colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        value = 1 / (1 + np.exp(-1.8 * at(tone, x, y)))
        result = np.where((y < at(horizon, x, y))[:, None], mixed(sky, value), mixed(earth, value))
        result = np.where(at(trunks, x, y)[:, None], mixed(bark, value), result)
        return np.where(at(crowns & ~trunks, x, y)[:, None], mixed(leaves, value), result)

    direction = np.where(rows < horizon, 0.15 * tone + 0.1, -0.5 + 0.25 * tone)
    direction = np.where(crowns, 1.1 * noise(generator, 60), direction)
    direction = np.where(trunks & ~crowns, 1.5 + 0.1 * tone, direction)
    canvas = np.full((HEIGHT, WIDTH, 3), (222, 178, 110), np.uint8)
    brushes = [(2200, 26, 15, 10), (5200, 17, 10, 22), (4200, 11, 7, 26)]
    paint(canvas, direction, colours, brushes, generator)
    return canvas


def clip() -> list[Image.Image]:
    """Eight frames of 256 px: the camera moves to the right and comes nearer."""
    whole = Image.fromarray(data.astronaut())
    frames = []
    for number in range(8):
        left, top, side = 40 + 7 * number, 10 + 3 * number, 330 - 9 * number
        frames.append(
            whole.resize((256, 256), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
        )
    return frames


def leather() -> np.ndarray:
    """Brown leather [512, 512, 3]: grains of two sizes with creases between them, lit from the
    upper left.
    """
    side = 512
    generator = np.random.default_rng(7)
    height = np.tanh(_grains(side, 2600, 1) / 3) + 0.35 * np.tanh(_grains(side, 9000, 2) / 2)
    height = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.8)
    wear = _enlarged(generator, 8, side)
    down, across = np.gradient(height * 2.2)
    normal = _unit(np.stack([-across, -down, np.ones_like(height)], -1))
    light = _unit(np.array([-0.5, -0.6, 0.62]))
    shade = 0.5 + np.clip(normal @ light, 0, 1)
    shine = np.clip(normal @ _unit(light + [0, 0, 1]), 0, 1) ** 28
    depth = 0.55 + 0.45 * np.clip(height / 1.2, 0, 1)
    brown = np.array([96, 56, 34]) / 255 * 1.6
    colour = brown * ((0.55 + 0.12 * wear) * shade * depth)[..., None]
    colour += 0.22 * shine[..., None] * np.array([1, 0.92, 0.82])
    return (np.clip(colour, 0, 1) ** 0.95 * 255).astype(np.uint8)


def _grains(side: int, count: int, seed: int) -> np.ndarray:
    """How far from the edge of its grain each pixel is [side, side]; the pattern repeats."""
    seeds = np.random.default_rng(seed).random((count, 2)) * side
    shifts = [np.array([i, j]) * side for i in (-1, 0, 1) for j in (-1, 0, 1)]
    tree = KDTree(np.concatenate([seeds + shift for shift in shifts]))
    places = np.stack(np.mgrid[:side, :side], -1).astype(np.float64)
    for axis in (0, 1):
        places[..., axis] += 2 * _enlarged(np.random.default_rng(seed + 1 + axis), 64, side)
    near = tree.query(places.reshape(-1, 2), k=2)[0]
    return (near[:, 1] - near[:, 0]).reshape(side, side)


def _enlarged(generator: np.random.Generator, cells: int, side: int) -> np.ndarray:
    grid = generator.normal(size=(cells, cells)).astype(np.float32)
    return cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


PAINTINGS = {"painting_night": night, "painting_orchard": orchard, "leather": leather}


def main() -> None:
    """Paint all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=SAMPLES, help="folder to write")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name, make in PAINTINGS.items():
        picture = cv2.cvtColor(make(), cv2.COLOR_RGB2BGR)
        file = given.out / f"visage_{name}.jpg"
        cv2.imwrite(str(file), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        print(file)  # noqa: T201
    first, *others = clip()
    first.save(
        given.out / "visage_clip.webp",
        save_all=True,
        append_images=others,
        duration=125,
        quality=85,
    )


if __name__ == "__main__":
    main()

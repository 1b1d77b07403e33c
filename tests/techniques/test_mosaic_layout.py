"""Properties that every layout of the mosaic has."""

import itertools

import numpy as np
import pytest
from visage.techniques.mosaic_layout import SIXTEENTHS, choose_tiled, gain, pack


def rectangles(layout):
    """All tiles of a canvas as (left, top, right, bottom)."""
    squares = [(x, y, x + layout.side, y + layout.side) for x, y in layout.cells]
    return [(0, 0, *layout.background), *squares]


def check(layout, width, height, faces, size):
    for left, top, right, bottom in rectangles(layout):
        assert 0 <= left and 0 <= top
        assert right <= layout.canvas[0] and bottom <= layout.canvas[1]
        assert not any(value % 8 for value in (left, top, right, bottom))
    for one, other in itertools.combinations(rectangles(layout), 2):
        apart = [one[2] <= other[0], other[2] <= one[0], one[3] <= other[1], other[3] <= one[1]]
        assert any(apart), f"{one} and {other} overlap"
    assert not any(side % 64 for side in layout.canvas)
    assert layout.canvas[0] * layout.canvas[1] <= 6 * size**2
    assert layout.picture[0] <= layout.background[0]
    assert layout.picture[1] <= layout.background[1]
    assert (len(layout.cells) > 0) == (faces > 0)
    if width / height < 2 and height / width < 2:
        assert min(layout.picture) == size


@pytest.mark.parametrize("size", [128, 512])
def test_tiles_neither_overlap_nor_leave_the_canvas(size):
    rng = np.random.default_rng(size)
    for _ in range(1500):
        width, aspect = int(rng.integers(16, 6000)), rng.uniform(0.25, 4)
        height, faces = max(1, round(width * aspect)), int(rng.integers(21))
        layout = pack(width, height, faces, size)
        check(layout, width, height, faces, size)
        canvases = -(-faces // max(1, len(layout.cells)))
        assert canvases * len(layout.cells) - faces < max(1, canvases)
        assert pack(width, height, faces, size) == layout


@pytest.mark.parametrize("faces", [0, 1, 12, 20])
@pytest.mark.parametrize(
    "shape", [(64, 64), (2048, 512), (512, 2048), (20000, 30), (1, 1), (4000, 3000)]
)
def test_odd_pictures_have_a_layout(shape, faces):
    check(pack(*shape, faces), *shape, faces, 512)


@pytest.mark.parametrize(
    ("width", "height", "faces", "side", "canvas", "cells"),
    [
        (512, 512, 0, 0, (512, 512), 0),
        (512, 512, 1, 512, (512, 1088), 1),
        (1920, 1080, 3, 256, (960, 832), 3),
        (1920, 1080, 8, 224, (960, 1024), 8),
        (1080, 1920, 2, 448, (1024, 960), 2),
        (640, 480, 2, 320, (704, 896), 2),
        (4000, 3000, 12, 224, (704, 1024), 6),
    ],
)
def test_tiles_are_as_large_as_fits(width, height, faces, side, canvas, cells):
    layout = pack(width, height, faces)
    assert (layout.side, layout.canvas, len(layout.cells)) == (side, canvas, cells)


def test_the_starter_has_the_same_layout_at_its_own_size():
    small, large = pack(1920, 1080, 8, 128), pack(1920, 1080, 8, 512)
    assert small.side == large.side / 4
    assert small.canvas == (256, 256)
    assert 128 * SIXTEENTHS[-1] // 16 == 48


def test_a_face_that_is_large_already_gets_no_tile():
    layout, chosen = choose_tiled(512, 512, [[60, 500]])
    assert chosen == [[0]]
    # With the large face gone, the small one has the strip to itself.
    assert layout == pack(512, 512, 1)
    assert gain(layout, 512, 60) == pytest.approx(512 / 60)
    layout, chosen = choose_tiled(512, 512, [[500]])
    assert chosen == [[]]
    assert layout.canvas == (512, 512)


def test_faces_go_without_a_tile_one_by_one():
    # Two tiles would be no larger than the faces are, but one is.
    layout, chosen = choose_tiled(256, 256, [[110, 112]], 128)
    assert chosen == [[0]]
    assert layout == pack(256, 256, 1, 128)


def test_a_batch_shares_the_layout_of_the_fullest_picture():
    layout, chosen = choose_tiled(512, 512, [[60], [], [50, 60, 70]])
    assert [len(numbers) for numbers in chosen] == [1, 0, 3]
    assert layout == pack(512, 512, 3)


def test_a_size_that_no_latent_has_is_refused():
    with pytest.raises(ValueError, match="size is 500.*multiple of 64"):
        pack(512, 512, 1, 500)
    with pytest.raises(ValueError, match="0 x 5 px"):
        pack(0, 5, 1)

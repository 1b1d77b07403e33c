"""The mosaic: faces enlarged beside their picture on one canvas."""

import pytest
import torch
from visage.models.face_analyzer import FoundFace
from visage.techniques.lanczos import resize
from visage.techniques.mosaic import MosaicSettings, compose, cut, ellipse


def face(x, y, width, height=None):
    return FoundFace((x, y, width, height or width), 0.9, None)


@pytest.fixture
def picture(photograph):
    return photograph("astronaut")[None]


ASTRONAUT = face(177, 66, 95)
PLAIN = MosaicSettings(restore=0.0)


def shown(mosaic, tile, batch):
    """What a canvas of the batch shows in a tile."""
    x, y = tile.corner
    return batch[tile.canvas, y : y + mosaic.layout.side, x : x + mosaic.layout.side]


def test_without_faces_the_canvas_is_the_picture(picture):
    mosaic = compose(picture, [[]])
    assert torch.equal(mosaic.canvas, picture)
    assert not mosaic.mask.any() and not mosaic.tiles


def test_the_picture_and_its_enlarged_face_are_on_the_canvas(picture):
    mosaic = compose(picture, [[ASTRONAUT]], PLAIN)
    (tile,) = mosaic.tiles
    assert mosaic.canvas.shape == (1, 1088, 512, 3)
    assert torch.equal(mosaic.canvas[:, :512], picture)
    assert tile.square == (148, 33, 152)
    crop = picture[:, 33:185, 148:300]
    assert torch.equal(shown(mosaic, tile, mosaic.canvas), resize(crop, 512, 512)[0])
    assert tile.gain == pytest.approx(512 / 152)


def test_the_gap_between_tiles_holds_no_flat_colour(picture):
    mosaic = compose(picture, [[ASTRONAUT, face(300, 300, 40), face(20, 20, 40)]])
    assert (mosaic.canvas.std((1, 2)) > 0.1).all()
    x, y = mosaic.tiles[0].corner
    edge = mosaic.canvas[0, y, x : x + mosaic.layout.side]
    assert torch.equal(mosaic.canvas[0, y - 8, x : x + mosaic.layout.side], edge)
    assert torch.equal(mosaic.canvas[0, 512, 100], mosaic.canvas[0, 511, 100])


def test_the_mask_holds_every_face_once(picture):
    big, small = face(100, 100, 320), face(20, 20, 40)
    mosaic = compose(picture, [[big, small]])
    assert [tile.face for tile in mosaic.tiles] == [small]
    assert [(other.face, other.why) for other in mosaic.others] == [(big, "large enough")]
    assert mosaic.mask.min() == 0 and mosaic.mask.max() == 1
    assert mosaic.mask[0, 260, 260] == 1
    assert mosaic.mask[0, 30, 30] == 0, "a face with a tile is masked there alone"
    side, (x, y) = mosaic.layout.side, mosaic.tiles[0].corner
    inside = mosaic.mask[0, y : y + side, x : x + side]
    area = 3.14159 / 4 * (1.15 * 40 / 64 * side) ** 2
    assert float(inside.sum()) == pytest.approx(area, rel=0.02)
    assert mosaic.mask[0].sum() - inside.sum() == pytest.approx(mosaic.mask[0, :512].sum())


def test_restored_faces_are_mixed_with_the_plain_enlargement(picture):
    def enlarge(crop):
        assert crop.shape == (1, 152, 152, 3)
        return torch.ones(1, 608, 608, 3)

    mosaic = compose(picture, [[ASTRONAUT]], MosaicSettings(restore=0.25), enlarge)
    restored = shown(mosaic, mosaic.tiles[0], mosaic.canvas)
    plain = shown(mosaic, mosaic.tiles[0], mosaic.content)
    assert torch.allclose(restored, 0.75 * plain + 0.25, atol=1e-6)
    assert torch.equal(mosaic.content[:, :512], picture)


def test_without_an_upscaler_faces_are_sharpened(picture):
    mosaic = compose(picture, [[ASTRONAUT]])
    restored, plain = (
        shown(mosaic, mosaic.tiles[0], batch) for batch in (mosaic.canvas, mosaic.content)
    )
    assert 1.02 < float(restored.diff(dim=0).abs().mean() / plain.diff(dim=0).abs().mean()) < 1.5


@pytest.mark.slow
def test_a_face_that_shrinks_in_its_tile_is_not_restored(picture):
    large = resize(picture, 2048, 2048)
    faces = [face(700, 260, 380), face(100, 100, 380), face(1300, 1300, 380)]
    mosaic = compose(large, [faces], enlarge=lambda crop: pytest.fail("enlarged for nothing"))
    assert len(mosaic.tiles) == 3
    assert torch.equal(mosaic.canvas, mosaic.content)


def test_a_face_at_the_border_is_mirrored_beyond_it(picture):
    square = (-30, 480, 100)
    crop = cut(picture[0], square)
    assert torch.equal(crop[:32, 30:], picture[0, 480:, :70])
    assert torch.equal(crop[:32, :30], picture[0, 480:, 1:31].flip(1))
    assert torch.equal(crop[32], picture[0, 510][cut_columns(-30, 100)])
    mosaic = compose(picture, [[face(-10, 470, 60)]])
    assert mosaic.canvas.isfinite().all()


def cut_columns(start, length):
    return torch.arange(start, start + length).abs()


def test_twenty_faces_need_several_canvases(picture):
    faces = [face(10 + 100 * (i % 5), 10 + 120 * (i // 5), 30 + i) for i in range(20)]
    mosaic = compose(picture, [faces], MosaicSettings(most=20))
    assert len(mosaic.canvas) > 1
    assert len({(tile.canvas, tile.corner) for tile in mosaic.tiles}) == 20
    assert torch.equal(mosaic.canvas[1, :512], mosaic.canvas[0, :512])
    for tile in mosaic.tiles:
        crop = resize(cut(picture[0], tile.square)[None], mosaic.layout.side, mosaic.layout.side)
        assert torch.equal(shown(mosaic, tile, mosaic.content), crop[0])


def test_the_largest_faces_come_first_and_tiny_ones_not_at_all(picture):
    faces = [face(10, 10, 11), face(100, 10, 30), face(200, 10, 40), face(300, 10, 20)]
    mosaic = compose(picture, [faces], MosaicSettings(most=2))
    assert [tile.face.box[2] for tile in mosaic.tiles] == [40, 30]
    assert [(other.face.box[2], other.why) for other in mosaic.others] == [
        (20, "one too many"),
        (11, "smaller than 12 px"),
    ]


def test_pictures_of_a_batch_keep_their_own_canvases(picture):
    batch = torch.cat([picture, picture.flip(2), 1 - picture])
    faces = [[face(10, 10, 40)], [], [face(10 + 60 * i, 10, 40) for i in range(8)]]
    mosaic = compose(batch, faces)
    assert mosaic.first_canvas == (0, 1, 2)
    assert len(mosaic.canvas) == 2 + -(-8 // len(mosaic.layout.cells))
    for k, canvas in enumerate(mosaic.first_canvas):
        assert torch.equal(mosaic.canvas[canvas, :512, :512], batch[k])
    assert not mosaic.mask[1].any()


@pytest.mark.parametrize(
    ("shape", "faces"),
    [
        ((1, 64, 64, 3), [face(20, 20, 16)]),
        ((1, 512, 2048, 3), [face(1900, 100, 60), face(5, 5, 30)]),
        ((1, 100, 80, 1), [face(20, 20, 16)]),
        ((1, 100, 80, 4), [face(20, 20, 16)]),
        ((100, 80, 3), [face(-500, -500, 16)]),
    ],
)
def test_odd_pictures(shape, faces):
    mosaic = compose(torch.rand(*shape), [faces])
    assert mosaic.canvas.shape[-1] == 3
    assert not any(side % 64 for side in mosaic.canvas.shape[1:3])
    assert 0 <= mosaic.canvas.min() and mosaic.canvas.max() <= 1


def test_transparent_parts_are_white():
    image = torch.rand(1, 512, 512, 4)
    image[:, :100, :, 3] = 0
    assert (compose(image, [[]]).canvas[:, :100] == 1).all()


def test_progress_counts_faces(picture):
    seen = []

    def progress(done, total, pixels):
        seen.append((done, total))
        assert pixels.shape == (mosaic_side, mosaic_side, 3)

    mosaic_side = 224
    mosaic = compose(picture, [[face(10, 10, 40), face(90, 90, 40)]], progress=progress)
    assert mosaic.layout.side == mosaic_side
    assert seen == [(1, 2), (2, 2)]


def test_says_in_words_what_is_where(picture):
    mosaic = compose(picture, [[face(10, 10, 11), face(90, 95, 40)]])
    assert mosaic.text().splitlines() == [
        "1 canvas of 512 x 1088 px for 1 picture",
        "picture 1: the face of 40 x 40 px at 90, 95 has a tile of 512 px, 8.0 times larger",
        "picture 1: the face of 11 x 11 px at 10, 10 has no tile: smaller than 12 px",
    ]
    assert compose(picture, [[]]).text().endswith("no face found")


def test_an_ellipse_has_the_boxs_shape():
    drawn = ellipse((10, 20, 40, 20), 80, 80, 2.0)
    assert drawn[30, 30] == 1 and drawn[30, 3] == 0 and drawn[15, 30] == 0
    assert float(drawn.sum()) == pytest.approx(3.14159 * 23 * 11.5, rel=0.02)


def test_what_does_not_fit_is_refused(picture):
    with pytest.raises(ValueError, match="faces for 2 pictures but 1"):
        compose(picture, [[], []])
    with pytest.raises(ValueError, match="context is 0.5"):
        compose(picture, [[]], MosaicSettings(context=0.5))
    with pytest.raises(ValueError, match="size is 100"):
        compose(picture, [[]], MosaicSettings(size=100))

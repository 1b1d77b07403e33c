"""Restyled faces pasted from the mosaic back into their picture."""

import json
from dataclasses import replace

import pytest
import torch
from visage.models.face_analyzer import FoundFace, starter_analyzer
from visage.techniques.ddim_inversion import psnr
from visage.techniques.mosaic import MosaicSettings, compose
from visage.techniques.mosaic_restore import face_matte, paste_back

# Of the astronaut's face, by eye: eyes, tip of the nose, corners of the mouth.
LANDMARKS = torch.tensor([[206.0, 113], [246, 110], [228, 135], [212, 152], [244, 150]])
ASTRONAUT = FoundFace((177, 66, 95, 95), 0.9, LANDMARKS)
PLAIN = MosaicSettings(restore=0.0)


def face(x, y, width):
    return FoundFace((x, y, width, width), 0.9, None)


@pytest.fixture(scope="module")
def analyzer():
    return starter_analyzer()


@pytest.fixture
def picture(photograph):
    return photograph("astronaut")[None]


@pytest.fixture
def mosaic(picture):
    return compose(picture, [[ASTRONAUT]], PLAIN)


FACES = {
    "no face": [],
    "one face": [ASTRONAUT],
    "at the border": [face(-20, 300, 80), face(470, 480, 70)],
    "crops that overlap": [face(180, 70, 60), face(210, 80, 60), ASTRONAUT],
    "twelve faces": [face(8 + 120 * (i % 4), 20 + 160 * (i // 4), 60) for i in range(12)],
    "twenty faces": [face(8 + 100 * (i % 5), 20 + 120 * (i // 5), 50) for i in range(20)],
}


@pytest.mark.parametrize("faces", FACES.values(), ids=FACES)
def test_what_no_host_touched_comes_back(picture, faces):
    mosaic = compose(picture, [faces], replace(PLAIN, most=20))
    restored = paste_back(mosaic, mosaic.canvas)
    inside = restored.matte > 0
    assert torch.equal(restored.image[~inside], picture[~inside])
    assert inside.any() == bool(faces)
    for other in mosaic.tiles:
        left, top, side = other.square
        rows, columns = slice(max(top, 0), top + side), slice(max(left, 0), left + side)
        part = (0, rows, columns)
        assert psnr(restored.image[part][inside[part]], picture[part][inside[part]]) > 35


def test_a_picture_larger_than_its_tile_stays_sharp_where_the_host_did_nothing(picture):
    large = picture.repeat(1, 2, 2, 1)
    mosaic = compose(large, [[]])
    stylised = mosaic.canvas.clone()
    stylised[:, :100, :100] = 0
    image = paste_back(mosaic, stylised).image
    assert torch.equal(image[:, 220:], large[:, 220:])
    assert (image[:, :180, :180] == 0).all()


def test_faces_come_from_their_tiles_and_the_rest_from_the_pictures(mosaic):
    stylised = torch.zeros_like(mosaic.canvas)
    stylised[:, 512:] = 1
    restored = paste_back(mosaic, stylised, seam_match=0.0)
    assert torch.equal(restored.image[..., 0] > 0, restored.matte > 0)
    assert restored.image[0, 113, 224, 0] > 0.99
    assert (restored.image[0, :33] == 0).all() and (restored.image[0, 185:] == 0).all()


def test_the_seam_takes_on_the_backgrounds_light(mosaic, picture):
    stylised = mosaic.canvas.clone()
    stylised[:, 512:] *= 0.7
    ring = None
    shifts = []
    for fraction in (0.0, 0.5, 1.0):
        restored = paste_back(mosaic, stylised, seam_match=fraction)
        ring = (restored.matte > 0.3) & (restored.matte < 0.7)
        shifts.append(float((restored.image - picture)[ring].mean().abs()))
    assert shifts[0] > 1.6 * shifts[1] > 3 * shifts[2]


def test_overlapping_faces_share_their_pixels(picture):
    twins = [ASTRONAUT, replace(ASTRONAUT)]
    mosaic = compose(picture, [twins], PLAIN)
    stylised = mosaic.canvas.clone()
    alone = compose(picture, [[ASTRONAUT]], PLAIN)
    once = paste_back(alone, alone.canvas)
    both = paste_back(mosaic, stylised)
    assert torch.allclose(both.image, once.image, atol=0.06)
    assert both.matte.max() <= 1


def test_outside_the_style_mask_nothing_changes(mosaic, picture):
    mask = torch.zeros(1, 512, 512)
    mask[:, :110, :220] = 1
    mask[:, 110:120, :220] = 0.5
    restored = paste_back(mosaic, 1 - mosaic.canvas, style_mask=mask)
    assert torch.equal(restored.image[mask == 0], picture[mask == 0])
    assert (restored.image != picture)[mask == 1].float().mean() > 0.9
    assert torch.equal(paste_back(mosaic, 1 - mosaic.canvas, style_mask=0 * mask).image, picture)


def test_faces_go_into_another_background(mosaic, picture):
    background = torch.full_like(picture, 0.25)
    restored = paste_back(mosaic, mosaic.canvas, background=background, seam_match=0.0)
    assert (restored.image[restored.matte == 0] == 0.25).all()
    assert torch.allclose(restored.image[0, 113, 224], picture[0, 113, 224], atol=0.05)


class TestLikeness:
    def test_a_face_that_gets_less_like_the_person_is_left_out(self, mosaic, analyzer):
        spoilt = mosaic.canvas.clone()
        spoilt[:, 512:] = torch.rand(spoilt[:, 512:].shape, generator=torch.Generator())
        guarded = paste_back(mosaic, spoilt, analyzer)
        (told,) = guarded.faces
        assert told.tile < told.before == told.after
        assert told.outcome == "its tile is less like the person"
        assert not guarded.matte.any()
        pasted = paste_back(mosaic, spoilt, analyzer, keep_best=False)
        assert pasted.faces[0].after == pasted.faces[0].tile
        assert pasted.matte.max() == 1

    def test_a_face_that_gets_more_like_the_person_is_used(self, mosaic, analyzer):
        spoilt = mosaic.canvas.clone()
        spoilt[:, :512] = torch.rand(spoilt[:, :512].shape, generator=torch.Generator())
        (told,) = paste_back(mosaic, spoilt, analyzer).faces
        assert told.after == told.tile > 0.8 > told.before
        assert told.outcome == "from its tile"
        assert told.gain == pytest.approx(512 / 152)

    def test_faces_without_a_tile_are_measured_too(self, picture, analyzer):
        mosaic = compose(picture, [[ASTRONAUT]], replace(PLAIN, smallest=200))
        (told,) = paste_back(mosaic, mosaic.canvas, analyzer).faces
        assert (told.gain, told.tile) == (None, None)
        assert told.before == pytest.approx(1, abs=1e-4)
        assert told.outcome == "no tile: smaller than 200 px"

    def test_is_not_measured_without_landmarks_or_a_recognizer(self, picture, mosaic, analyzer):
        nameless = compose(picture, [[face(177, 66, 95)]], PLAIN)
        detection = replace_recognizer(analyzer)
        for told in (
            paste_back(nameless, nameless.canvas, analyzer),
            paste_back(mosaic, mosaic.canvas, detection),
            paste_back(mosaic, mosaic.canvas),
        ):
            assert told.faces[0].before is told.faces[0].after is None
            assert told.faces[0].outcome == "from its tile"
            assert "likeness not measured" in told.text()


def replace_recognizer(analyzer):
    from visage.models.face_analyzer import Analyzer

    return Analyzer("detection", "none", analyzer.find)


def test_the_report_says_what_happened(mosaic, analyzer, picture):
    restored = paste_back(mosaic, mosaic.canvas, analyzer)
    assert restored.text().startswith(
        "picture 1: face of 95 x 95 px at 177, 66, 3.4 times larger in its tile: "
    )
    (told,) = json.loads(restored.json())["faces"]
    assert told["box"] == [177, 66, 95, 95]
    assert told["after"] == pytest.approx(1, abs=0.05)
    nobody = compose(picture, [[]])
    assert "no face" in paste_back(nobody, nobody.canvas).text()


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_pictures_and_transparent_ones(channels):
    image = torch.rand(2, 90, 70, channels)
    mosaic = compose(image, [[face(20, 20, 20)], []], MosaicSettings(size=128))
    restored = paste_back(mosaic, 1 - mosaic.canvas).image
    assert restored.shape == (2, 90, 70, max(3, channels))
    if channels == 4:
        assert torch.equal(restored[..., 3], image[..., 3])


@pytest.mark.parametrize("shape", [(64, 64), (128, 512), (700, 150)])
def test_small_pictures_and_panoramas(shape):
    image = torch.rand(1, *shape, 3)
    mosaic = compose(image, [[face(10, 20, 24)]], MosaicSettings(size=128))
    restored = paste_back(mosaic, 1 - mosaic.canvas)
    assert restored.image.shape == image.shape
    assert restored.image.isfinite().all()


def test_each_picture_of_a_batch_gets_its_own_faces(picture):
    batch = torch.cat([picture, picture.flip(2), picture])
    mosaic = compose(batch, [[ASTRONAUT], [], [face(300, 300, 60)]], PLAIN)
    stylised = 1 - mosaic.canvas
    together = paste_back(mosaic, stylised)
    assert [told.picture for told in together.faces] == [0, 2]
    assert not together.matte[1].any()
    alone = compose(batch[:1], [[ASTRONAUT]], PLAIN)
    first = paste_back(alone, 1 - alone.canvas)
    assert torch.equal(first.image[0], together.image[0])


def test_a_matte_is_zero_on_its_crops_border_and_one_in_the_face():
    for box in ((38, 40, 76, 76), (0, 0, 150, 150)):
        matte = face_matte(box, 152)
        assert matte[0].max() == matte[-1].max() == matte[:, 0].max() == matte[:, -1].max() == 0
        assert matte.max() == 1 and matte.min() == 0
        assert matte.diff(dim=0).abs().max() < 0.25


def test_what_does_not_belong_to_the_mosaic_is_refused(mosaic, picture):
    with pytest.raises(ValueError, match="1 of 512 x 512 px but the mosaic is 1 of 512 x 1088"):
        paste_back(mosaic, picture)
    with pytest.raises(ValueError, match="background is 64 x 64 px but should be 512 x 512"):
        paste_back(mosaic, mosaic.canvas, background=torch.rand(1, 64, 64, 3))
    with pytest.raises(ValueError, match="style_mask is 30 x 90 px"):
        paste_back(mosaic, mosaic.canvas, style_mask=torch.rand(1, 90, 30))
    with pytest.raises(ValueError, match="NaN"):
        paste_back(mosaic, mosaic.canvas / 0)

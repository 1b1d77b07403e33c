from __future__ import annotations

import pytest
import torch
from visage.models.face_classes import CLASSES, COLOURS, PRESETS
from visage.techniques.face_mask import face_mask

TWO = [(200, 200, 120), (600, 200, 200)]
BOTH = (400, 800, TWO)


def painted_parts(labels, parts):
    indices = torch.tensor([CLASSES.index(name) for name in parts])
    return torch.isin(labels, indices)


def overlap(mask, truth):
    """Intersection over union."""
    mask = mask > 0.5
    return ((mask & truth).sum() / (mask | truth).sum()).item()


def test_the_mask_is_the_union_of_the_parts(parser, paint):
    image, labels = paint(400, 380, [(190, 170, 200)])
    for preset in ("face", "face and hair"):
        result = face_mask(image[None], parser, [preset])
        assert overlap(result.mask[0], painted_parts(labels, PRESETS[preset])) > 0.97
    single = face_mask(image[None], parser, ["nose", "hair"])
    assert overlap(single.mask[0], painted_parts(labels, ("nose", "hair"))) > 0.9


def test_parts_far_from_the_face_are_seen_with_wide_surroundings(parser, paint):
    image, labels = paint(600, 600, [(300, 200, 200)])
    mask = face_mask(image[None], parser, ["clothes"]).mask[0]
    reach = slice(0, 440)
    assert overlap(mask[reach], painted_parts(labels, ("clothes",))[reach]) > 0.9


@pytest.mark.slow
def test_a_large_photograph_is_parsed_face_by_face(parser, paint):
    faces = [(600, 700, 420), (1900, 1000, 300), (3300, 800, 600)]
    image, labels = paint(2000, 4000, faces)
    result = face_mask(image[None], parser, ["face"])
    assert result.mask.shape == (1, 2000, 4000)
    assert overlap(result.mask[0], painted_parts(labels, PRESETS["face"])) > 0.97
    for (x, y, width, height), (cx, cy, size) in zip(result.boxes[0], faces, strict=True):
        assert abs(x + width / 2 - cx) < 0.03 * size and abs(y + height / 2 - cy) < 0.03 * size


@pytest.mark.slow
def test_twelve_faces_are_masked(parser, paint):
    image, labels = paint(
        900, 1200, [(150 + 300 * (k % 4), 120 + 300 * (k // 4), 120) for k in range(12)]
    )
    result = face_mask(image[None], parser, ["face"])
    assert len(result.boxes[0]) == 12
    assert overlap(result.mask[0], painted_parts(labels, PRESETS["face"])) > 0.97


@pytest.mark.slow
def test_faces_at_the_border_are_masked_to_the_last_pixel(parser, paint):
    image, labels = paint(600, 800, [(20, 200, 200), (400, 30, 160), (780, 560, 200)])
    result = face_mask(image[None], parser, ["face"])
    truth = painted_parts(labels, PRESETS["face"])
    assert overlap(result.mask[0], truth) > 0.97
    assert overlap(result.mask[0, :, :1], truth[:, :1]) > 0.9
    assert overlap(result.mask[0, :1], truth[:1]) > 0.9


@pytest.mark.slow
def test_every_picture_of_a_batch_is_done_as_if_alone(parser, paint):
    pictures = [paint(300, 300, faces)[0] for faces in ([(150, 140, 160)], [], [(90, 100, 90)])]
    batch = face_mask(torch.stack(pictures), parser, ["face"])
    assert [len(boxes) for boxes in batch.boxes] == [1, 0, 1]
    for k, picture in enumerate(pictures):
        alone = face_mask(picture[None], parser, ["face"])
        assert torch.equal(batch.mask[k], alone.mask[0])
        assert torch.equal(batch.overlay[k], alone.overlay[0])
        assert batch.area_share[k] == alone.area_share[0] == pytest.approx(alone.mask.mean().item())


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        ({"which": "all"}, [0, 1]),
        ({"which": "largest"}, [1]),
        ({"which": "index", "index": 0}, [0]),
        ({"which": "index", "index": 1}, [1]),
    ],
)
def test_faces_are_chosen(parser, paint, choice, kept):
    image, labels = paint(*BOTH)
    result = face_mask(image[None], parser, ["face"], **choice)
    truth = painted_parts(labels, PRESETS["face"])
    for k, columns in enumerate((slice(0, 400), slice(400, 800))):
        if k in kept:
            assert overlap(result.mask[0, :, columns], truth[:, columns]) > 0.97
        else:
            assert not result.mask[0, :, columns].any()
    assert len(result.boxes[0]) == len(kept)


def test_a_neighbour_in_the_same_crop_is_left_out(parser, paint):
    image, labels = paint(300, 500, [(180, 140, 160), (320, 150, 120)])
    for part in ("eyes", "face and hair"):
        result = face_mask(image[None], parser, [part], which="index", index=0)
        assert not result.mask[0, 100:200, 280:].any()
        assert result.mask[0, :, :240].any()


@pytest.mark.parametrize(
    ("policy", "value"), [("empty", 0.0), ("full", 1.0)], ids=["empty", "full"]
)
def test_without_a_face_the_policy_decides(parser, paint, policy, value):
    image, _ = paint(200, 300, [])
    result = face_mask(image[None], parser, ["face"], no_face=policy)
    assert (result.mask == value).all()
    assert result.boxes == [[]] and result.area_share == [value]


def test_without_a_face_an_error_tells_which_picture(parser, paint):
    pictures = torch.stack([paint(200, 300, faces)[0] for faces in ([(150, 90, 100)], [])])
    with pytest.raises(ValueError, match=r"picture 2 of 2 \(300 x 200 px\)"):
        face_mask(pictures, parser, ["face"], no_face="error")


@pytest.mark.slow
def test_an_index_beyond_the_faces_counts_as_no_face(parser, paint):
    image, _ = paint(*BOTH)
    assert not face_mask(image[None], parser, ["face"], which="index", index=2).mask.any()
    with pytest.raises(ValueError, match="Face 2 .* has 2, numbered 0 to 1"):
        face_mask(image[None], parser, ["face"], which="index", index=2, no_face="error")


def test_soft_keeps_probabilities_and_agrees_with_binary_at_one_half(parser, paint):
    image, _ = paint(300, 300, [(150, 140, 160)])
    soft = face_mask(image[None], parser, ["face"], soft=True).mask
    binary = face_mask(image[None], parser, ["face"]).mask
    assert torch.equal((soft > 0.5).float(), binary)
    between = (soft > 0) & (soft < 1)
    assert between.any() and len(soft.unique()) > 50
    assert (soft[0, :40] == 0).all() and soft[0, 140, 110] == 1
    assert set(binary.unique().tolist()) == {0.0, 1.0}


def test_largest_component_drops_what_is_not_joined_to_the_face(parser, paint):
    image, labels = paint(400, 400, [(160, 170, 140)])
    skin = image[170, 205].clone()
    image[300:330, 20:50] = skin
    image[150:170, 250:270] = skin
    kept = face_mask(image[None], parser, ["face"], largest_component=False).mask[0]
    dropped = face_mask(image[None], parser, ["face"]).mask[0]
    assert kept[155:165, 255:265].all() and not dropped[150:170, 250:270].any()
    assert overlap(dropped, painted_parts(labels, PRESETS["face"])) > 0.97


def test_largest_component_keeps_both_eyes_and_hair(parser, paint):
    image, labels = paint(400, 380, [(190, 170, 240)])
    for part in ("eyes", "lips", "face and hair"):
        mask = face_mask(image[None], parser, [part]).mask[0]
        assert overlap(mask, painted_parts(labels, PRESETS[part])) > 0.85


def test_holes_are_filled_but_parts_not_chosen_stay_open(parser, paint):
    image, labels = paint(400, 380, [(190, 170, 240)])
    cheek = (slice(186, 206), slice(130, 150))
    image[cheek] = 0
    open_ = face_mask(image[None], parser, ["face"], fill_holes=False).mask[0]
    filled = face_mask(image[None], parser, ["face"]).mask[0]
    assert not open_[cheek][5:15, 5:15].any() and filled[cheek].all()
    skin = face_mask(image[None], parser, ["skin"]).mask[0]
    assert skin[cheek][5:15, 5:15].all()
    left_open = painted_parts(labels, ("left_eye", "right_eye", "mouth"))
    assert skin[left_open].mean() < 0.1


def test_gray_alpha_and_single_pictures_are_taken(parser, paint):
    image, _ = paint(300, 300, [(150, 140, 160)])
    plain = face_mask(image[None], parser, ["face"])
    alpha = torch.cat((image, torch.rand(300, 300, 1)), dim=-1)
    assert torch.equal(face_mask(alpha[None], parser, ["face"]).mask, plain.mask)
    assert torch.equal(face_mask(image, parser, ["face"]).mask, plain.mask)
    gray = face_mask(image.mean(dim=-1, keepdim=True)[None], parser, ["face"])
    assert gray.mask.shape == (1, 300, 300) and gray.overlay.shape[-1] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": ["chin"]}, "chin"),
        ({"which": "first"}, "which is 'first'"),
        ({"no_face": "skip"}, "no_face is 'skip'"),
        ({"image": torch.rand(2, 2)}, "image has shape"),
    ],
)
def test_bad_input_is_refused(parser, change, message):
    arguments = {"image": torch.rand(1, 8, 8, 3), "parser": parser, "parts": ["face"]} | change
    with pytest.raises(ValueError, match=message):
        face_mask(**arguments)


def test_the_picture_given_is_not_changed(parser, paint):
    image, _ = paint(300, 300, [(150, 140, 160)])
    before = image.clone()
    face_mask(image[None], parser, ["face"])
    assert torch.equal(image, before)


def test_progress_is_reported_and_may_stop_the_work(parser, paint):
    pictures = torch.stack([paint(128, 128, [(64, 60, 70)])[0]] * 2)
    steps = []
    face_mask(pictures, parser, ["face"], progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        face_mask(pictures, parser, ["face"], progress=stop)


def test_the_starter_masks_the_astronauts_face(starter_parser, photograph):
    result = face_mask(photograph("astronaut")[None], starter_parser, ["face"])
    rows, columns = torch.meshgrid(torch.arange(512), torch.arange(512), indexing="ij")
    face = ((columns - 223) / 43) ** 2 + ((rows - 128) / 54) ** 2 < 1
    assert overlap(result.mask[0], face) > 0.75
    assert not result.mask[0, 220:].any()


def test_the_label_picture_has_the_parts_own_colours(starter_parser, photograph):
    parts = ["face", "hair"]
    found = face_mask(photograph("astronaut"), starter_parser, parts)
    assert found.labels.shape == (*found.mask.shape, 3)
    black = (found.labels == 0).all(dim=-1)
    assert torch.equal(black, found.mask == 0)
    seen = {tuple(colour) for colour in (found.labels[~black] * 255).round().int().tolist()}
    assert seen <= {COLOURS[part] for part in (*PRESETS["face"], "hair")}
    assert {COLOURS[part] for part in ("skin", "hair", "nose")} <= seen

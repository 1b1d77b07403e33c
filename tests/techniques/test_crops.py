import dataclasses

import pytest
import torch
from skimage import data
from visage.techniques.crops import CropBox, Crops, crop_faces, cut_masks, paste_faces
from visage.techniques.soft_mask import soften


def psnr(a, b):
    return float(-10 * torch.log10((a - b).square().mean()))


def photograph(height, width):
    """A piece of a photograph [1, H, W, 3]."""
    return torch.from_numpy(data.astronaut()[:height, 90 : 90 + width]).float().unsqueeze(0) / 255


def mask_of(height, width, rectangles):
    mask = torch.zeros(1, height, width)
    for x, y, w, h in rectangles:
        mask[:, y : y + h, x : x + w] = 1
    return mask


def covered(crops, k=0):
    """Which pixels of picture k any box covers."""
    cover = torch.zeros(crops.source_height, crops.source_width, dtype=torch.bool)
    for box in crops.boxes:
        if box.image == k:
            top, left = max(box.top, 0), max(box.left, 0)
            cover[top : box.top + box.side, left : box.left + box.side] = True
    return cover


def test_one_crop_a_face_from_left_to_right_with_context_around_it():
    mask = mask_of(200, 400, [(250, 80, 40, 50), (60, 70, 60, 40)])
    images, masks, crops = crop_faces(torch.rand(1, 200, 400, 3), mask, 64, context=1.0)
    assert images.shape == (2, 64, 64, 3) and masks.shape == (2, 64, 64)
    assert crops.boxes == (CropBox(0, 30, 30, 120), CropBox(0, 220, 55, 100))


def test_a_face_near_the_border_gets_real_context_instead_of_repeated_pixels():
    mask = mask_of(300, 400, [(0, 0, 40, 40), (370, 280, 30, 20)])
    _, _, crops = crop_faces(torch.rand(1, 300, 400, 3), mask, 64)
    assert crops.boxes == (CropBox(0, 0, 0, 72), CropBox(0, 346, 246, 54))


def test_the_square_is_never_larger_than_the_picture_is_long():
    _, _, crops = crop_faces(torch.rand(1, 60, 100, 3), mask_of(60, 100, [(5, 0, 90, 60)]), 64)
    assert crops.boxes[0].side == 100 and crops.boxes[0].left == 0
    assert -40 <= crops.boxes[0].top <= 0


def test_beyond_the_border_its_pixels_are_repeated():
    image = torch.rand(1, 40, 64, 3)
    images, masks, crops = crop_faces(image, mask_of(40, 64, [(0, 0, 64, 40)]), 64, context=0)
    assert crops.boxes == (CropBox(0, 0, -12, 64),)
    assert torch.equal(images[0, :12], image[0, :1].expand(12, -1, -1))
    assert torch.equal(images[0, 12:52], image[0])
    assert torch.equal(images[0, 52:], image[0, -1:].expand(12, -1, -1))
    assert torch.equal(masks[0], torch.ones(64, 64))


def test_specks_are_dropped_by_area_and_by_side():
    faint_area = mask_of(400, 400, [(100, 100, 60, 60), (300, 300, 31, 1)])
    small_side = mask_of(90, 90, [(40, 40, 20, 20), (5, 5, 7, 7)])
    for mask in (faint_area, small_side):
        _, _, crops = crop_faces(torch.rand(1, *mask.shape[1:], 3), mask, 32)
        assert len(crops.boxes) == 1


@pytest.mark.parametrize("with_boxes", [False, True])
@pytest.mark.parametrize(("side", "sigma", "opacity"), [(16, 8, 1), (60, 32, 1), (60, 0, 0.45)])
def test_small_and_faint_faces_are_cropped_with_their_mask(side, sigma, opacity, with_boxes):
    mask = opacity * mask_of(400, 500, [(200, 150, side, side)])
    soft = soften(mask, sigma)
    assert soft.max() < 0.5
    boxes = [[(200.0, 150.0, side, side)]] if with_boxes else None
    _, masks, crops = crop_faces(torch.rand(1, 400, 500, 3), soft, 128, boxes=boxes)
    assert crops.boxes[0].side < 400
    assert float(masks.max()) == pytest.approx(float(soft.max()), abs=0.02)


def test_a_picture_without_a_face_gives_the_whole_picture_and_an_empty_mask():
    image = torch.rand(2, 50, 80, 3)
    mask = torch.zeros(2, 50, 80)
    mask[1, 10:40, 10:40] = 1
    images, masks, crops = crop_faces(image, mask, 80)
    assert crops.boxes[0].image == 0 and crops.boxes[0].side == 80
    assert torch.equal(images[0, -crops.boxes[0].top :][:50], image[0])
    assert not masks[0].any() and masks[1].any()


def test_a_neighbours_face_in_the_crop_is_not_in_its_mask():
    mask = mask_of(120, 120, [(10, 40, 30, 30), (60, 40, 30, 30)])
    _, masks, crops = crop_faces(torch.rand(1, 120, 120, 3), mask, 120, context=3.0)
    assert all(box.side == 120 for box in crops.boxes)
    assert torch.equal(masks.sum(0), mask[0])
    assert masks[0, :, 60:].sum() == 0 and masks[1, :, :50].sum() == 0


def test_a_soft_mask_is_shared_out_whole_and_stays_soft():
    column = torch.linspace(0, 6.28318, 121)
    mask = ((1 - torch.cos(2 * column)) / 2).expand(1, 121, 121).clone()
    _, masks, _ = crop_faces(torch.rand(1, 121, 121, 3), mask, 121, context=3.0)
    assert len(masks) == 2
    assert torch.allclose(masks.sum(0), mask[0])


def test_given_boxes_take_the_place_of_the_parts_and_gather_theirs():
    eyes = [(20, 40, 10, 8), (40, 40, 10, 8), (90, 40, 12, 8)]
    boxes = [[(80.0, 20.0, 40.0, 50.5), (15.0, 20.0, 40.0, 50.0)]]
    mask = mask_of(128, 128, eyes)
    _, masks, crops = crop_faces(torch.rand(1, 128, 128, 3), mask, 128, 3.0, boxes)
    assert [box.side for box in crops.boxes] == [128, 128]
    assert torch.equal(masks[0], mask_of(128, 128, eyes[2:])[0])
    assert torch.equal(masks[1], mask_of(128, 128, eyes[:2])[0])


def test_parts_that_no_box_touches_are_in_no_mask():
    mask = mask_of(100, 100, [(0, 0, 20, 20), (70, 70, 20, 20)])
    _, masks, _ = crop_faces(torch.rand(1, 100, 100, 3), mask, 100, 9, [[(65.0, 65, 30, 30)]])
    assert torch.equal(masks[0], mask_of(100, 100, [(70, 70, 20, 20)])[0])


def test_a_mask_and_a_picture_alone_serve_a_batch():
    mask = mask_of(64, 64, [(20, 20, 20, 20)])
    assert len(crop_faces(torch.rand(3, 64, 64, 3), mask, 32)[0]) == 3
    assert len(crop_faces(torch.rand(1, 64, 64, 3), mask.expand(3, -1, -1), 32)[0]) == 3


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_rgba_pictures_give_rgb_crops(channels):
    image, mask = torch.rand(1, 64, 64, channels), mask_of(64, 64, [(20, 20, 20, 20)])
    images, _, crops = crop_faces(image, mask, 36)
    assert images.shape == (1, 36, 36, 3)
    pasted = paste_faces(images, crops, image)
    assert torch.equal(pasted, image.expand(-1, -1, -1, max(channels, 3)))


def random_case(seed):
    """A picture of odd size with up to twelve random faces, some of them cut by the border."""
    generator = torch.Generator().manual_seed(seed)

    def number(low, high):
        return int(torch.randint(low, high, (), generator=generator))

    height, width = number(60, 260), number(60, 260)
    rectangles = [
        (number(0, width - 9), number(0, height - 9), number(9, 60), number(9, 60))
        for _ in range(number(1, 13))
    ]
    boxes = [(x - 5.4, y - 8.6, w + 9.3, h + 4.8) for x, y, w, h in rectangles]
    return (
        photograph(height, width),
        mask_of(height, width, rectangles),
        [boxes],
        number(0, 30) / 10,
    )


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("with_boxes", [False, True])
def test_crop_and_paste_of_an_unedited_picture_is_the_picture(seed, with_boxes):
    image, mask, boxes, context = random_case(seed)
    images, _, crops = crop_faces(image, mask, 256, context, boxes if with_boxes else None)
    pasted = paste_faces(images, crops, image)
    outside = ~covered(crops)
    assert torch.equal(pasted[0][outside], image[0][outside])
    assert 0 <= pasted.min() and pasted.max() <= 1 + 1e-6
    assert psnr(pasted, image) > 36


@pytest.mark.parametrize("seed", range(20))
def test_edited_crops_change_nothing_outside_their_boxes(seed):
    image, mask, boxes, context = random_case(seed)
    images, _, crops = crop_faces(image, mask, 48, context / 3, boxes)
    pasted = paste_faces(torch.rand_like(images), crops, image)
    outside = ~covered(crops)
    assert torch.equal(pasted[0][outside], image[0][outside])
    assert (pasted[0][~outside] != image[0][~outside]).any(-1).float().mean() > 0.99


@pytest.mark.parametrize(
    ("left", "top"), [(-30, 20), (20, -30), (70, 20), (20, 50), (-30, -30), (70, 50), (-70, -70)]
)
def test_boxes_over_every_border_come_back_exactly(left, top):
    image = torch.rand(1, 81, 101, 3)
    box = CropBox(0, left, top, 64)
    crops = Crops(64, 81, 101, 1, (box,), torch.zeros(1, 64, 64))
    edited = torch.rand(1, 64, 64, 3)
    pasted = paste_faces(edited, crops, image)
    expected = image.clone()
    for y in range(max(top, 0), min(top + 64, 81)):
        for x in range(max(left, 0), min(left + 64, 101)):
            expected[0, y, x] = edited[0, y - top, x - left]
    assert torch.equal(pasted, expected)


def test_a_crop_of_the_boxs_own_size_is_a_copy_there_and_back():
    image = torch.rand(1, 121, 131, 3)
    images, _, crops = crop_faces(image, mask_of(121, 131, [(30, 40, 20, 32)]), 64, context=1.0)
    box = crops.boxes[0]
    assert torch.equal(images[0], image[0, box.top :, box.left :][:64, :64])
    edited = torch.rand_like(images)
    pasted = paste_faces(edited, crops, image)
    assert torch.equal(pasted[0, box.top :, box.left :][:64, :64], edited[0])


def test_the_geometry_is_inverse_to_a_fraction_of_a_pixel():
    y, x = torch.meshgrid(torch.arange(211.0), torch.arange(301.0), indexing="ij")
    ramp = torch.stack([x / 301, y / 211, (x + y) / 512], -1).unsqueeze(0)
    mask = mask_of(211, 301, [(100, 60, 77, 63)])
    for size in (64, 128, 200, 512):
        images, _, crops = crop_faces(ramp, mask, size)
        box = crops.boxes[0]
        difference = (paste_faces(images, crops, ramp) - ramp)[
            0, box.top + 12 : box.top + box.side - 12, box.left + 12 : box.left + box.side - 12
        ]
        assert difference.abs().max() * 301 < 0.05  # in pixels


def test_where_boxes_overlap_each_face_comes_from_its_own_crop():
    mask = mask_of(100, 160, [(50, 35, 25, 30), (85, 35, 25, 30)])
    image = torch.zeros(1, 100, 160, 3)
    images, _, crops = crop_faces(image, mask, 64, context=2.0)
    red = torch.tensor([1.0, 0, 0]).expand_as(images[0])
    green = torch.tensor([0, 1.0, 0]).expand_as(images[0])
    pasted = paste_faces(torch.stack([red, green]), crops, image)[0]
    assert pasted[40:60, 53:72, 0].min() > 0.99 and pasted[40:60, 88:107, 1].min() > 0.99


def test_twelve_faces_come_back_together():
    faces = [(20 + 90 * (k % 4), 20 + 90 * (k // 4), 40, 40) for k in range(12)]
    image = photograph(290, 380)
    images, masks, crops = crop_faces(image, mask_of(290, 380, faces), 64, context=0.6)
    assert len(images) == len(masks) == len(crops.boxes) == 12
    assert torch.equal(paste_faces(images, crops, image), image)


def test_each_picture_of_a_batch_keeps_its_own_faces():
    image = torch.rand(3, 90, 90, 3)
    mask = torch.cat(
        [mask_of(90, 90, f) for f in ([(9, 9, 30, 30)], [], [(50, 9, 20, 20), (9, 50, 20, 30)])]
    )
    images, _, crops = crop_faces(image, mask, 54)
    assert [box.image for box in crops.boxes] == [0, 1, 2, 2]
    edited = images.clone()
    edited[0] = 0.5
    pasted = paste_faces(edited, crops, image)
    assert not torch.equal(pasted[0], image[0])
    outside = ~covered(crops, 2)
    assert torch.equal(pasted[2][outside], image[2][outside])


@pytest.mark.slow
def test_a_4000_pixel_photograph_with_three_faces_gives_three_crops_at_512():
    image, mask = torch.rand(1, 1800, 4000, 3), torch.zeros(1, 1800, 4000)
    for x, y, side in ((300, 900, 420), (1800, 700, 900), (3500, 1500, 284)):
        mask[:, y : y + side, x : x + side] = 1
    images, _, crops = crop_faces(image, mask, 512)
    assert images.shape == (3, 512, 512, 3)
    assert [box.side for box in crops.boxes] == [756, 1620, 511]
    same = (paste_faces(images, crops, image)[0] == image[0]).all(-1)
    assert (same | covered(crops)).all()


def test_padded_and_upscaled_crops_are_taken():
    image = photograph(121, 131)
    images, _, crops = crop_faces(image, mask_of(121, 131, [(30, 40, 20, 20)]), 36)
    padded = torch.nn.functional.pad(images, (0, 0, 0, 4, 0, 4))
    assert torch.equal(paste_faces(padded, crops, image), image)
    upscaled = images.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert psnr(paste_faces(upscaled, crops, image), image) > 30


def test_nothing_that_was_passed_in_is_changed():
    image, mask = torch.rand(2, 64, 64, 3), mask_of(64, 64, [(20, 20, 20, 20)])
    images, masks, crops = crop_faces(image, mask, 32)
    edited = torch.rand_like(images)
    before = [tensor.clone() for tensor in (image, mask, images, masks, crops.masks, edited)]
    first = paste_faces(edited, crops, image)
    second = paste_faces(edited, crops, image)
    after = [image, mask, images, masks, crops.masks, edited]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(first, second)
    with pytest.raises(dataclasses.FrozenInstanceError):
        crops.size = 1


def test_the_binary_mask_is_cut_as_the_soft_one_was():
    faces = [(20, 30, 40, 50), (130, 40, 30, 30)]
    mask = mask_of(160, 200, faces)
    soft = soften(mask, 4, 6)
    _, soft_masks, crops = crop_faces(torch.rand(1, 160, 200, 3), soft, 64, 1.0, [faces])
    cut = cut_masks(mask, crops)
    for number, (_, _, w, h) in enumerate(faces):
        scale = 64 / crops.boxes[number].side
        assert float(cut[number].sum()) == pytest.approx(w * h * scale**2, rel=0.03)
        assert float(soft_masks[number].mean()) > 1.2 * float(cut[number].mean())
    with pytest.raises(ValueError, match="mask has 2 pictures"):
        cut_masks(mask.expand(2, -1, -1), dataclasses.replace(crops, batch=3))


def test_what_does_not_belong_together_is_refused():
    image, mask = torch.rand(1, 64, 64, 3), mask_of(64, 64, [(20, 20, 20, 20)])
    images, _, crops = crop_faces(image, mask, 32)
    with pytest.raises(ValueError, match="64 x 64 px but the picture is 96 x 64"):
        crop_faces(torch.rand(1, 64, 96, 3), mask, 32)
    with pytest.raises(ValueError, match="boxes are for 2 pictures but there are 1"):
        crop_faces(image, mask, 32, boxes=[[], []])
    for boxes in ([[(1, 1, 0, 5)]], [(1.0, 1.0, 5.0, 5.0)], [[(1, 1, 5)]]):
        with pytest.raises(ValueError, match="expected, for each picture, a list of"):
            crop_faces(image, mask, 32, boxes=boxes)
    with pytest.raises(ValueError, match="size is 0"):
        crop_faces(image, mask, 0)
    with pytest.raises(ValueError, match="context is -1"):
        crop_faces(image, mask, 32, -1)
    with pytest.raises(ValueError, match="Repeat the picture before Crop Faces instead"):
        paste_faces(images.expand(2, -1, -1, -1), crops, image)
    two = crop_faces(image, mask, 32, boxes=[[(10, 10, 9, 9), (40, 40, 9, 9)]])[2]
    with pytest.raises(ValueError, match="images has 3 pictures but 2 crops were taken"):
        paste_faces(images.expand(3, -1, -1, -1), two, image)
    with pytest.raises(ValueError, match="1 of 70 x 64 px but the crops were taken from 1 of 64"):
        paste_faces(images, crops, torch.rand(1, 64, 70, 3))
    with pytest.raises(ValueError, match="images is 32 x 50 px but should be 32 x 32"):
        paste_faces(torch.rand(1, 50, 32, 3), crops, image)
    with pytest.raises(ValueError, match="images holds NaN"):
        paste_faces(images * float("nan"), crops, image)


def test_a_crop_grows_where_its_part_of_the_mask_reaches_out_of_it():
    image, mask = torch.rand(1, 128, 128, 3), torch.zeros(1, 128, 128)
    mask[0, 4:100, 40:90] = 1  # hair down to the shoulders
    face = (50, 30, 24, 30)
    _, _, crops = crop_faces(image, mask, 64, context=0.8, boxes=[[face]])
    box = crops.boxes[0]
    assert box.top <= 4 and box.top + box.side >= 100
    assert box.left <= 40 and box.left + box.side >= 90
    edited = torch.zeros(1, 64, 64, 3)
    changed = (paste_faces(edited, crops, image) != image).any(dim=-1)
    assert changed[mask > 0].all()
    mask[:] = 0
    mask[0, 30:60, 50:74] = 1
    small = crop_faces(image, mask, 64, context=0.8, boxes=[[face]])[2].boxes[0]
    assert small.side == 54

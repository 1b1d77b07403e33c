import time

import cv2
import numpy as np
import pytest
import torch
from visage.techniques.soft_mask import soften, soften_faces


def blobs(generator, height, width):
    """A binary mask [1, H, W] of a few random rectangles, some of them at the border."""
    mask = torch.zeros(1, height, width)
    for _ in range(3):
        top, left = (int(torch.randint(0, n, (), generator=generator)) for n in (height, width))
        mask[:, top : top + height // 4 + 1, left : left + width // 4 + 1] = 1
    return mask


def disc(radius):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (x**2 + y**2 <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5, 1, 1.7, 3, 8, 21.3, 64, 150])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 9), (2, 3), (17, 40), (64, 64), (131, 77), (300, 200)]
)
def test_equals_opencvs_gaussian_blur_also_where_the_kernel_is_larger_than_the_picture(size, sigma):
    mask = torch.rand(2, *size, generator=torch.Generator().manual_seed(size[0] + size[1]))
    for soft, hard in zip(soften(mask, sigma), mask, strict=True):
        expected = cv2.GaussianBlur(hard.numpy(), (0, 0), sigma).reshape(size)
        assert np.abs(soft.numpy() - expected).max() < 1e-5


def test_is_exactly_zero_beyond_the_kernel_and_positive_within():
    mask = torch.zeros(1, 200, 200)
    mask[0, 100, 100] = 1
    soft = soften(mask, 5)[0]
    assert soft[100, 80:121].min() > 0 and soft[80:121, 100].min() > 0
    soft[80:121, 80:121] = 0
    assert torch.equal(soft, torch.zeros(200, 200))


def test_sigma_zero_changes_nothing():
    mask = torch.rand(2, 9, 12)
    assert torch.equal(soften(mask, 0), mask)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("grow", [-5, 0, 5])
def test_empty_and_full_masks_stay_so(value, grow):
    mask = torch.full((1, 33, 47), value)
    assert torch.allclose(soften(mask, 6, grow), mask, atol=1e-6)


def test_the_range_is_kept():
    soft = soften(torch.ones(1, 50, 60), 13)
    assert soft.max() <= 1


@pytest.mark.parametrize("grow", [1, 2, 3, 7, 12, 40])
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (31, 52), (90, 64)])
def test_growing_is_grayscale_dilation_by_a_disc_and_shrinking_is_erosion(size, grow):
    mask = torch.rand(1, *size, generator=torch.Generator().manual_seed(grow)) ** 4
    grown, shrunk = soften(mask, 0, grow)[0].numpy(), soften(mask, 0, -grow)[0].numpy()
    assert np.array_equal(grown, cv2.dilate(mask[0].numpy(), disc(grow)).reshape(size))
    assert np.array_equal(shrunk, cv2.erode(mask[0].numpy(), disc(grow)).reshape(size))


def test_growing_a_binary_mask_reaches_exactly_the_given_distance():
    generator = torch.Generator().manual_seed(5)
    for grow in (1, 4, 15, 60, 200):
        mask = blobs(generator, 150, 190)
        distance = cv2.distanceTransform(
            (mask[0].numpy() == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        assert np.array_equal(soften(mask, 0, grow)[0].numpy(), distance <= grow + 1e-3)


def test_a_face_at_the_border_does_not_shrink_from_there():
    mask = torch.zeros(1, 40, 40)
    mask[:, :20] = 1
    shrunk = soften(mask, 0, -6)[0]
    assert shrunk[:14].min() == 1 and shrunk[14:].max() == 0


def test_growing_by_200_pixels_is_quick():
    mask = torch.rand(1, 1000, 1000, generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    soften(mask, 0, 200)
    assert (
        time.perf_counter() - start < 30
    )  # under 1 s on an idle core; a disc of taps takes minutes


def test_the_callers_mask_is_left_alone():
    mask = torch.rand(1, 20, 20)
    before = mask.clone()
    soften(mask, 2, 3)
    assert torch.equal(mask, before)


def test_each_mask_of_a_batch_is_softened_by_itself():
    masks = torch.stack([blobs(torch.Generator().manual_seed(k), 40, 50)[0] for k in range(3)])
    together = soften(masks, 3, 4)
    for k in range(3):
        assert torch.allclose(together[k], soften(masks[k], 3, 4)[0], atol=1e-6)


@pytest.mark.parametrize("sigma", [-1, float("nan"), float("inf")])
def test_a_sigma_that_is_no_length_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma is"):
        soften(torch.zeros(1, 4, 4), sigma)


def face(size, height, width, x, y):
    """A mask with one square face, and its box."""
    mask = torch.zeros(1, height, width)
    mask[:, y : y + size, x : x + size] = 1
    return mask, [[(float(x), float(y), float(size), float(size))]]


@pytest.mark.parametrize("with_box", [True, False])
@pytest.mark.parametrize("scale", [1, 4])
def test_a_face_is_softened_by_its_own_size(scale, with_box):
    mask, boxes = face(50 * scale, 120 * scale, 160 * scale, 40 * scale, 30 * scale)
    soft = soften_faces(mask, 8, 4, boxes if with_box else None)
    assert torch.allclose(soft, soften(mask, 4.0 * scale, 2 * scale), atol=1e-6)


def test_every_face_of_a_group_has_its_own_softness():
    large, (large_box,) = face(120, 300, 400, 20, 100)
    small, (small_box,) = face(30, 300, 400, 320, 40)
    soft = soften_faces(large + small, 8, 0, [large_box + small_box])
    expected = torch.maximum(soften(large, 9.6), soften(small, 2.4))
    assert torch.allclose(soft, expected, atol=1e-6)


def test_parts_of_no_face_are_softened_too():
    mask, boxes = face(40, 200, 200, 20, 20)
    speck, _ = face(4, 200, 200, 150, 150)
    soft = soften_faces(mask + speck, 10, 0, boxes)
    assert torch.allclose(soft, torch.maximum(soften(mask, 4), soften(speck, 4)), atol=1e-6)


def test_an_empty_mask_stays_empty_by_faces():
    empty = torch.zeros(2, 30, 40)
    assert not soften_faces(empty, 10, 5).any()
    assert not soften_faces(empty, 10, 5, [[], []]).any()

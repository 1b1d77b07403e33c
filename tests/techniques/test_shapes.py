import pytest
import torch
from visage.techniques.shapes import (
    as_image,
    as_mask,
    fit_mask,
    match_batch,
    split_alpha,
    trim_padding,
)


def test_a_picture_gets_a_batch_dimension():
    assert as_image(torch.rand(5, 7, 3)).shape == (1, 5, 7, 3)


def test_a_colour_batch_passes_through_untouched():
    image = torch.rand(2, 5, 7, 3)
    assert torch.equal(as_image(image), image)


def test_gray_is_repeated_to_rgb():
    gray = torch.rand(2, 5, 7, 1)
    image = as_image(gray)
    assert image.shape == (2, 5, 7, 3)
    assert all(torch.equal(image[..., [c]], gray) for c in range(3))


def test_half_precision_is_widened():
    assert as_image(torch.rand(1, 4, 4, 3).half()).dtype == torch.float32
    assert as_mask(torch.rand(1, 4, 4).half()).dtype == torch.float32


@pytest.mark.parametrize("shape", [(7, 3), (1, 1, 5, 7, 3), (1, 3, 5, 7), (5, 7, 2), (5, 7, 5)])
def test_another_rank_or_channel_count_is_refused_by_name_and_shape(shape):
    with pytest.raises(ValueError, match=r"portrait has shape \[.*channels"):
        as_image(torch.rand(*shape), "portrait")


@pytest.mark.parametrize("shape", [(0, 5, 7, 3), (1, 0, 7, 3), (1, 5, 0, 3)])
def test_an_empty_picture_is_refused(shape):
    with pytest.raises(ValueError, match="empty"):
        as_image(torch.zeros(shape))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused(value):
    image, mask = torch.rand(1, 5, 7, 3), torch.rand(1, 5, 7)
    image[0, 2, 3, 1] = mask[0, 4, 6] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        as_image(image)
    with pytest.raises(ValueError, match="NaN or infinite"):
        as_mask(mask)


def test_eight_bit_values_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="Divide 8-bit pictures by 255"):
        as_image(torch.zeros(4, 4, 3, dtype=torch.uint8))
    with pytest.raises(ValueError, match="floating point"):
        as_mask(torch.zeros(4, 4, dtype=torch.uint8))


def test_something_that_is_no_tensor_is_refused():
    with pytest.raises(ValueError, match="original is NoneType"):
        as_image(None, "original")


def test_alpha_is_split_off():
    image = torch.rand(2, 5, 7, 4)
    rgb, alpha = split_alpha(image)
    assert torch.equal(torch.cat([rgb, alpha], -1), image)
    assert split_alpha(rgb)[1] is None


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (1, 1, 5, 7)])
def test_every_usual_mask_shape_becomes_a_batch(shape):
    assert as_mask(torch.rand(shape)).shape == (1, 5, 7)


def test_a_mask_is_clamped_and_the_callers_is_left_alone():
    mask = torch.tensor([[-1.0, 0.25, 2.0]])
    before = mask.clone()
    assert as_mask(mask).tolist() == [[[0.0, 0.25, 1.0]]]
    assert torch.equal(mask, before)


def test_a_bool_mask_is_taken():
    assert as_mask(torch.tensor([[True, False]])).tolist() == [[[1.0, 0.0]]]


@pytest.mark.parametrize("shape", [(7,), (1, 3, 5, 7), (1, 5, 7, 1, 1)])
def test_another_mask_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"matte has shape \["):
        as_mask(torch.rand(shape), "matte")


def test_a_batch_of_one_follows_the_other():
    one, three = torch.rand(1, 4, 4), torch.rand(3, 4, 4, 3)
    first, second = match_batch(one, three, "mask", "image")
    assert first.shape == (3, 4, 4) and torch.equal(second, three)
    first, second = match_batch(three, one, "image", "mask")
    assert torch.equal(second[2], one[0])


def test_batches_that_do_not_match_are_refused_by_both_names():
    with pytest.raises(ValueError, match="mask has 2 pictures and image has 3"):
        match_batch(torch.rand(2, 4, 4), torch.rand(3, 4, 4, 3), "mask", "image")


def test_a_mask_of_the_right_size_is_returned_as_it_is():
    mask = torch.rand(1, 5, 7)
    assert fit_mask(mask, 5, 7) is mask


@pytest.mark.parametrize("size", [(8, 12), (128, 192), (45, 67)])
def test_a_mask_of_the_same_aspect_ratio_is_resized_within_its_range(size):
    mask = torch.zeros(2, 64, 96)
    mask[:, :, :48] = 1
    resized = fit_mask(mask, *size)
    assert resized.shape == (2, *size)
    assert 0 <= resized.min() and resized.max() <= 1
    assert resized.mean() == pytest.approx(0.5, abs=0.02)


def test_shrinking_a_mask_is_antialiased():
    stripes = (torch.arange(64) % 4 == 0).float().expand(1, 64, 64)
    assert fit_mask(stripes, 8, 8)[:, 1:-1, 1:-1] == pytest.approx(0.25, abs=0.05)


def test_a_mask_of_another_aspect_ratio_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match="96 x 64 px but the picture is 64 x 64 px"):
        fit_mask(torch.rand(1, 64, 96), 64, 64)


@pytest.mark.parametrize("size", [(64, 64), (320, 512), (1, 1)])
def test_masks_of_a_single_value_fit_a_picture_of_any_shape(size):
    """Load Image gives 64 x 64 zeros where no mask was painted, Solid Mask what is set there."""
    values = torch.tensor([0.0, 0.3, 1.0]).view(3, 1, 1)
    fitted = fit_mask(values.expand(3, *size), 32, 48)
    assert torch.equal(fitted, values.expand(3, 32, 48))


def test_a_single_other_value_gives_a_mask_its_shape():
    mask = torch.ones(2, 64, 64)
    mask[1, -1, -1] = 0.9
    with pytest.raises(ValueError, match="64 x 64 px"):
        fit_mask(mask, 320, 512)


@pytest.mark.parametrize("extra", [(0, 0), (7, 0), (3, 7)])
def test_padding_of_the_latent_is_cut_off_at_the_right_and_bottom(extra):
    image = torch.rand(1, 9 + extra[0], 13 + extra[1], 3)
    assert torch.equal(trim_padding(image, 9, 13), image[:, :9, :13])


@pytest.mark.parametrize("size", [(8, 13), (9, 12), (17, 13), (9, 21)])
def test_what_is_no_padding_is_refused_with_both_sizes(size):
    with pytest.raises(ValueError, match=f"edit is {size[1]} x {size[0]} px but should be 13 x 9"):
        trim_padding(torch.rand(1, *size, 3), 9, 13, "edit")

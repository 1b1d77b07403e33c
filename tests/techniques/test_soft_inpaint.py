"""What the 9-channel UNet is shown: the soft mask and the greyed picture, at latent size."""

import pytest
import torch
import torch.nn.functional as F
from visage.diffusion.latent import to_latent_size
from visage.techniques.soft_inpaint import inpaint_condition


def encode(image):
    """A stand-in for a VAE: each latent cell is its pixels' mean, with a fourth channel."""
    cells = F.avg_pool2d(image.movedim(-1, 1), 8)
    return torch.cat((cells, cells[:, :1]), dim=1)


@pytest.fixture
def picture():
    return torch.rand(1, 32, 48, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def ramp():
    """A mask that rises from 0 at the left to 1 at the right, [1, 32, 48]."""
    return torch.linspace(0, 1, 48).expand(1, 32, 48)


def test_the_five_channels(picture, ramp):
    condition = inpaint_condition(picture, ramp, encode, 0.5)
    masked = (picture - 0.5) * (1 - ramp).unsqueeze(-1) + 0.5
    assert torch.allclose(condition.concat[:, 0], ramp[:, 4::8, :].unfold(2, 8, 8).mean(-1))
    assert torch.equal(condition.concat[:, 1:], 0.5 * encode(masked))
    assert torch.equal(condition.latent, encode(picture))


def test_hard_rounds_the_mask_and_the_picture_behind_it(picture, ramp):
    condition = inpaint_condition(picture, ramp, encode, 1.0, soft=False)
    assert condition.concat[:, 0].unique().tolist() == [0.0, 1.0]
    left, right = condition.masked_latent[..., :3], condition.masked_latent[..., 3:]
    assert torch.equal(left, condition.latent[..., :3])
    assert (right == 0.5).all()


def test_hard_and_soft_agree_on_a_mask_of_whole_cells(picture):
    mask = torch.zeros(1, 32, 48)
    mask[:, 8:24, 16:40] = 1
    soft = inpaint_condition(picture, mask, encode, 1.0)
    hard = inpaint_condition(picture, mask, encode, 1.0, soft=False)
    assert torch.equal(soft.concat, hard.concat)


def test_an_empty_mask_shows_the_whole_picture(picture):
    condition = inpaint_condition(picture, torch.zeros(1, 32, 48), encode, 1.0)
    assert torch.allclose(condition.masked_latent, condition.latent, atol=1e-6)
    assert not condition.latent_mask.any()


def test_a_full_mask_shows_gray(picture):
    condition = inpaint_condition(picture, torch.ones(1, 32, 48), encode, 1.0)
    assert (condition.masked_latent == 0.5).all()
    assert (condition.latent_mask == 1).all()


def test_sides_that_are_no_multiples_of_8_are_continued(picture, ramp):
    condition = inpaint_condition(picture[:, :27, :45], ramp[:, :27, :45], encode, 1.0)
    assert condition.image.shape == (1, 32, 48, 3)
    assert condition.mask.shape == (1, 32, 48)
    assert torch.equal(condition.image[:, :27, :45], picture[:, :27, :45])
    last = picture[:, :27, 44:45].expand(-1, -1, 3, -1)
    assert torch.equal(condition.image[:, :27, 45:], last)
    assert condition.concat.shape == (1, 5, 4, 6)


def test_one_mask_serves_a_batch_and_alpha_is_left_aside(picture, ramp):
    pictures = torch.cat((picture.expand(3, -1, -1, -1), torch.ones(3, 32, 48, 1)), dim=-1)
    condition = inpaint_condition(pictures, ramp, encode, 1.0)
    alone = inpaint_condition(picture, ramp, encode, 1.0)
    assert condition.concat.shape == (3, 5, 4, 6)
    assert torch.allclose(condition.concat[2], alone.concat[0])


@pytest.mark.parametrize(
    ("mask_shape", "message"),
    [((1, 32, 32), r"32 x 32 px but the picture is 48 x 32"), ((2, 32, 48), "3 pictures and mask")],
)
def test_masks_that_do_not_fit_are_refused(picture, mask_shape, message):
    with pytest.raises(ValueError, match=message):
        inpaint_condition(picture.expand(3, -1, -1, -1), torch.rand(mask_shape), encode, 1.0)


def test_latent_mask_values(ramp):
    assert len(to_latent_size(ramp).unique()) == 6
    assert to_latent_size(ramp, soft=False).unique().tolist() == [0.0, 1.0]

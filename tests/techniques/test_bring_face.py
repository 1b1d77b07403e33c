import math

import pytest
import torch
from visage.techniques.bring_face import HEAD, bring_face, face_scale, head_angles, swap_face

FRONT = torch.tensor([[44.0, 50.0], [76.0, 50.0], [60.0, 66.0], [48.0, 83.0], [72.0, 83.0]])


def turned(yaw=0.0, pitch=0.0, tilt=0.0, scale=1.0):
    """The landmarks of HEAD, turned by angles in degrees, as a distant camera sees them."""
    y, p, t = (math.radians(angle) for angle in (yaw, pitch, tilt))
    about_y = torch.tensor(
        [[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]]
    )
    about_x = torch.tensor(
        [[1, 0, 0], [0, math.cos(p), math.sin(p)], [0, -math.sin(p), math.cos(p)]]
    )
    about_z = torch.tensor(
        [[math.cos(t), -math.sin(t), 0], [math.sin(t), math.cos(t), 0], [0, 0, 1]]
    )
    return scale * (HEAD @ (about_z @ about_x @ about_y).T)[:, :2] + 200


def face(colour, landmarks, size=(120, 120)):
    """A disc of one colour with a dark dot at each landmark, and its mask."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    centre, scale = landmarks.mean(0), face_scale(landmarks)
    mask = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < (1.3 * scale) ** 2).float()
    picture = torch.full((*size, 3), 0.5)
    picture[mask == 1] = torch.tensor(colour)
    for px, py in landmarks:
        picture[(x - px) ** 2 + (y - py) ** 2 < (0.12 * scale) ** 2] = 0.02
    return picture, mask


@pytest.mark.parametrize("yaw", [-40, -10, 0, 25])
@pytest.mark.parametrize("pitch", [-20, 0, 15])
@pytest.mark.parametrize("tilt", [0, 30])
def test_the_angles_of_a_head_are_found_whatever_its_size_and_tilt(yaw, pitch, tilt):
    found = head_angles(turned(yaw, pitch, tilt, scale=0.4))
    assert found == pytest.approx((yaw, pitch), abs=8)


def test_the_landmarks_of_the_reference_come_to_those_of_the_target():
    """The reference is twice as large, elsewhere, and its mouth lies lower."""
    other = FRONT * 2 + torch.tensor([30.0, -20.0])
    other[3:, 1] += 14
    target, mask = face((0.8, 0.6, 0.5), FRONT)
    reference, other_mask = face((0.8, 0.6, 0.5), other, (260, 260))
    empty, _ = face((0.8, 0.6, 0.5), FRONT - 1000)
    empty[mask == 1] = torch.tensor((0.8, 0.6, 0.5))
    brought = bring_face(empty, FRONT, mask, reference, other, other_mask, "linear", light=0)
    for x, y in FRONT.round().long().tolist():
        assert brought.image[y, x].max() < 0.25
    assert torch.allclose(brought.image[35, 60], torch.tensor([0.8, 0.6, 0.5]), atol=0.02)


@pytest.mark.parametrize("mode", ["linear", "laplacian", "poisson"])
def test_nothing_outside_the_targets_face_changes_by_a_bit(mode):
    target, mask = face((0.8, 0.6, 0.5), FRONT)
    target += 0.01 * torch.rand(target.shape, generator=torch.Generator().manual_seed(0))
    mask[:, :50] = 0  # hair, say, hangs over the left half
    reference, other_mask = face((0.4, 0.3, 0.2), FRONT)
    brought = bring_face(target, FRONT, mask, reference, FRONT, other_mask, mode)
    assert torch.equal(brought.image[mask == 0], target[mask == 0])
    assert not torch.equal(brought.image[mask == 1], target[mask == 1])
    assert brought.matte.max() > 0.95 and brought.matte[mask == 0].max() == 0


def test_the_face_takes_the_targets_colours():
    target, mask = face((0.85, 0.65, 0.55), FRONT)
    reference, other_mask = face((0.35, 0.25, 0.2), FRONT)
    lit, unlit = (
        bring_face(target, FRONT, mask, reference, FRONT, other_mask, "linear", light).image[30, 60]
        for light in (1.0, 0.0)
    )
    assert (lit - target[30, 60]).abs().max() < 0.05
    assert (unlit - target[30, 60]).abs().max() > 0.2


def test_heads_that_look_elsewhere_are_refused_by_their_angle():
    target, mask = face((0.8, 0.6, 0.5), FRONT)
    aside = turned(yaw=45) - 140
    reference, other_mask = face((0.8, 0.6, 0.5), aside)
    with pytest.raises(ValueError, match=r"turned by \+4\d degrees sideways .* 30 are allowed"):
        bring_face(target, FRONT, mask, reference, aside, other_mask)


def test_masks_that_do_not_meet_are_refused():
    target, mask = face((0.8, 0.6, 0.5), FRONT)
    with pytest.raises(ValueError, match="hardly meet"):
        bring_face(target, FRONT, mask, target, FRONT, torch.zeros_like(mask))


def test_an_unknown_mode_is_refused():
    target, mask = face((0.8, 0.6, 0.5), FRONT)
    with pytest.raises(ValueError, match="must be one of linear"):
        bring_face(target, FRONT, mask, target, FRONT, mask, "glue")


class Painter:
    """A network that paints the right half of every face blue, for a person of that colour."""

    def swap(self, face, person):
        painted = face.clone()
        painted[:, face.shape[1] // 2 :] = person
        return painted


TEMPLATE = torch.tensor([[46.0, 52.0], [82.0, 52.0], [64.0, 70.0], [50.0, 92.0], [79.0, 92.0]])


def swapped(target, mask, light=0.0, landmarks=FRONT):
    blue = torch.tensor([0.1, 0.2, 0.9])
    return swap_face(target, landmarks, mask, Painter(), blue, TEMPLATE, 128, "linear", light).image


def test_what_a_network_paints_comes_back_to_its_place_in_the_picture():
    target, mask = face((0.8, 0.6, 0.5), FRONT)
    image = swapped(target, mask)
    assert torch.allclose(image[58, 72], torch.tensor([0.1, 0.2, 0.9]), atol=0.02)
    assert torch.allclose(image[58, 48], target[58, 48], atol=0.02)


def test_a_networks_face_changes_nothing_outside_the_mask_and_takes_the_light():
    target, mask = face((0.8, 0.6, 0.5), FRONT)
    mask[:, 70:] = 0  # a hand, say, before the right half
    image = swapped(target, mask, light=1.0)
    assert torch.equal(image[mask == 0], target[mask == 0])
    assert (image[mask == 1] - target[mask == 1]).abs().max() > 0.01


def test_a_turned_face_is_given_upright_to_the_network():
    """Lying on its side: the right half of the face is the lower half of the picture."""
    middle = FRONT.mean(0)
    away = FRONT - middle
    lying = middle + torch.stack([-away[:, 1], away[:, 0]], 1)
    target, mask = face((0.8, 0.6, 0.5), lying)
    image = swapped(target, mask, landmarks=lying)
    x, y = middle.round().long().tolist()
    assert image[y + 12, x, 2] > 0.8 > 0.6 > image[y - 12, x, 2]

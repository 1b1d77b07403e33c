"""A face from another picture: warped onto the target's landmarks, in its light, blended in.

No model paints here. The reference is drawn through a thin-plate spline that carries its landmarks
onto the target's (Bookstein, "Principal Warps", PAMI 1989); its colours take the target's mean and
spread in L*a*b* (Reinhard et al., 2001) and its lightness the target's shading, which is what a
wide blur leaves of it; the target's own face is the matte, so hair and glasses before it stay
before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from scipy.interpolate import RBFInterpolator
from torch import Tensor

from ..models.face_embedder import similarity, warp_face
from ..models.user_input import require_choice
from .hole_fill import fill_smooth
from .lab import lab_to_rgb, rgb_to_lab, weighted_moments
from .pixel_blend import BLENDS, GAIN_LIMITS, RESHAPING
from .soft_mask import soften

# Eyes, tip of the nose and corners of the mouth of a head that looks at the viewer, in millimetres:
# x to the viewer's right, y down, z towards the viewer.
HEAD = torch.tensor(
    [
        [-32.0, -33.0, 0.0],
        [32.0, -33.0, 0.0],
        [0.0, 0.0, 26.0],
        [-25.0, 32.0, 4.0],
        [25.0, 32.0, 4.0],
    ]
)
MAX_ANGLE = 30.0
"""The largest difference in degrees between the directions of two heads at which the result looks
right.
"""
# Relative to the distance from the eyes to the mouth: width of the matte's edge, and of shading.
EDGE, SHADING = 0.12, 0.5
# Beyond the landmarks the spline follows the similarity through points on this circle.
ANCHORS, ANCHOR_RADIUS = 12, 3.5
GRID_STEP = 8
# The fraction of the target's face that the reference's must cover.
MIN_OVERLAP = 0.3


@dataclass(frozen=True)
class Brought:
    """A target with the face in it.

    image: [H, W, 3]. matte: [H, W], how much of the face each pixel got. angles: difference (yaw,
    pitch) in degrees between the reference's head and the target's.
    """

    image: Tensor
    matte: Tensor
    angles: tuple[float, float]


def bring_face(
    target: Tensor,
    target_landmarks: Tensor,
    target_mask: Tensor,
    reference: Tensor,
    reference_landmarks: Tensor,
    reference_mask: Tensor,
    mode: str = "laplacian",
    light: float = 1.0,
    max_angle: float = MAX_ANGLE,
) -> Brought:
    """Put the face of `reference` [h, w, 3] over the one in `target` [H, W, 3].

    landmarks: [5, 2] each, as `FoundFace` has them. masks: [H, W] and [h, w], the face's own parts.
    mode: one of `pixel_blend.RESHAPING`. light: how far the face takes the target's colours and
    shading, 0..1.

    Raises ValueError if the directions of the heads differ by more than `max_angle` degrees, if the
    masks of the two faces do not overlap, and for an unknown mode.
    """
    require_choice("mode", mode, RESHAPING)
    angles = _turned(target_landmarks, reference_landmarks)
    if max(map(abs, angles)) > max_angle:
        raise ValueError(
            f"The reference's head is turned by {angles[0]:+.0f} degrees sideways and "
            f"{angles[1]:+.0f} up or down against the target's, and {max_angle:.0f} are allowed. "
            "Choose a reference that looks the same way, or raise max_angle."
        )
    scale = face_scale(target_landmarks)
    lookup = _spline_lookup(target.shape[:2], target_landmarks, reference_landmarks)
    seen = _sample(reference_mask.unsqueeze(-1), lookup).squeeze(-1)
    if (target_mask * seen).sum() < MIN_OVERLAP * target_mask.sum().clamp_min(1):
        raise ValueError(
            "The masks of the two faces hardly meet: nothing of the reference would be seen. Look "
            "at both with Face Mask."
        )
    # Beyond the reference's face, under its hair say, its skin goes on: no brow shows twice.
    skin = fill_smooth(reference.unsqueeze(0), (reference_mask > 0.5).float().unsqueeze(0))[0]
    return _placed(target, _sample(skin, lookup), target_mask, scale, mode, light, angles)


class Swaps(Protocol):
    """A network that gives an aligned face [S, S, 3] the identity of a vector [D]."""

    def swap(self, face: Tensor, person: Tensor) -> Tensor:
        """Return the face [S, S, 3] in 0..1."""
        ...


def swap_face(
    target: Tensor,
    landmarks: Tensor,
    target_mask: Tensor,
    swapper: Swaps,
    person: Tensor,
    template: Tensor,
    size: int,
    mode: str = "laplacian",
    light: float = 1.0,
) -> Brought:
    """Let a network give the face in `target` [H, W, 3] another identity, and place what it gives.

    person: [D], as the network expects it. template: [5, 2], where it expects the landmarks in its
    square of `size` pixels. The rest is as for `bring_face`; the pose is the target's own.
    """
    require_choice("mode", mode, BLENDS)
    onto = similarity(landmarks.cpu().unsqueeze(0), template)[0]
    swapped = swapper.swap(warp_face(target, onto, size)[0], person)
    height, width = target.shape[:2]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    lookup = (torch.stack([x, y], -1).double() @ onto[:, :2].T + onto[:, 2]).float()
    inside = ((lookup >= 0) & (lookup <= size - 1)).all(-1)
    face = _sample(swapped, lookup)
    mask = target_mask * inside
    return _placed(target, face, mask, face_scale(landmarks), mode, light, (0.0, 0.0))


def _placed(
    target: Tensor,
    face: Tensor,
    target_mask: Tensor,
    scale: float,
    mode: str,
    light: float,
    angles: tuple[float, float],
) -> Brought:
    """`face` [H, W, 3], which lies where it belongs, in the target's light and blended in."""
    matte = _matte(target_mask, scale)
    lit = _in_the_light_of(target, face, matte, scale)
    face = torch.lerp(face, lit, light)
    image = torch.where(matte.unsqueeze(-1) > 0, BLENDS[mode](face, target, matte), target)
    return Brought(image.clamp(0, 1), matte, angles)


def face_scale(landmarks: Tensor) -> float:
    """Return the distance in pixels from the middle of the eyes to that of the mouth."""
    return float((landmarks[:2].mean(0) - landmarks[3:5].mean(0)).norm())


def head_angles(landmarks: Tensor) -> tuple[float, float]:
    """Return (yaw, pitch) in degrees of the head with landmarks [5, 2]; 0 looks at the viewer.

    Yaw is positive where the nose points to the viewer's right, pitch where it points down. The
    head is HEAD under a scaled orthographic camera, fitted by least squares.
    """
    points = HEAD - HEAD.mean(0)
    seen = landmarks.float() - landmarks.float().mean(0)
    camera = torch.linalg.lstsq(points, seen).solution.T
    across, down = camera[0] / camera[0].norm(), camera[1] / camera[1].norm()
    # Head tilt is no turn: rotate the camera until the eyes are level.
    tilt = torch.atan2(camera[1, 0], camera[0, 0])
    level = torch.stack([across, down])
    turn = torch.stack(
        [
            torch.cos(tilt) * level[0] + torch.sin(tilt) * level[1],
            -torch.sin(tilt) * level[0] + torch.cos(tilt) * level[1],
        ]
    )
    yaw, pitch = (torch.asin(turn[axis, 2].clamp(-1, 1)) for axis in (0, 1))
    return float(torch.rad2deg(yaw)), float(torch.rad2deg(pitch))


def _turned(target: Tensor, reference: Tensor) -> tuple[float, float]:
    yaw, pitch = head_angles(target)
    other_yaw, other_pitch = head_angles(reference)
    return other_yaw - yaw, other_pitch - pitch


def _spline_lookup(size: Sequence[int], target: Tensor, reference: Tensor) -> Tensor:
    """Where each pixel of the target is in the reference: [H, W, 2] as (x, y) in pixels."""
    target, reference = target.double(), reference.double()
    centre, radius = target.mean(0), ANCHOR_RADIUS * face_scale(target)
    turns = torch.arange(ANCHORS) * (2 * torch.pi / ANCHORS)
    anchors = centre + radius * torch.stack([turns.cos(), turns.sin()], dim=1)
    moved = similarity(target[None], reference)[0]
    spline = RBFInterpolator(
        torch.cat([target, anchors]).numpy(),
        torch.cat([reference, anchors @ moved[:, :2].T + moved[:, 2]]).numpy(),
        kernel="thin_plate_spline",
        degree=1,
    )
    height, width = size
    rows, columns = (torch.arange(0, side + GRID_STEP, GRID_STEP) for side in (height, width))
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    coarse = torch.from_numpy(spline(grid.reshape(-1, 2).double().numpy())).float()
    coarse = coarse.reshape(len(rows), len(columns), 2).permute(2, 0, 1).unsqueeze(0)
    fine = ((len(rows) - 1) * GRID_STEP + 1, (len(columns) - 1) * GRID_STEP + 1)
    dense = F.interpolate(coarse, fine, mode="bilinear", align_corners=True)
    return dense[0, :, :height, :width].permute(1, 2, 0)


def _sample(picture: Tensor, lookup: Tensor) -> Tensor:
    """`picture` [h, w, C] at the places of `lookup` [H, W, 2]; smoothed where it shrinks."""
    height, width = picture.shape[:2]
    step = (lookup[1:, :-1] - lookup[:-1, :-1]).norm(dim=-1).median().item()
    channels = picture.movedim(-1, 0).unsqueeze(0)
    if step > 1.5:
        size = (max(1, round(height / step)), max(1, round(width / step)))
        channels = F.interpolate(channels, size, mode="bilinear", antialias=True)
    # To -1..1 over the borders of the picture.
    places = (2 * lookup + 1) / torch.tensor([width, height]) - 1
    sampled = F.grid_sample(channels, places.unsqueeze(0), "bilinear", "zeros", align_corners=False)
    return sampled[0].movedim(0, -1)


def _matte(mask: Tensor, scale: float) -> Tensor:
    """The target's face, fading inwards over EDGE so that nothing outside it is touched."""
    face = (mask > 0.5).float().unsqueeze(0)
    sigma = EDGE * scale / 2
    return soften(face, sigma, -round(2 * sigma))[0] * face[0]


def _in_the_light_of(target: Tensor, face: Tensor, matte: Tensor, scale: float) -> Tensor:
    """`face` with the target's colours and shading, both seen under the matte."""
    lab, wanted = rgb_to_lab(face), rgb_to_lab(target)
    weight = matte.unsqueeze(-1)
    mean, spread = weighted_moments(lab, weight)
    wanted_mean, wanted_spread = weighted_moments(wanted, weight)
    gain = (wanted_spread / spread.clamp_min(1e-3)).clamp(*GAIN_LIMITS)
    lab = (lab - mean) * gain + wanted_mean
    shading = _shading(wanted[..., 0], matte, scale) - _shading(lab[..., 0], matte, scale)
    lab = torch.cat([lab[..., :1] + shading.unsqueeze(-1), lab[..., 1:]], dim=-1)
    return lab_to_rgb(lab)


def _shading(lightness: Tensor, matte: Tensor, scale: float) -> Tensor:
    """The wide blur of what lies under the matte."""
    sigma = SHADING * scale
    blurred = soften(torch.stack([lightness * matte / 100, matte]).clamp(0, 1), sigma)
    return 100 * blurred[0] / blurred[1].clamp_min(1e-4)

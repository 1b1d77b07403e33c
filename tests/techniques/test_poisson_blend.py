import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve
from visage.techniques.poisson_blend import poisson_blend
from visage.techniques.soft_mask import soften


def direct(edited, original, matte):
    """The same equation, pixel by pixel, by a direct solver in double precision."""
    matte, difference = matte.numpy(), (edited - original).double().numpy()
    height, width = matte.shape
    number = np.cumsum(matte > 0).reshape(matte.shape) - 1
    count = int((matte > 0).sum())
    system, target = sparse.lil_matrix((count, count)), np.zeros((count, 3))
    for y, x in zip(*np.nonzero(matte), strict=True):
        p = number[y, x]
        for v, u in ((y, x + 1), (y, x - 1), (y + 1, x), (y - 1, x)):
            if 0 <= v < height and 0 <= u < width:
                system[p, p] += 1
                target[p] += max(matte[y, x], matte[v, u]) * (difference[y, x] - difference[v, u])
                if matte[v, u] > 0:
                    system[p, number[v, u]] -= 1
    result = original.double().numpy().copy()
    result[matte > 0] += spsolve(system.tocsc(), target).reshape(count, 3)
    return torch.from_numpy(result)


def two_pictures(height, width, seed):
    return torch.rand(2, height, width, 3, generator=torch.Generator().manual_seed(seed)).unbind()


def matte_of_kind(kind, height, width):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    disc = ((x - 0.6 * width) ** 2 + (y - 0.4 * height) ** 2 <= (0.45 * width) ** 2).float()
    if kind == "soft over the border":
        return soften(disc, 1)[0]
    if kind == "labyrinth":
        return ((x % 6 < 5) | ((y < 3) & (x // 6 % 2 == 0))).float()
    if kind == "noise":
        noise = torch.rand(height, width, generator=torch.Generator().manual_seed(1))
        return (noise - 0.4).clamp(min=0)
    one_known = torch.ones(height, width)
    one_known[3, 4] = 0
    return {"hard over the border": disc, "all but one pixel": one_known}[kind]


@pytest.mark.parametrize(
    "kind",
    ["hard over the border", "soft over the border", "labyrinth", "noise", "all but one pixel"],
)
@pytest.mark.parametrize("size", [(21, 15), (47, 32)])
def test_equals_a_direct_solver_and_is_exact_outside(kind, size):
    edited, original = two_pictures(*size, seed=size[0])
    matte = matte_of_kind(kind, *size)
    blended = poisson_blend(edited, original, matte)
    assert (blended - direct(edited, original, matte)).abs().max() < 1e-3
    assert torch.equal(blended[matte == 0], original[matte == 0])


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 1), (2, 2), (5, 3)])
def test_tiny_pictures(size):
    edited, original = two_pictures(*size, seed=3)
    matte = torch.rand(*size, generator=torch.Generator().manual_seed(0)).round()
    blended = poisson_blend(edited, original, matte)
    assert blended.isfinite().all()
    assert torch.equal(blended[matte == 0], original[matte == 0])


def test_a_shift_of_colour_vanishes():
    edited, _ = two_pictures(60, 60, seed=0)
    original = edited + torch.tensor([0.2, -0.1, 0.0])
    matte = matte_of_kind("hard over the border", 60, 60)
    assert torch.allclose(poisson_blend(edited, original, matte), original, atol=1e-4)


def test_a_change_in_one_channel_leaves_the_others():
    edited, original = two_pictures(40, 40, seed=0)
    edited = torch.cat([edited[..., :1], original[..., 1:]], -1)
    blended = poisson_blend(edited, original, matte_of_kind("soft over the border", 40, 40))
    assert torch.equal(blended[..., 1:], original[..., 1:])
    assert blended.isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (31, 44)])
def test_a_full_matte_gives_the_edit(size):
    edited, original = two_pictures(*size, seed=0)
    assert torch.allclose(poisson_blend(edited, original, torch.ones(size)), edited, atol=1e-3)


def test_colours_are_finer_than_eight_bits():
    original = torch.full((64, 64, 3), 0.5)
    edited = original + 0.002 * torch.linspace(0, 12, 64).sin()[:, None, None]
    blended = poisson_blend(edited, original, matte_of_kind("hard over the border", 64, 64))
    assert len(blended[..., 0].unique()) > 500

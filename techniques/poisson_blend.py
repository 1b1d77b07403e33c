"""Blending of gradients: the edit's detail, continued from the original's colours.

Perez, Gangnet and Blake, "Poisson image editing", 2003, eq. 4 and 7. The equation is solved in
float and for any matte. OpenCV's seamlessClone is no choice here: it works in 8 bits (steps of
1/255 inside the matte), knows no soft matte and erodes the mask, in OpenCV 5 the caller's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Residual relative to the right-hand side; colours are then within 1e-4 of a direct solver's.
TOLERANCE = 1e-5
# About ten are needed, whatever the size and shape of the matte.
MAX_STEPS = 50
DAMPING = 0.8
COARSEST = 4


def poisson_blend(edited: Tensor, original: Tensor, matte: Tensor) -> Tensor:
    """Blends [H, W, 3] pictures by a matte [H, W] in 0..1; the original exactly where that is 0.

    The result has the edit's gradients as far as the matte goes and the original's elsewhere, and
    is the original where the matte M is 0. With d = edited - original and result = original + u
    that is, for each pixel p with M_p > 0 and its four neighbours q:

        sum_q (u_p - u_q) = sum_q max(M_p, M_q) (d_p - d_q),   u = 0 where M = 0.

    The picture's border is free. Where the matte is nowhere 0 the equations leave u's mean open; it
    is set so that the matte-weighted mean of the result is the edit's.
    """
    free = matte > 0
    difference = (edited - original).movedim(-1, 0)
    across = torch.maximum(matte[:, 1:], matte[:, :-1]) * difference.diff(dim=2)
    down = torch.maximum(matte[1:], matte[:-1]) * difference.diff(dim=1)
    outflow = F.pad(across, (1, 0)) - F.pad(across, (0, 1))
    outflow = outflow + F.pad(down, (0, 0, 1, 0)) - F.pad(down, (0, 0, 0, 1))
    # Outside the matte the solver gives 0 only to its tolerance.
    change = _solve(_free_grid(free), outflow * free) * free
    if free.all():
        missing = matte * (difference - change)
        change = change + missing.sum((1, 2), keepdim=True) / matte.sum()
    return original + change.movedim(0, -1)


@dataclass(frozen=True)
class _Grid:
    """The system A u = b on a grid, seen as a circuit of nodes [H, W].

    Conductances of the wires to the right neighbour [H, W - 1], to the lower one [H - 1, W] and
    to ground [H, W], where u is 0; and the total of all wires at a node.
    """

    across: Tensor
    down: Tensor
    ground: Tensor
    total: Tensor

    def apply(self, u: Tensor) -> Tensor:
        """A u [C, H, W]: the current out of each node."""
        current = self.total * u
        for wires, axis in ((self.across, 2), (self.down, 1)):
            count = wires.shape[axis - 1]
            for node, neighbour in ((0, 1), (1, 0)):
                current.narrow(axis, node, count).addcmul_(
                    wires, u.narrow(axis, neighbour, count), value=-1
                )
        return current


def _grid(across: Tensor, down: Tensor, ground: Tensor) -> _Grid:
    total = ground + _at_both_ends(across, down)
    # A node without wires stands alone; any total keeps it at 0.
    return _Grid(across, down, ground, torch.where(total > 0, total, 1))


def _at_both_ends(across: Tensor, down: Tensor) -> Tensor:
    """For each node the sum over its wires."""
    horizontal = F.pad(across, (1, 0)) + F.pad(across, (0, 1))
    return horizontal + F.pad(down, (0, 0, 1, 0)) + F.pad(down, (0, 0, 0, 1))


def _free_grid(free: Tensor) -> _Grid:
    """The Laplacian of the free nodes [H, W]; all others are ground."""
    free = free.float()
    across, down = free[:, 1:] * free[:, :-1], free[1:] * free[:-1]
    neighbours = _at_both_ends(torch.ones_like(across), torch.ones_like(down))
    return _grid(across, down, free * (neighbours - _at_both_ends(across, down)))


def _coarsen(grid: _Grid) -> _Grid:
    """Four nodes become one. Two wires side by side conduct twice as well and half as well at
    double the length: what joins two fours is added up and halved."""
    across = F.pad(grid.across[:, 1::2], (0, 0, 0, grid.across.shape[0] % 2))
    down = F.pad(grid.down[1::2], (0, grid.down.shape[1] % 2))
    return _grid(
        (across[::2] + across[1::2]) / 2,
        (down[:, ::2] + down[:, 1::2]) / 2,
        _sum_of_four(grid.ground) / 2,
    )


def _sum_of_four(values: Tensor) -> Tensor:
    """[..., H, W] summed over blocks of two by two."""
    padded = F.pad(values, (0, values.shape[-1] % 2, 0, values.shape[-2] % 2))
    rows = padded[..., ::2, :] + padded[..., 1::2, :]
    return rows[..., ::2] + rows[..., 1::2]


def _to_four(values: Tensor, height: int, width: int) -> Tensor:
    """Each value for its block of two by two: the transpose of _sum_of_four."""
    doubled = values.repeat_interleave(2, -1).repeat_interleave(2, -2)
    return doubled[..., :height, :width]


def _solve(grid: _Grid, target: Tensor) -> Tensor:
    """u with A u = target [C, H, W], by conjugate gradients, each step from a multigrid V-cycle."""
    grids = [grid]
    while max(grids[-1].ground.shape) > COARSEST:
        grids.append(_coarsen(grids[-1]))
    u, residual = torch.zeros_like(target), target
    direction, strength = torch.zeros_like(target), torch.ones_like(target[:, :1, :1])
    enough = TOLERANCE**2 * _dot(target, target)
    for _ in range(MAX_STEPS):
        if (_dot(residual, residual) <= enough).all():
            break
        step = _v_cycle(grids, residual)
        last, strength = strength, _dot(residual, step)
        direction = step + _ratio(strength, last) * direction
        current = grid.apply(direction)
        length = _ratio(strength, _dot(direction, current))
        u = u + length * direction
        residual = residual - length * current
    return u


def _v_cycle(grids: list[_Grid], residual: Tensor) -> Tensor:
    """Roughly A^-1 residual: damped Jacobi steps, with the rest left to the coarser grids."""
    grid, *coarser = grids
    damping = DAMPING / grid.total

    def smooth(u: Tensor, steps: int) -> Tensor:
        for _ in range(steps):
            u = u + damping * (residual - grid.apply(u))
        return u

    u = smooth(damping * residual, 1 if coarser else 4 * COARSEST)
    if not coarser:
        return u
    rest = _v_cycle(coarser, _sum_of_four(residual - grid.apply(u)))
    return smooth(u + _to_four(rest, *u.shape[1:]), 2)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The scalar product of each channel [C, 1, 1]."""
    return (a * b).sum((1, 2), keepdim=True)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 for a channel in which there is nothing left to solve."""
    return a / b.clamp(min=torch.finfo(b.dtype).tiny)

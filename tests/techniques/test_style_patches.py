"""All patches of style pictures, and which of them look like another picture's."""

import pytest
import torch
from visage.techniques.style_patches import PatchSearch, StylePatches, window


@pytest.fixture(scope="module")
def style():
    return torch.rand(1, 3, 20, 26, generator=torch.Generator().manual_seed(1))


def patches_of(style, **settings):
    search = PatchSearch(patch=5, samples=5000, axes=75, **settings)
    return StylePatches([style], [1.0], search, torch.Generator().manual_seed(0))


def test_looks_up_the_pixels_of_a_place(style):
    patches = patches_of(style)
    seen = patches.look(*(torch.tensor([value]) for value in (0, 3, 7)))
    assert torch.equal(seen.view(3, 5, 5), style[0, :, 3:8, 7:12])
    mirrored = patches.look(*(torch.tensor([value]) for value in (1, 3, 7)))
    assert torch.equal(mirrored.view(3, 5, 5), style.flip(3)[0, :, 3:8, 7:12])


def test_finds_each_patch_of_the_style_in_itself(style):
    patches = patches_of(style, coherence=0.0)
    wanted = patches.features(style, 1)
    used = torch.ones(wanted.shape[1:], dtype=torch.bool)
    source, row, column, distance = patches.nearest(wanted, 1, used)
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(22), indexing="ij")
    assert (source == 0).all()
    assert torch.equal(row, rows)
    assert torch.equal(column, columns)
    assert distance.max() < 1e-3


def test_a_neighbours_place_is_taken_even_if_the_sample_lacks_it(style):
    search = PatchSearch(patch=5, samples=40, axes=75, coherence=0.0)
    patches = StylePatches([style], [1.0], search, torch.Generator().manual_seed(0))
    wanted = patches.features(style, 1)
    used = torch.ones(wanted.shape[1:], dtype=torch.bool)
    *_, distance = patches.nearest(wanted, 1, used)
    sampled = torch.cdist(wanted.flatten(1).T, patches.sample).amin(1).square()
    assert distance.mean() < 0.7 * sampled.mean()


def test_coverage_uses_more_of_the_style():
    # Half of the style is flat grey, which every flat patch is nearest to.
    style = torch.full((1, 3, 24, 48), 0.5)
    style[..., 24:] += 0.2 * torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    flat = torch.full((1, 3, 24, 24), 0.55)
    flat += 0.02 * torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(3))

    def used_places(coverage):
        patches = patches_of(style, coverage=coverage, coherence=0.0)
        wanted = patches.features(flat, 1)
        used = torch.ones(wanted.shape[1:], dtype=torch.bool)
        source, row, column, _ = patches.nearest(wanted, 1, used)
        return len({*zip(source.flatten().tolist(), row.flatten().tolist(),
                         column.flatten().tolist(), strict=True)})  # fmt: skip

    assert used_places(1e-5) > used_places(10.0)


def test_weights_are_fractions_of_the_sample(style):
    other = torch.rand(1, 3, 60, 60)
    search = PatchSearch(patch=5, samples=400, axes=8)
    patches = StylePatches([other, other], [3.0, 1.0], search, torch.Generator().manual_seed(0))
    fraction = (patches.places[0] < 2).float().mean()
    assert fraction == pytest.approx(0.75, abs=0.02)


def test_the_window_has_its_top_in_the_middle():
    assert window(5, 1.0)[2, 2] == 1
    assert torch.equal(window(5, 1.0), window(5, 1.0).T)

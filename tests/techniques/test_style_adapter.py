"""Where and how much of a style picture is taken."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from visage.techniques.style_adapter import (
    SD15_BLOCKS,
    SDXL_BLOCKS,
    WEIGHT_TYPES,
    StyleAttention,
    block_weights,
    combine_tokens,
    parse_block_weights,
    visible_patches,
)

SIZE = (4, 6)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def attend(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def style(scales=(0.7, 0.5), region=None, negative_seed=20):
    shown = [(noise(1, 3, 8, seed=i), noise(1, 3, 8, seed=i + 10)) for i in range(2)]
    negative = [(noise(1, 5, 8, seed=i), noise(1, 5, 8, seed=i + 10)) for i in (20, 21)]
    return StyleAttention(shown, negative, scales, region)


def add(attention, roles=(0,), batch=1, layer=0):
    query, output = noise(len(roles) * batch, 24, 8, seed=5), noise(len(roles) * batch, 24, 8)
    return attention.add(layer, output, query, attend, roles, SIZE), output, query


def test_the_sum_is_equation_5():
    result, output, query = add(style(), batch=2)
    k, v = (part.expand(2, -1, -1) for part in (noise(1, 3, 8, seed=0), noise(1, 3, 8, seed=10)))
    weights = (query @ k.transpose(1, 2) / 8**0.5).softmax(-1)
    assert (result - (output + 0.7 * weights @ v)).abs().max() < 1e-6


@pytest.mark.parametrize("roles", [(0, 1), (1, 0), (0, 0, 1)])
def test_each_chunk_gets_its_own_prompts_tokens(roles):
    """Whichever way the prompts are batched, and whatever stands beside a picture."""
    result, output, query = add(style(), roles, batch=2)
    for i, role in enumerate(roles):
        for k in (2 * i, 2 * i + 1):
            alone = style().add(0, output[k : k + 1], query[k : k + 1], attend, (role,), SIZE)
            assert (result[k] - alone[0]).abs().max() < 1e-6


def test_a_region_of_ones_is_no_region_and_one_of_zeros_does_nothing():
    plain = add(style())[0]
    assert torch.equal(add(style(region=torch.ones(1, 32, 48)))[0], plain)
    assert style(region=torch.zeros(1, 32, 48)).layers == ()
    assert style(scales=(0.0, 1.0)).layers == (1,)


def test_outside_half_a_region_the_output_is_untouched_and_inside_it_is_whole():
    region = torch.zeros(1, 32, 48)
    region[:, :, :24] = 1
    result, output, _ = (part.unflatten(1, SIZE) for part in add(style(region=region)))
    plain = add(style())[0].unflatten(1, SIZE)
    assert torch.equal(result[:, :, 3:], output[:, :, 3:])
    assert (result[:, :, :3] - plain[:, :, :3]).abs().max() < 1e-6


def test_a_cell_gets_its_fraction_of_a_region_of_any_aspect():
    region = torch.zeros(1, 64, 31)
    region[:, :16] = 0.5
    result, output, _ = (part.unflatten(1, SIZE) for part in add(style(region=region)))
    plain = add(style())[0].unflatten(1, SIZE)
    assert (result[:, 0] - (output + plain)[:, 0] / 2).abs().max() < 1e-6
    assert torch.equal(result[:, 1:], output[:, 1:])


def test_each_picture_of_a_batch_has_its_own_region():
    region = torch.stack((torch.zeros(32, 48), torch.ones(32, 48)))
    result, output, _ = add(style(region=region), roles=(0, 1), batch=2)
    changed = (result != output).flatten(1).any(1)
    assert changed.tolist() == [False, True, False, True]
    with pytest.raises(ValueError, match="2 masks and 3 pictures"):
        add(style(region=region), batch=3)


def test_tensors_are_cast_once(monkeypatch):
    attention = style(region=torch.rand(1, 32, 48))
    add(attention)
    casts = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_: casts.append(self) or self)
    add(attention)
    assert casts == []


@pytest.mark.parametrize("blocks", [SD15_BLOCKS, SDXL_BLOCKS])
@pytest.mark.parametrize("weight_type", WEIGHT_TYPES)
def test_every_weight_type_gives_every_block_a_fraction(weight_type, blocks):
    weights = block_weights(weight_type, blocks)
    assert tuple(weights) == blocks
    assert max(weights.values()) == pytest.approx(1.0, abs=0.1)
    assert min(weights.values()) >= 0


def test_style_and_composition_enter_through_different_blocks():
    for blocks in (SD15_BLOCKS, SDXL_BLOCKS):
        style, composition, strong = (
            {block for block, weight in block_weights(kind, blocks).items() if weight}
            for kind in ("style", "composition", "strong style")
        )
        assert not style & composition
        assert style < strong
        assert strong == set(blocks) - composition
    assert block_weights("style", SDXL_BLOCKS)[("output", 1)] == 1
    assert block_weights("composition", SDXL_BLOCKS)[("input", 8)] == 1


@pytest.mark.parametrize("blocks", [SD15_BLOCKS, SDXL_BLOCKS])
def test_eases_fall_and_rise_as_in_the_pack_that_people_know(blocks):
    count = len(blocks)
    into, out, both = (
        list(block_weights(name, blocks).values())
        for name in ("ease in", "ease out", "ease in-out")
    )
    assert into == pytest.approx([0.05 + 0.95 * (1 - i / count) for i in range(count)])
    assert out == pytest.approx([0.05 + 0.95 * i / count for i in range(count)])
    half = count / 2
    assert both == pytest.approx([1 - 0.95 * abs(i - half) / half for i in range(count)])


def test_the_block_types_of_an_unknown_model_are_refused():
    blocks = [("input", 1), ("middle", 0)]
    assert set(block_weights("linear", blocks).values()) == {1.0}
    with pytest.raises(ValueError, match="SD 1.5 .* this model has 2"):
        block_weights("style", blocks)


def test_block_weights_are_read_from_text():
    blocks = SDXL_BLOCKS
    row = parse_block_weights("1, 0, 0, 0.5, 1, 1, 1, 1, 1, 1, -2", blocks)
    assert list(row.values()) == [1, 0, 0, 0.5, 1, 1, 1, 1, 1, 1, -2]
    pairs = parse_block_weights("output: 0.3, 0-1: 1\nmiddle: 0.5; 10: 2", blocks)
    assert list(pairs.values()) == [1, 1, 0, 0, 0.5, 0.3, 0.3, 0.3, 0.3, 0.3, 2]


@pytest.mark.parametrize("text", ["1, 2", "sideways: 1", "11: 1", "0: nan", "0: 1: 2", "a"])
def test_other_texts_are_refused_with_what_can_be_written(text):
    with pytest.raises(ValueError, match=r"Write either 11 numbers .* blocks 0 to 10"):
        parse_block_weights(text, SDXL_BLOCKS)


def test_pictures_side_by_side_and_averaged():
    pictures = [noise(1, 4, 8, seed=i) for i in range(3)]
    tokens, scale = combine_tokens(pictures, [1, 1, 1], "concat")
    assert torch.equal(tokens, torch.cat(pictures, 1))
    assert scale is None
    tokens, scale = combine_tokens(pictures, [1, 0, 0.5], "concat")
    assert torch.equal(tokens, torch.cat([pictures[0], pictures[2]], 1))
    assert scale.flatten().tolist() == [1] * 4 + [0.5] * 4
    tokens, scale = combine_tokens(pictures, [1, 0, 3], "average")
    assert (tokens - (pictures[0] + 3 * pictures[2]) / 4).abs().max() < 1e-6
    assert scale is None


def test_pictures_that_cannot_be_combined_are_refused():
    with pytest.raises(ValueError, match="2 style pictures and 1 weights"):
        combine_tokens([noise(1, 4, 8)] * 2, [1], "concat")
    with pytest.raises(ValueError, match="All style pictures have weight 0"):
        combine_tokens([noise(1, 4, 8)], [0], "concat")
    with pytest.raises(ValueError, match=r"\[4, 6\] tokens"):
        combine_tokens([noise(1, 4, 8), noise(1, 6, 8)], [1, 1], "average")


def test_masked_patches_go_as_clip_crops_the_picture():
    mask = torch.zeros(64, 128)
    mask[:, :48] = 1
    visible = visible_patches(mask, 32, 4).unflatten(0, (4, 4))
    assert not visible[:, 0].any()
    assert visible[:, 1:].all()
    assert visible_patches(torch.zeros(50, 40), 32, 4).all()
    with pytest.raises(ValueError, match="covers the whole style picture"):
        visible_patches(torch.ones(64, 64), 32, 4)

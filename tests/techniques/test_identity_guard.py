"""The identity guard's terms, one by one, and what they leave alone."""

import pytest
import torch
import torch.nn.functional as F
from visage.diffusion.self_attention import attention, split_heads
from visage.techniques.identity_guard import (
    GuardWeights,
    IdentityGuard,
    anchor_loss,
    anchor_weight,
    anchored,
    attend_guarded,
    content_fraction,
    normalised,
    query_loss,
    query_weight,
    restyled,
    reweighted,
)

HEADS = 2


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def qkv():
    """Queries; the style's keys and values, of another number of tokens; the content's."""
    return (
        noise(2, 24, 8),
        (noise(2, 15, 8, seed=1), noise(2, 15, 8, seed=2)),
        (noise(2, 24, 8, seed=3), noise(2, 24, 8, seed=4), noise(2, 24, 8, seed=5)),
    )


@pytest.fixture
def mask():
    """Two faces of unlike size on 8 x 12 cells, and a cell that is none."""
    mask = torch.zeros(1, 1, 8, 12)
    mask[..., 1:4, 1:4] = 1
    mask[..., 4:8, 6:12] = 1
    mask[..., 0, 11] = 1
    return mask


@pytest.fixture
def guard(mask):
    return lambda strength=0.5, **more: IdentityGuard(
        noise(1, 4, 8, 12, seed=9), mask, strength, **more
    )


class AllAttend:
    heads = HEADS

    def __call__(self, q, k, v):
        return attention(q, k, v, HEADS)


class TestReweighting:
    def test_without_a_limit_it_is_one_softmax_over_both_pictures(self, qkv):
        q, (k_style, v_style), (_, k_content, v_content) = qkv
        bias = torch.rand(2, 24, generator=torch.Generator().manual_seed(6)) * 3
        p = content_fraction(q, k_style, k_content, bias, 1.0, HEADS)
        mixed = reweighted(
            attention(q, k_style, v_style, HEADS), attention(q, k_content, v_content, HEADS), p
        )
        logits = torch.zeros(2, 1, 24, 39)
        logits[..., 15:] = bias.log().view(2, 1, 24, 1)
        joint = F.scaled_dot_product_attention(
            *(
                split_heads(part, HEADS)
                for part in (
                    q,
                    torch.cat((k_style, k_content), dim=1),
                    torch.cat((v_style, v_content), dim=1),
                )
            ),
            attn_mask=logits,
        )
        assert (mixed - joint.transpose(1, 2).flatten(2)).abs().max() < 1e-6

    def test_the_limit_holds_and_no_weight_is_no_content(self, qkv):
        q, (k_style, _), (_, k_content, _) = qkv
        bias = torch.zeros(2, 24)
        bias[:, :12] = 1e6
        p = content_fraction(q, k_style, k_content, bias, 0.5, HEADS)
        assert torch.equal(p[..., :12], torch.full_like(p[..., :12], 0.5))
        assert torch.equal(p[..., 12:], torch.zeros_like(p[..., 12:]))

    def test_values_of_the_content_take_the_styles_spread(self, qkv):
        _, (_, v_style), (_, _, v_content) = qkv
        moved = restyled(v_content, v_style)
        assert torch.allclose(moved.mean(dim=1), v_style.mean(dim=1), atol=1e-5)
        spread = (part.std(dim=1, unbiased=False) for part in (moved, v_style))
        assert torch.allclose(*spread, atol=1e-4)

    @pytest.mark.parametrize("gamma", [0.0, 0.75])
    def test_outside_faces_the_host_attends_to_the_bit(self, qkv, gamma):
        q, (k, v), content = qkv
        mask = torch.zeros(1, 1, 4, 6)
        mask[..., :2, :] = 1
        guard = IdentityGuard(torch.zeros(1, 4, 4, 6), mask, 1.0)
        out = attend_guarded(q, k, v, content, guard, AllAttend(), gamma, 1.5)
        plain = attention(1.5 * q.lerp(content[0], gamma), k, v, HEADS)
        assert torch.equal(out[:, 12:], plain[:, 12:])
        assert (out[:, :12] - plain[:, :12]).abs().max() > 0.05


class TestQueries:
    def test_without_a_weight_it_is_attention_distillations(self, qkv):
        q, _, (content, *_) = qkv
        loss = query_loss(q, content, query_weight(torch.rand(2, 24), 1.0))
        assert torch.allclose(loss, (q - content).abs().mean(dim=(1, 2)), atol=1e-6)

    def test_faces_count_more(self):
        q = torch.zeros(1, 4, 3)
        q[:, :2] = 1
        face = torch.tensor([[1.0, 1, 0, 0]])
        loss = query_loss(q, torch.zeros_like(q), query_weight(face, 3.0))
        assert float(loss) == pytest.approx(6 / 8)


class TestAnchor:
    def test_gain_and_offset_are_free(self, mask):
        z, face = noise(1, 4, 8, 12), mask[0] > 0.5
        gain, offset = torch.rand(2, 1, 4, 1, 1) + 0.5
        difference = normalised(gain * z + offset, face) - normalised(z, face)
        assert difference.abs().max() < 2e-5

    def test_each_face_is_normalised_by_itself(self, guard):
        guard = guard()
        assert [int(face.sum()) for _, face in guard.faces] == [9, 24]
        z = guard.content.clone()
        # Apart by more than the Gaussian reaches, but for the faces' rims.
        z[..., :5] = 2 * z[..., :5] + 1
        assert anchor_loss(z, guard) < 0.5 * anchor_loss(noise(1, 4, 8, 12, seed=3), guard)
        assert anchor_loss(3 * guard.content - 2, guard) < 1e-4

    def test_a_step_brings_the_geometry_nearer_and_nothing_else(self, guard):
        guard, z = guard(1.0), noise(1, 4, 8, 12, seed=3)
        moved = anchored(z, guard, 0.0)
        assert anchor_loss(moved, guard) < 0.75 * anchor_loss(z, guard)
        outside = torch.ones(8, 12, dtype=torch.bool)
        for _, face in guard.faces:
            outside &= ~face[0]
        assert torch.equal(moved[..., outside], z[..., outside])

    def test_it_fades_over_the_last_third_of_a_run(self):
        weights = [anchor_weight(0.1, fraction) for fraction in (0, 0.7, 0.85, 1)]
        assert weights == pytest.approx([0.1, 0.1, 0.06, 0.02])

    def test_masks_without_a_face_anchor_nothing(self):
        guard = IdentityGuard(noise(1, 4, 8, 12), torch.full((1, 1, 8, 12), 0.4))
        z = noise(2, 4, 8, 12)
        assert anchor_loss(z, guard) == 0
        assert torch.equal(anchored(z, guard, 0.0), z)


class TestStrength:
    def test_half_is_the_defaults_and_zero_is_off(self):
        assert GuardWeights.of(0.5) == GuardWeights()
        assert GuardWeights.of(0.0) == GuardWeights(0.0, 1.0, 0.0, 0.0)

    def test_faces_hold_the_content_longer(self, guard):
        assert guard(0.5).hold(0.75) == pytest.approx(0.9)
        assert guard(0.5).hold(0.5) == pytest.approx(0.8)
        assert guard(0.0).hold(0.5) == 0.5
        assert guard(1.0).hold(0.5) == 1

    def test_it_acts_from_start_to_end(self, guard):
        acting = [guard(start=0.2, end=0.6).acts_at(fraction) for fraction in (0.1, 0.2, 0.5, 0.6)]
        assert acting == [False, True, True, False]
        assert guard().acts_at(0.0)
        assert guard().acts_at(1.0)

    def test_nothing_to_do_is_idle(self, guard, mask):
        assert guard(0.0).idle
        assert guard(start=0.5, end=0.5).idle
        assert IdentityGuard(noise(1, 4, 8, 12), 0 * mask).idle
        assert not guard().idle


class TestShapes:
    def test_one_guard_serves_a_batch(self, guard):
        guard().require_fit(torch.Size((3, 4, 8, 12)))
        assert guard().tokens(6, 24).shape == (6, 24)
        assert [index for index, _ in guard().faces_of(3)] == [0, 0, 1, 1, 2, 2]

    def test_another_size_names_both(self, guard):
        with pytest.raises(ValueError, match=r"\[1, 4, 8, 12\].*\[1, 4, 9, 12\]"):
            guard().require_fit(torch.Size((1, 4, 9, 12)))

    def test_a_mask_of_other_cells_is_refused(self, mask):
        with pytest.raises(ValueError, match="same cells"):
            IdentityGuard(noise(1, 4, 9, 12), mask)

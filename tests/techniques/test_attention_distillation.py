"""Attention distillation: its loss, the guard's special cases, and what an item depends on."""

import pytest
import torch
from visage.diffusion.self_attention import attention, read_features
from visage.diffusion.taps import Attention
from visage.techniques.attention_distillation import (
    AttentionDistillation,
    distil_style,
    distillation_loss,
)
from visage.techniques.identity_guard import GuardWeights, IdentityGuard, anchor_loss

PLACE = (Attention(9, "self"), 0)
TIMESTEP = 481


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def content():
    return noise(2, 4, 6, 8)


@pytest.fixture
def style():
    return 2 * noise(1, 4, 5, 7, seed=1) + 1


@pytest.fixture
def mask():
    mask = torch.zeros(1, 1, 6, 8)
    mask[..., 1:5, 2:6] = 1
    return mask


@pytest.fixture
def features(toy_branch):
    return lambda latent: read_features(toy_branch, latent, TIMESTEP, [PLACE[0]])


@pytest.fixture
def loss(toy_branch, features, content, style):
    def make(latent, guard=None, original=None, asked=None, style=style, weight=0.25):
        asked = features(content if asked is None else asked)
        original = None if original is None else features(original)
        return distillation_loss(
            latent, toy_branch, TIMESTEP, asked, features(style), weight, guard, original
        )

    return make


def test_the_loss_is_the_papers(loss, features, content, style):
    z = content + 0.3 * noise(2, 4, 6, 8, seed=2)
    (q, k, v), (content_q, *_) = features(z)[PLACE], features(content)[PLACE]
    _, style_k, style_v = (part.expand(2, -1, -1) for part in features(style)[PLACE])
    seen = attention(q, k, v, 2), attention(q, style_k, style_v, 2)
    expected = (seen[0] - seen[1]).abs().mean() + 0.25 * (q - content_q).abs().mean()
    assert float(loss(z)) == pytest.approx(2 * float(expected), abs=1e-6)


def test_a_guard_without_weights_is_attention_distillation(loss, content, mask):
    """omega = 0, mu = 1, w_o = 0, a = 0."""
    z = content + 0.3 * noise(2, 4, 6, 8, seed=2)
    off = IdentityGuard(content, mask.expand(2, -1, -1, -1), weights=GuardWeights(0, 1, 0, 0))
    assert float(loss(z, off, original=noise(2, 4, 6, 8, seed=4))) == pytest.approx(
        float(loss(z)), abs=1e-6
    )


def test_the_styles_own_picture_costs_nothing(loss, style):
    assert float(loss(style, asked=style, weight=0.0)) < 1e-6


@pytest.mark.parametrize("omega", [0.0, 2.0])
@pytest.mark.parametrize("mu", [1.0, 5.0])
@pytest.mark.parametrize("anchor", [0.0, 0.2])
@pytest.mark.parametrize("original", [0.0, 0.5])
def test_gradients_are_finite_for_all_switches(loss, content, mask, omega, mu, anchor, original):
    guard = IdentityGuard(content[:1], mask, weights=GuardWeights(omega, mu, anchor, original))
    z = (content + 0.1 * noise(2, 4, 6, 8, seed=2)).requires_grad_()
    total = loss(z, guard, original=noise(2, 4, 6, 8, seed=4)) + anchor * anchor_loss(z, guard)
    total.backward()
    assert z.grad.isfinite().all()
    assert z.grad.abs().max() > 0


class TestRun:
    @pytest.fixture
    def run(self, toy_branch, style):
        def run(content, guard=None, progress=None, steps=6, **settings):
            return distil_style(
                content, style, toy_branch, toy_branch, toy_branch.alphas, toy_branch.layers,
                AttentionDistillation(steps, **settings), guard, progress,
            )  # fmt: skip

        return run

    def test_the_loss_falls(self, run, loss, content):
        with torch.no_grad():
            before, after = loss(content), loss(run(content, steps=30))
        assert after < 0.9 * before

    def test_an_idle_guard_is_the_host_to_the_bit(self, run, content, mask):
        plain = run(content)
        assert torch.equal(
            run(content, IdentityGuard(content, mask.repeat(2, 1, 1, 1), 0.0)), plain
        )
        late = IdentityGuard(content, mask.repeat(2, 1, 1, 1), 1.0, 0.4, 0.4)
        assert torch.equal(run(content, late), plain)

    def test_a_guarded_face_stays_nearer(self, run, content, mask):
        guard = IdentityGuard(content, mask.repeat(2, 1, 1, 1), 1.0)
        far = [
            float(anchor_loss(run(content, chosen, steps=30), guard)) for chosen in (None, guard)
        ]
        assert far[1] < far[0]

    @pytest.mark.parametrize("guarded", [False, True])
    def test_a_batch_is_its_pictures_alone(self, run, content, mask, guarded):
        """The authors' mean over a batch would halve each gradient, and Adam's epsilon would tell;
        unequal pictures, so that a share of each other's loss would show."""
        content = content * torch.tensor([1.0, 1e-3]).view(2, 1, 1, 1)

        def guard(part):
            rows = mask.expand(len(part), -1, -1, -1)
            return IdentityGuard(part, rows) if guarded else None

        both = run(content, guard(content))
        for index in range(2):
            part = content[index : index + 1]
            assert (both[index : index + 1] - run(part, guard(part))).abs().max() < 1e-4

    def test_works_in_inference_mode(self, run, content, mask):
        with torch.inference_mode():
            picture = content.clone()
            guarded = run(picture, IdentityGuard(noise(1, 4, 6, 8, seed=5), mask))
        assert guarded.isfinite().all()

    def test_each_step_is_shown_and_may_stop_the_run(self, run, content):
        def stop(step, latent):
            if step == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(content, progress=stop)

    def test_numbers_that_explode_are_reported(self, run, content):
        with pytest.raises(ValueError, match="lower learning rate"):
            run(content, learning_rate=1e30)

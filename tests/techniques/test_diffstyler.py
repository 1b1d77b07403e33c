"""DiffStyler: which steps inject what, how passes are merged, and what stays as it was."""

from dataclasses import replace

import pytest
import torch
from visage.diffusion.ddim import ddim_step, level_alpha, sampling_grid
from visage.diffusion.noise_schedule import NoiseSchedule
from visage.diffusion.taps import Attention
from visage.techniques.ddim_inversion import Trajectory
from visage.techniques.diffstyler import (
    Base,
    DiffStylerSettings,
    Style,
    cell_weights,
    latent_mask,
    region_weights,
    stylize,
    temporal_weights,
)
from visage.techniques.injection import adaptive_ratio

ALPHAS = 1 / (1 + NoiseSchedule(torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).sigmas ** 2)
SHAPE = (1, 4, 8, 8)
LAYERS = range(3, 12)


class FakeBranch:
    """A model whose noise is a constant of its own; it counts its rows and runs the taps."""

    def __init__(self, value: float, rows: int = 1) -> None:
        self.value, self.rows = value, rows
        self.calls, self.features, self.attentions = [], [], []
        self.seen = None

    def __call__(self, latent, timestep, taps=None):
        self.calls.append(timestep)
        count = self.rows * len(latent)
        if taps and taps.features:
            self.features.append(timestep)
            (edit,) = taps.features.values()
            edit(torch.full((count, 2, 2, 2), self.value))
        if taps and taps.projections:
            self.attentions.append(timestep)
            for edit in taps.projections.values():
                own = torch.full((count, 4, 2), self.value)
                self.seen = edit(0, own, own + 1, own + 2)
        noise = torch.linspace(-1, 1, latent.numel()).reshape(latent.shape)
        return torch.stack([self.value * (1 + row) * noise for row in range(self.rows)])


@pytest.fixture
def trajectory():
    def make(steps=50, batch=1):
        generator = torch.Generator().manual_seed(steps)
        latents = torch.randn(steps + 1, batch, *SHAPE[1:], generator=generator)
        return Trajectory(tuple(sampling_grid(steps)), latents)

    return make


@pytest.fixture
def left_half():
    mask = torch.zeros(1, 1, 1, 8, 8)
    mask[..., :4] = 1
    return mask


def base(value=0.1):
    return Base(FakeBranch(value), FakeBranch(value, rows=2))


def run(trajectory, weights, styles, base, **settings):
    return stylize(
        trajectory, weights, styles, base, ALPHAS, LAYERS, DiffStylerSettings(**settings)
    )


class TestSchedule:
    def test_features_in_30_and_attention_in_25_of_50_steps(self, trajectory, left_half):
        style = FakeBranch(0.2, rows=2)
        run(trajectory(), left_half, [Style(style)], base())
        assert len(style.calls) == 50
        assert len(style.features) == 30
        assert style.features[-1] == 401
        assert len(style.attentions) == 25
        assert style.attentions[-1] == 501

    def test_self_attention_of_layers_4_to_11_is_injected(self, trajectory, left_half):
        places = []

        def style(latent, timestep, taps=None):
            places.append(set(taps.projections))
            return torch.zeros(2, *latent.shape)

        recorder = FakeBranch(0.1)
        for cross in (False, True):
            run(trajectory(1), left_half, [Style(style, None, 1, 1)], Base(recorder),
                inject_cross=cross)  # fmt: skip
        assert places[0] == {Attention(layer, "self") for layer in range(4, 12)}
        assert places[1] == {
            Attention(layer, kind) for layer in range(4, 12) for kind in ("self", "cross")
        }

    def test_queries_and_keys_are_the_contents_and_values_the_styles(self, trajectory, left_half):
        style = FakeBranch(0.5, rows=2)
        run(trajectory(1), left_half, [Style(style, None, 1, 1)], base(0.1))
        q, k, v = style.seen
        assert torch.equal(q, torch.full((2, 4, 2), 0.1))
        assert torch.equal(k, torch.full((2, 4, 2), 1.1))
        assert torch.equal(v, torch.full((2, 4, 2), 2.5))

    def test_one_recording_serves_all_styles_and_ends_with_the_injection(self, trajectory):
        """1 + 2K rows while something is injected, 2K afterwards."""
        weights = region_weights(torch.rand(3, 1, 1, 8, 8))
        styles, recorder = [FakeBranch(0.2, rows=2) for _ in range(3)], FakeBranch(0.1)
        run(trajectory(), weights, [Style(style) for style in styles], Base(recorder))
        assert len(recorder.calls) == 30
        assert [len(style.calls) * style.rows for style in styles] == [100] * 3

    def test_a_style_without_a_place_costs_nothing(self, trajectory, left_half):
        covered, shown = FakeBranch(0.2, rows=2), FakeBranch(0.2, rows=2)
        weights = region_weights(torch.cat((left_half, left_half)))
        run(trajectory(5), weights, [Style(covered), Style(shown)], base())
        assert not covered.calls
        assert len(shown.calls) == 5

    def test_self_injection_records_in_each_styles_own_model(self, trajectory, left_half):
        recorders = [FakeBranch(0.3), FakeBranch(0.4)]
        styles = [Style(FakeBranch(0.2, rows=2), record) for record in recorders]
        weights = region_weights(torch.cat((left_half, 1 - left_half)))
        shared = base()
        run(trajectory(10), weights, styles, shared, inject_source="self")
        assert [len(record.calls) for record in recorders] == [6, 6]
        assert not shared.record.calls
        assert styles[0].predict.seen[0].unique().tolist() == pytest.approx([0.3])

    def test_adaptive_attention_lasts_and_fades(self, trajectory, left_half):
        style = FakeBranch(0.5, rows=2)
        run(trajectory(), left_half, [Style(style)], base(0.1), attention="adaptive")
        assert len(style.attentions) == 50
        # At the last timestep, 1, hardly anything of the content is left.
        assert style.seen[0].unique().tolist() == pytest.approx([0.5], abs=1e-3)

    @pytest.mark.parametrize(
        ("styles", "background", "adaptive"),
        [
            ("hard", "adaptive", (False, True)),  # the paper's code of 2025
            ("hard", "hard", (False, False)),  # that of 2024
            ("adaptive", "as the styles", (True, True)),
            ("adaptive", "hard", (True, False)),
        ],
    )
    def test_the_background_may_have_attention_of_its_own(
        self, styles, background, adaptive, trajectory, left_half
    ):
        painted = Base(FakeBranch(0.1), FakeBranch(0.7, rows=2))
        style = FakeBranch(0.5, rows=2)
        run(
            trajectory(), left_half, [Style(style)], painted,
            attention=styles, background="base", background_attention=background,
        )  # fmt: skip
        assert [len(style.attentions) == 50, painted.predict.seen[0].min() > 0.6] == [*adaptive]

    def test_adaptive_fraction(self):
        fractions = [round(adaptive_ratio(timestep), 3) for timestep in (981, 481, 1)]
        assert fractions == [1, 0.962, 0.002]

    def test_prompts_limited_to_an_area_are_refused(self, trajectory, left_half):
        def area(latent, timestep, taps=None):
            for edit in taps.projections.values():
                edit(0, *torch.zeros(3, 2, 3, 2))

        with pytest.raises(ValueError, match="plain prompts"):
            run(trajectory(2), left_half, [Style(area, None, 1, 1)], base())


class TestMerge:
    def test_noise_merged_is_latents_merged(self, trajectory, left_half):
        """One step with a background of the base model, against each pass by itself."""
        short = trajectory(1)

        def result(weights):
            style = Style(FakeBranch(0.3, rows=2))
            return run(short, weights, [style], base(), background="base", guidance=3.0)

        mixed, style, plain = (
            result(weights)
            for weights in (left_half, torch.ones_like(left_half), torch.zeros_like(left_half))
        )
        expected = left_half[0] * style + (1 - left_half[0]) * plain
        assert (mixed - expected).abs().max() < 1e-6

    def test_a_soft_mask_mixes_in_proportion(self, trajectory):
        short = trajectory(1)
        weights = torch.full((1, 1, 1, 8, 8), 0.25)
        style = Style(FakeBranch(0.3, rows=1))
        result = run(short, weights, [style], base(), guidance=1.0)
        noise = FakeBranch(0.3)(short.latents[0], 1)[0]
        alpha, below = level_alpha(ALPHAS, 1), level_alpha(ALPHAS, 0)
        painted = ddim_step(short.latents[0], noise, alpha, below)
        assert (result - (0.25 * painted + 0.75 * short.clean)).abs().max() < 1e-6

    def test_outside_the_masks_the_latent_is_the_pictures_to_the_bit(self, trajectory, left_half):
        inverted = trajectory(10, batch=2)
        weights = left_half.expand(-1, 2, -1, -1, -1)
        result = run(inverted, weights, [Style(FakeBranch(0.2, rows=2))], base())
        assert torch.equal(result[..., 4:], inverted.clean[..., 4:])
        assert not torch.equal(result[..., :4], inverted.clean[..., :4])

    def test_empty_masks_give_the_pictures_latent_without_any_work(self, trajectory):
        style, inverted, shared = FakeBranch(0.2, rows=2), trajectory(10), base()
        result = run(inverted, torch.zeros(1, 1, 1, 8, 8), [Style(style)], shared)
        assert torch.equal(result, inverted.clean)
        assert not style.calls
        assert not shared.record.calls

    @pytest.mark.parametrize(("background", "rows"), [("base", 2), ("base_cfg1", 1)])
    def test_a_painted_background_is_injected_to_the_end(self, background, rows, trajectory):
        painter = FakeBranch(0.1, rows=rows)
        shared = Base(FakeBranch(0.1), painter)
        run(trajectory(), torch.zeros(1, 1, 1, 8, 8), [Style(FakeBranch(0.2))], shared,
            background=background)  # fmt: skip
        assert len(painter.features) == len(painter.attentions) == 50

    def test_later_styles_win_and_weights_sum_to_at_most_one(self):
        masks = torch.zeros(3, 1, 1, 1, 4)
        masks[0], masks[1, ..., :3], masks[2, ..., :2] = 1, 0.5, 1
        weights = region_weights(masks)[:, 0, 0, 0]
        assert weights.tolist() == [[0, 0, 0.5, 1], [0, 0, 0.5, 0], [1, 1, 0, 0]]
        feathers = torch.tensor([0.25, 0.5, 1]).view(1, 1, 1, 1, 3)
        met = region_weights(torch.cat((1 - feathers, feathers)))
        assert (met.sum(dim=0) == 1).all(), "no gap where soft edges meet"
        many = region_weights(torch.rand(12, 2, 1, 8, 8))
        assert many.min() >= 0
        assert many.sum(dim=0).max() <= 1 + 1e-6


class TestTemporal:
    def test_styles_follow_one_another_with_a_fade(self):
        fractions = torch.tensor([temporal_weights(step, 50, 2) for step in range(50)])
        assert torch.allclose(fractions.sum(dim=1), torch.ones(50))
        assert fractions[0].tolist() == [1, 0]
        assert fractions[-1].tolist() == [0, 1]
        assert ((fractions[:, 0] > 0) & (fractions[:, 1] > 0)).sum() == 4

    def test_many_styles_never_weigh_more_than_one(self):
        fractions = torch.tensor([temporal_weights(step, 20, 12) for step in range(20)])
        assert torch.allclose(fractions.sum(dim=1), torch.ones(20))
        assert fractions.min() >= 0

    def test_a_style_runs_only_in_its_time(self, trajectory, left_half):
        first, second = FakeBranch(0.2, rows=2), FakeBranch(0.3, rows=2)
        weights = region_weights(torch.cat((left_half, 1 - left_half)))
        run(trajectory(20), weights, [Style(first), Style(second)], base(), style_blend="temporal")
        assert max(second.calls) < max(first.calls)
        assert min(second.calls) < min(first.calls)
        assert 20 <= len(first.calls) + len(second.calls) <= 22


class TestMasks:
    def test_modes(self):
        mask = torch.zeros(1, 16, 24)
        mask[:, :8, :8] = 1
        mask[:, :8, 8:12] = 1
        mask[:, 8:, 15:16] = 1
        assert latent_mask(mask, "soft").tolist() == [[[[1, 0.5, 0], [0, 0.125, 0]]]]
        assert latent_mask(mask, "half").tolist() == [[[[1, 1, 0], [0, 0, 0]]]]
        assert latent_mask(mask, "official").tolist() == [[[[1, 1, 0], [0, 0, 0]]]]

    def test_unknown_choices_are_named(self):
        with pytest.raises(ValueError, match="soft, half, official"):
            latent_mask(torch.zeros(1, 8, 8), "hard")

    def test_regions_share_the_cells_in_which_they_meet(self):
        masks = torch.zeros(2, 1, 8, 24)
        masks[0, ..., :14], masks[1, ..., 10:] = 1, 1
        soft, half, official = (
            cell_weights(masks, torch.ones(2), mode)[:, 0, 0, 0].tolist()
            for mode in ("soft", "half", "official")
        )
        assert soft == [[1, 0.25, 0], [0, 0.75, 1]]
        assert half == official == [[1, 0, 0], [0, 1, 1]]

    @pytest.mark.parametrize("mode", ["soft", "half", "official"])
    def test_a_region_of_less_strength_lets_what_lies_below_through(self, mode):
        weights = cell_weights(torch.ones(2, 1, 8, 8), torch.tensor([1.0, 0.25]), mode)
        assert weights.flatten().tolist() == [0.75, 0.25]
        (alone,) = cell_weights(torch.ones(1, 1, 8, 8), torch.tensor([0.25]), mode)
        assert alone.item() == 0.25
        with pytest.raises(ValueError, match="background.*latent, base, base_cfg1"):
            replace(DiffStylerSettings(), background="none")


def test_progress_follows_every_step_and_can_stop_the_run(trajectory, left_half):
    def stop(step, clean):
        assert clean.shape == SHAPE
        if step == 7:
            raise KeyboardInterrupt

    style = FakeBranch(0.2, rows=2)
    with pytest.raises(KeyboardInterrupt):
        stylize(trajectory(), left_half, [Style(style)], base(), ALPHAS, LAYERS, progress=stop)
    assert len(style.calls) == 8

"""The sequence of DiffStyler: invert, branches, base, stylise, on whatever engine's run."""

import pytest
import torch
from visage.techniques.diffstyler import DiffStylerSettings
from visage.techniques.restyling import RegionStyle, invert_picture, inverting_steps, paint_styles

SCALE = 0.5
STEPS = 4
LATENT = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
STYLE = RegionStyle("painted", "ugly", "lora", 0.0, 0.0)


class StandInRun:
    """A UNet that expects the latent to be its own noise, a little for each prompt."""

    alphas = torch.linspace(0.999, 0.01, 1000).double()
    attention_layers = (3, 4, 5)
    device = torch.device("cpu")

    def __init__(self):
        self.made = []

    def branch(self, prompts, style=None, bypassed=frozenset()):
        self.made.append((list(prompts), style, bypassed))
        shifts = torch.tensor([len(prompt) / 100 for prompt in prompts]).view(-1, 1, 1, 1, 1)
        return lambda latent, timestep, taps=None: 0.1 * latent + shifts.to(latent)

    def into_model(self, latent):
        return latent * SCALE

    def out_of_model(self, latent):
        return latent / SCALE


@pytest.fixture
def run():
    return StandInRun()


def inverted(run, **options):
    return invert_picture(run, LATENT, "", STEPS, 50, **options)


def left_half():
    weights = torch.zeros(1, 1, 1, 8, 8)
    weights[..., :4] = 1
    return weights


def test_the_latent_is_inverted_as_the_unet_takes_it(run):
    found = inverted(run)
    assert torch.equal(found.trajectory.clean, LATENT * SCALE)
    assert found.reconstructed is None
    assert run.made == [([""], None, frozenset())]


def test_a_checked_inversion_leads_back_and_tells_of_every_step(run):
    steps = []
    found = inverted(run, check=True, progress=lambda step, _: steps.append(step))
    assert (found.reconstructed - LATENT).abs().max() < 0.5
    assert steps == list(range(inverting_steps(run, STEPS, 50) + STEPS))


def test_where_no_style_has_weight_the_latent_stays_to_the_bit(run):
    painted = paint_styles(run, inverted(run), [STYLE], left_half())
    assert torch.equal(painted[..., 4:], LATENT[..., 4:])
    assert not torch.equal(painted[..., :4], LATENT[..., :4])


def test_a_style_without_weight_makes_no_branch(run):
    found = inverted(run)
    weights = torch.cat((left_half(), torch.zeros(1, 1, 1, 8, 8)))
    run.made.clear()
    paint_styles(run, found, [STYLE, RegionStyle("x", "y", "other")], weights)
    assert [style for _, style, _ in run.made] == [None, "lora"]


@pytest.mark.parametrize(
    ("settings", "prompts"),
    [
        ({"guidance": 1.0}, [[""], ["painted"]]),
        ({"guidance": 5.0}, [[""], ["ugly", "painted"]]),
        ({"background": "base"}, [[""], ["ugly", ""], ["ugly", "painted"]]),
        ({"background": "base_cfg1"}, [[""], [""], ["ugly", "painted"]]),
        ({"inject_source": "self"}, [[""], [""], ["ugly", "painted"]]),
    ],
)
def test_only_branches_that_are_asked_are_made(run, settings, prompts):
    found = inverted(run)
    run.made.clear()
    paint_styles(run, found, [STYLE], left_half(), DiffStylerSettings(**settings))
    assert [made for made, _, _ in run.made] == prompts


def test_loras_can_be_kept_out_of_the_attentions_that_are_injected_into(run):
    found = inverted(run)
    run.made.clear()
    paint_styles(run, found, [STYLE], left_half(), lora_in_hooked=False)
    (_, _, base), (_, _, style) = run.made
    assert not base
    assert {attention.kind for attention in style} == {"self"}

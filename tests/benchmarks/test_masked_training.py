"""The contenders of the training benchmark learn the same weights."""

import pytest
import torch
from visage.benchmarks import masked_training
from visage.engines.diffusers import DiffusersEngine


@pytest.mark.parametrize("recipe", masked_training.RECIPES)
def test_each_recipe_learns_the_projections_alone(recipe, random_starter, monkeypatch):
    engine = DiffusersEngine.load(random_starter)
    before = {name: value.clone() for name, value in engine.unet.named_parameters()}
    monkeypatch.setattr(masked_training, "sd15_engine", lambda device: engine)
    take = masked_training.make_step(recipe, 1, 64, torch.device("cpu"))
    take()
    take()
    for name, value in engine.unet.named_parameters():
        # Frozen weights may have been halved, and that is all.
        expected = before[name].to(value.dtype)
        learns = name.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))
        assert torch.equal(value, expected) != learns, name

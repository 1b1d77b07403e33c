"""The judge's own training: balanced pictures, and a run that leaves weights the judge reads."""

import numpy as np
import pytest
from visage.models.attribute_classifier import ATTRIBUTES, load_attribute_classifier
from visage.training.starter import attribute_classifier as stage


@pytest.fixture
def short(monkeypatch, tmp_path):
    monkeypatch.setattr(stage, "PEOPLE", 12)
    monkeypatch.setattr(stage, "STEPS", 2)
    monkeypatch.setattr(stage, "BATCH", 4)
    return tmp_path


def test_a_run_leaves_weights_that_can_be_loaded_and_is_repeatable(short):
    network = stage.train_classifier(short / "first")
    stage.save_classifier(network, short / "judge.safetensors")
    assert (short / "judge.safetensors").stat().st_size < 0.5 * 2**20
    loaded = load_attribute_classifier(short / "judge.safetensors").state_dict()
    again = stage.train_classifier(short / "second").state_dict()
    for name, value in network.state_dict().items():
        assert np.allclose(value, again[name]), name
        if value.is_floating_point():
            assert np.allclose(value, loaded[name], atol=2e-3), name


def test_its_people_are_not_those_it_is_scored_on(short):
    views, truth = stage.render_examples(12, short)
    assert views.shape == (12, stage.STORED, stage.STORED, 3)
    assert truth.shape == (12, len(ATTRIBUTES))
    people = {stage.person_of(number, "validation") for number in range(stage.PEOPLE)}
    assert not people & {
        stage.person_of(n, split) for n in range(99) for split in ("train", "test")
    }

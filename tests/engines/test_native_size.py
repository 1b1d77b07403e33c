"""Size 0 is the model's own size: what the loader says, or the family of the model."""

from types import SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def sizes(comfy):
    from visage.engines.comfyui import native_size

    return native_size


def model(context_dim, attached=None):
    config = SimpleNamespace(unet_config={"context_dim": context_dim})
    return SimpleNamespace(
        get_attachment=lambda key: attached, model=SimpleNamespace(model_config=config)
    )


def test_the_starters_size_is_that_of_its_config(sizes, random_starter, comfyui_models):
    from visage.models.starter_files import read_config

    patcher = comfyui_models[0]
    expected = 8 * read_config("unet", random_starter)["sample_size"]
    assert sizes.native_size(patcher) == expected
    assert sizes.native_size(patcher.clone()) == expected
    assert sizes.chosen_size(0, patcher) == expected


@pytest.mark.parametrize(("width", "size"), [(768, 512), (1024, 768), (2048, 1024), (4096, 1024)])
def test_other_models_have_the_size_of_their_family(sizes, width, size):
    assert sizes.native_size(model(width)) == size
    assert sizes.native_size(model(width, attached=192)) == 192


def test_a_size_that_was_chosen_stays(sizes):
    assert sizes.chosen_size(256, None) == 256
    assert sizes.chosen_size(8, None, smallest=8) == 8


def test_no_model_and_too_few_pixels_are_refused(sizes):
    with pytest.raises(ValueError, match="Connect the model"):
        sizes.chosen_size(0, None)
    with pytest.raises(ValueError, match="64 pixels or more"):
        sizes.chosen_size(32, model(768))

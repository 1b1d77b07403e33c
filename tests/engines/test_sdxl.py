"""SDXL's decoder on both engines: two levels with attention, of 2 and 10 blocks a layer."""

import pytest
import torch
from visage.techniques.injection import feature_layer, hooked_attentions


@pytest.fixture(scope="module")
def pair(comfy):
    from visage.evaluation.sdxl_parity import SdxlPair

    return SdxlPair.make()


def test_the_same_place_in_the_decoder_is_injected_into():
    sd15, sdxl = range(3, 12), range(6)
    assert (feature_layer(sd15), feature_layer(sdxl)) == (4, 1)
    assert [place.layer for place in hooked_attentions(sd15, cross=False)] == [*range(4, 12)]
    assert [place.layer for place in hooked_attentions(sdxl, cross=False)] == [1, 2, 3, 4, 5]


def test_both_engines_see_every_block(pair):
    from visage.engines.comfyui.branches import ComfyUIRun
    from visage.engines.diffusers.branches import DiffusersRun
    from visage.evaluation.sdxl_parity import SIZE, noise
    from visage.techniques.injection import Recording, recording_taps

    shape = (1, 4, *SIZE)
    recordings = []
    with torch.inference_mode(), ComfyUIRun(pair.model, shape) as there:
        for run, prompts in zip(
            (DiffusersRun(pair.engine, shape), there), pair.prompts(), strict=True
        ):
            assert run.attention_layers == [0, 1, 2, 3, 4, 5]
            recording = Recording(feature_layer(run.attention_layers))
            hooked = hooked_attentions(run.attention_layers, cross=False)
            run.branch(prompts[:1])(noise(*shape), 481, recording_taps(recording, hooked))
            recordings.append(recording)
    ours, theirs = recordings
    # Layer 1 is the second of the lowest level: a quarter of the latent's cells along each side.
    assert ours.feature.shape[-2:] == (SIZE[0] // 4, SIZE[1] // 4)
    assert (ours.feature - theirs.feature).abs().max() < 1e-3
    blocks = [(place.layer, block) for place, block in ours.queries_keys]
    assert sorted(blocks) == sorted(
        (layer, block) for layer in range(1, 6) for block in range(10 if layer < 3 else 2)
    )
    for place, (query, key) in ours.queries_keys.items():
        assert (query - theirs.queries_keys[place][0]).abs().max() < 1e-3
        assert (key - theirs.queries_keys[place][1]).abs().max() < 1e-3


@pytest.mark.parametrize("variant", ["base", "plus"])
def test_both_engines_agree_with_diffusers_own_adapter(pair, variant):
    from visage.evaluation.sdxl_parity import adapter_difference

    assert adapter_difference(pair, variant) < 1e-3


@pytest.mark.parametrize("what", ["injection", "transfer", "distillation"])
def test_both_engines_give_the_same_values(pair, what):
    from visage.evaluation import sdxl_parity

    assert getattr(sdxl_parity, f"{what}_difference")(pair) < 1e-3

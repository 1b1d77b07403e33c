"""Identity Score and Style Score, run as ComfyUI runs them."""

from __future__ import annotations

import json
import math

import pytest
import torch
from visage.models.checkpoints import write_weights
from visage.models.face_analyzer import starter_analyzer


@pytest.fixture
def module(comfy_nodes):
    from visage.nodes import scores

    return scores


@pytest.fixture(scope="module")
def analyzer():
    return starter_analyzer()


@pytest.fixture(scope="module")
def portraits():
    """Two people [2, 128, 128, 3], whom the starter finds."""
    from visage.world import portrait

    shown = [portrait(index, 128, "test", style="photo").image for index in (0, 1)]
    return torch.stack([torch.from_numpy(image) for image in shown]).float() / 255


@pytest.fixture(scope="module")
def painting():
    from visage.world import portrait

    image = portrait(9, 128, "test", style="mosaic").image
    return torch.from_numpy(image).float()[None] / 255


def blocked(output) -> bool:
    return type(output).__name__ == "ExecutionBlocker"


def judge(module, original, result, analyzer, accept_from=-1.0, no_face="accept"):
    with torch.inference_mode():
        return module.VisageIdentityScore.execute(
            original, result, analyzer, accept_from, no_face
        ).args


def test_pictures_are_sorted_by_whether_the_person_is_still_there(module, portraits, analyzer):
    """The second result shows the other person in the first one's place."""
    results = portraits[[0, 0]]
    identity, report, accepted, rejected, overlay, scores = judge(
        module, portraits, results, analyzer
    )
    assert torch.equal(accepted, results[:1]) and torch.equal(rejected, results[1:])
    assert "face 0" in report and "different" in report
    assert overlay.shape == (2, 512, 512, 3)
    told = json.loads(scores)
    first, second = (picture["identity"] for picture in told["pictures"])
    assert first == pytest.approx(1, abs=1e-3) and second < analyzer.thresholds.same
    assert identity == pytest.approx((first + second) / 2, abs=1e-3)


def test_what_nobody_is_in_does_not_run(module, portraits, analyzer):
    _, _, accepted, rejected, _, _ = judge(module, portraits, portraits, analyzer)
    assert len(accepted) == 2 and blocked(rejected) and rejected.message is None
    _, _, accepted, rejected, _, _ = judge(module, portraits, portraits.flip(2), analyzer, 1.0)
    assert blocked(accepted) and len(rejected) == 2


def test_transparency_is_kept_and_gray_will_do(module, portraits, analyzer):
    transparent = torch.cat([portraits, torch.full_like(portraits[..., :1], 0.5)], -1)
    assert torch.equal(judge(module, portraits, transparent, analyzer)[2], transparent)
    gray = portraits.mean(-1, keepdim=True)
    assert judge(module, portraits, gray, analyzer)[0] < 1.01


def test_a_picture_without_a_face_is_accepted_rejected_or_an_error(module, analyzer):
    empty = torch.full((1, 64, 64, 3), 0.5)
    identity, report, accepted, rejected, _, _ = judge(module, empty, empty, analyzer)
    assert math.isnan(identity) and "no face found" in report
    assert len(accepted) == 1 and blocked(rejected)
    assert blocked(judge(module, empty, empty, analyzer, no_face="reject")[2])
    with pytest.raises(ValueError, match="shows no face"):
        judge(module, empty, empty, analyzer, no_face="error")


def rate(module, result, style, features="starter (built in)", **more):
    with torch.inference_mode():
        return module.VisageStyleScore.execute(result, style, features, **more).args


def test_the_style_itself_is_at_the_end_of_the_way(module, portraits, painting):
    style, colour, report = rate(module, painting, painting, original=portraits[:1])
    assert style == pytest.approx(1, abs=1e-4) and colour == pytest.approx(0, abs=1e-3)
    assert "the original's" in report


def test_the_original_is_at_its_beginning(module, portraits, painting):
    style, colour, _ = rate(module, portraits, painting, original=portraits)
    assert style == pytest.approx(0, abs=1e-6) and colour > 1


def test_without_an_original_a_score_is_plain_likeness(module, portraits, painting):
    alike = rate(module, painting, painting)[0]
    assert alike == pytest.approx(1, abs=1e-4)
    assert alike > rate(module, portraits, painting)[0]


def test_another_image_encoder_takes_the_starters_place(module, painting, portraits, clip_vision):
    theirs = rate(module, portraits, painting, clip_vision=clip_vision)[0]
    assert theirs != rate(module, portraits, painting)[0]


def test_vgg_19_is_read_once_and_managed_by_comfyui(
    module, portraits, painting, comfy, monkeypatch, tmp_path
):
    import folder_paths
    from visage.engines.comfyui import memory
    from visage.models import vgg19

    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    monkeypatch.setattr(vgg19, "SHORT_SIDE", 32)
    (tmp_path / "visage_vgg").mkdir()
    torch.manual_seed(0)
    write_weights(tmp_path / "visage_vgg" / "mine.safetensors", vgg19.Vgg19().state_dict(), {})
    assert module.VisageStyleScore.define_schema().inputs[2].options[-1] == "mine.safetensors"
    style, *_ = rate(module, painting, painting, "mine.safetensors")
    assert style == pytest.approx(1)
    (kept,) = memory._caches[vgg19.load_vgg19].models.values()
    assert rate(module, portraits, painting, "mine.safetensors")[0] < 1
    assert list(memory._caches[vgg19.load_vgg19].models.values()) == [kept]
    assert kept.network in [
        entry.model.model for entry in comfy.model_management.current_loaded_models
    ]


def test_a_missing_vgg_19_is_refused_before_the_run_with_advice(module):
    message = module.VisageStyleScore.validate_inputs("gone.pth")
    assert "gone.pth" in message and "vgg19-dcbb9e9d.pth" in message
    assert module.VisageStyleScore.validate_inputs() is True
    assert "image_encoder" in module.VisageStyleScore.fingerprint_inputs("starter (built in)")


def test_an_interrupt_stops_both(module, portraits, analyzer, comfy):
    from comfy.model_management import InterruptProcessingException, interrupt_current_processing

    for run in (
        lambda: judge(module, portraits, portraits, analyzer),
        lambda: rate(module, portraits, portraits),
    ):
        interrupt_current_processing()
        with pytest.raises(InterruptProcessingException):
            run()

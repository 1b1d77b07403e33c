"""The scores of the diffusers engine are those of the techniques."""

from __future__ import annotations

import pytest
import torch
from visage.batch.operators import ModelFolders, all_operators
from visage.models import registry
from visage.models.face_analyzer import starter_analyzer
from visage.techniques.identity_score import OWN_THRESHOLD, report_identity
from visage.techniques.style_score import StyleJudge, score_styles

OPERATORS = all_operators({}, ModelFolders(None))


@pytest.fixture(scope="module")
def portraits():
    """Two people [2, 128, 128, 3], whom the starter finds."""
    from visage.world import portrait

    shown = [portrait(index, 128, "test", style="photo").image for index in (0, 1)]
    return torch.stack([torch.from_numpy(image) for image in shown]).float() / 255


def test_identity_is_scored_and_sorted_as_by_the_technique(portraits):
    analyzer, results = starter_analyzer(), portraits[[0, 0]]
    see_through = torch.cat([results, torch.full_like(results[..., :1], 0.5)], -1)
    shown = OPERATORS["VisageIdentityScore"].run(
        portraits, see_through, analyzer, OWN_THRESHOLD, "accept"
    )
    expected = report_identity(portraits, results, analyzer)
    score, report, accepted, rejected, overlay, scores = shown.outputs
    assert (score, report, scores) == (expected.score, expected.text, expected.json)
    assert shown.texts == (expected.text,)
    assert torch.equal(overlay, expected.overlay)
    assert torch.equal(accepted, see_through[:1]) and torch.equal(rejected, see_through[1:])


@pytest.mark.parametrize("with_original", [False, True])
def test_style_is_scored_as_by_the_technique(portraits, with_original, monkeypatch):
    class Encoder:
        def features(self, pictures, crop):
            return {"image_embeds": torch.cat([pictures.mean((1, 2)), pictures.amax((1, 2))], 1)}

    style, original = portraits[1:].flip(1) * 0.5, portraits[:1] if with_original else None
    shown = OPERATORS["VisageStyleScore"].run(
        portraits, style, registry.BUILT_IN, original, Encoder()
    )
    judge = StyleJudge(lambda p: Encoder().features(p[None], False)["image_embeds"][0], style)
    before = portraits[[0, 0]] if with_original else None
    expected = score_styles(portraits, judge, before)
    report = "\n".join(expected.lines)
    assert shown.outputs == (expected.style, expected.colour, report)
    assert shown.texts == (report,)

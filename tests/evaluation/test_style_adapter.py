"""The curve of style and identity, on random networks: what must hold whatever they have learnt."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from visage.engines.diffusers import DiffusersEngine
from visage.engines.image_encoder import ImageEncoder
from visage.evaluation.style_adapter import Parts, StyleCurve, StylePoint, style_curve
from visage.models.bisenet import BiSeNet
from visage.models.face_embedder import EmbedderNetwork, FaceEmbedder
from visage.models.face_parser import FaceParser
from visage.training.style_adapter import StyleAdapterSettings, new_adapter


@pytest.fixture
def parts(random_starter):
    torch.manual_seed(0)
    engine = DiffusersEngine.load(random_starter)
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        image_size=64, patch_size=8, projection_dim=24,
    )  # fmt: skip
    return Parts(
        engine,
        ImageEncoder(CLIPVisionModelWithProjection(config)),
        new_adapter(engine, 24, StyleAdapterSettings()),
        FaceParser(BiSeNet(width=8).eval(), 64, "random"),
        FaceEmbedder(EmbedderNetwork().eval(), "random"),
    )


def test_weight_0_is_where_style_and_leak_are_counted_from(parts, monkeypatch):
    monkeypatch.setattr("visage.evaluation.style_adapter.STEPS", 2)
    half = torch.arange(128).expand(1, 128, 128) < 64
    monkeypatch.setattr(
        "visage.evaluation.style_adapter.face_mask",
        lambda *_: SimpleNamespace(mask=half.float()),
    )
    curve = style_curve(parts, [0.0, 1.0], pairs=2)
    none, full = curve.points[0.0], curve.points[1.0]
    assert (none.style, none.leak) == (0, 0)
    assert full.identity != none.identity
    assert curve.masked.style != full.style
    assert -1 <= none.identity <= 1
    assert none.errors[0] == 0 < full.errors[0]
    # The best does not depend on the adapter.
    assert curve.best.style == style_curve(parts, [0.0], pairs=2).best.style


def test_the_leak_ratio_is_told_where_something_leaks():
    def curve(leak: float, masked: float) -> StyleCurve:
        points = [StylePoint(0.1, 0.5, value, (0.0, 0.0, 0.05)) for value in (leak, masked, 0.0)]
        return StyleCurve({1.0: points[0]}, *points[1:])

    assert curve(0.4, 0.1).leak_ratio == pytest.approx(0.25)
    assert curve(0.09, 0.1).leak_ratio is None

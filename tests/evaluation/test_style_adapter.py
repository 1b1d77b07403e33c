"""The curve of style and identity, on random networks: what must hold whatever they have learnt."""

from __future__ import annotations

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from visage.engines.diffusers import DiffusersEngine
from visage.engines.image_encoder import ImageEncoder
from visage.evaluation.style_adapter import Parts, style_curve
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
    points, ratio = style_curve(parts, [0.0, 1.0], pairs=2)
    assert [point.weight for point in points] == [0.0, 1.0]
    assert (points[0].style, points[0].leak) == (0, 0)
    assert points[1].identity != points[0].identity
    assert -1 <= points[0].identity <= 1
    assert ratio is None or points[1].leak > 0

"""The AdaIN pair learned from a few pictures."""

import json

import numpy as np
import pytest
from visage.models.adain import load_pair, save_pair
from visage.training.starter.adain import train_adain
from visage.training.starter.photo_vae import Sources

RECIPE = {
    "network": {"widths": [6, 8], "counts": [1, 1]}, "steps": 24, "batch": 1, "crop": 48,
    "style_size": 64, "learning_rate": 5e-3, "shares": {"drawings": 1.0}, "content_weight": 1.0,
    "identity_weight": 2.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def sources():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64] / 10
    forms = np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], -1) * 100 + 128
    drawings = np.stack([forms, forms[::-1]]).astype(np.uint8)
    return Sources([], drawings, [rng.integers(0, 255, (70, 64, 3), np.uint8)])


def test_it_learns_and_is_read_back(sources, tmp_path):
    pair = train_adain(RECIPE, 0, sources, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "adain.jsonl").read_text().splitlines()]
    assert len(lines) == 24
    losses = [line["loss"] for line in lines]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    assert pair.paints_light
    save_pair(pair, tmp_path / "pair.safetensors")
    assert load_pair(tmp_path / "pair.safetensors").counts == (1, 1)


def test_it_goes_on_from_its_checkpoint(sources, tmp_path):
    short = RECIPE | {"steps": 2}
    first = train_adain(short, 0, sources, tmp_path)
    again = train_adain(short, 0, sources, tmp_path)
    assert len((tmp_path / "adain.jsonl").read_text().splitlines()) == 2
    assert (first.decoder[1].weight == again.decoder[1].weight).all()


def test_without_paintings_drawings_are_the_styles(sources, tmp_path):
    drawn = Sources([], sources.drawings, [])
    assert train_adain(RECIPE | {"steps": 1}, 0, drawn, tmp_path)

"""The tables of the face editor, on random models: exactness, pairing, missing weights, columns."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from visage.engines.diffusers import DiffusersEngine
from visage.evaluation.face_edit import (
    METHODS,
    EditSettings,
    Pair,
    Row,
    Weights,
    background_figures,
    choose_pairs,
    edit_pair,
    interval,
    run_table,
    to_markdown,
    write_report,
)
from visage.techniques.text_adapter import FaceAwareTextAdapter
from visage.training.face_edit.dataset import Example

SETTINGS = EditSettings(steps=2, sigma=2.0, grow=1)


@pytest.fixture(scope="module")
def weights(random_starter):
    engine = DiffusersEngine.load(random_starter)
    adapter = FaceAwareTextAdapter(engine.width)
    torch.nn.init.normal_(adapter.w2.weight)
    return Weights(engine, adapter.requires_grad_(False))


@pytest.fixture(scope="module")
def pair():
    mask = torch.zeros(64, 64)
    mask[20:40, 24:44] = 1
    image = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(2))
    return Pair("face", image, mask, "a face with glasses")


@pytest.fixture(scope="module")
def rows(weights, pair):
    return run_table(
        [pair], lambda name: None if name == "plain loss" else weights, SETTINGS, {}, seed=1
    )


def row(rows, name):
    return next(row for row in rows if row.name == name)


def test_blended_rows_are_exact_outside_the_soft_mask_and_others_are_not(rows):
    for name in ("ours", "ours without adapter", "ours without soft mask"):
        assert row(rows, name).values["outside_max_abs"] == [0.0]
    for name in ("plain inpainting", "Blended Latent Diffusion", "ours without blend"):
        assert row(rows, name).values["outside_max_abs"][0] > 0
    blended, plain = row(rows, "ours").values, row(rows, "ours without blend").values
    assert blended["psnr_background"] > plain["psnr_background"]


def test_every_method_has_a_row_and_absent_weights_are_said(rows):
    assert [row.name for row in rows] == [method.name for method in METHODS]
    lost = row(rows, "ours without mask-weighted loss")
    assert lost.missing == "no weights for plain loss" and not lost.values
    text = to_markdown(rows, {"pickscore": "its weights were not given"})
    assert "| ours without mask-weighted loss | no weights for plain loss |" in text
    assert "Not computed: PickScore (its weights were not given)." in text
    assert "PickScore |" not in text


def test_blended_latent_diffusion_keeps_the_latent_outside_the_mask(weights, pair):
    method = next(method for method in METHODS if method.latent_blend)
    edited = edit_pair(pair, method, weights, SETTINGS, 1)
    empty = replace(pair, mask=torch.zeros(64, 64))
    kept = edit_pair(empty, method, weights, SETTINGS, 1)
    through = weights.engine.decode(weights.engine.encode(pair.image[None]))[0]
    assert (kept - through).abs().max() < 1e-3
    assert (edited - through).abs().max() > 1e-2


def test_adapter_makes_a_difference(weights, pair):
    ours = METHODS[-1]
    bare = edit_pair(pair, replace(ours, adapter=False), weights, SETTINGS, 1)
    assert not torch.equal(edit_pair(pair, ours, weights, SETTINGS, 1), bare)


def test_psnr_counts_what_lies_outside_the_binary_mask(pair):
    edited = torch.where(pair.mask[..., None] > 0, torch.zeros(3), pair.image)
    figures = background_figures(edited, pair, SETTINGS)
    assert figures == {"outside_max_abs": 0.0, "psnr_background": float("inf")}
    figures = background_figures(pair.image + 0.1, pair, SETTINGS)
    assert figures["psnr_background"] == pytest.approx(20, abs=1e-3)
    assert figures["outside_max_abs"] == pytest.approx(0.1, abs=1e-6)


def test_pairs_take_the_caption_of_another_picture(tmp_path):
    examples = []
    for index in range(3):
        Image.new("RGB", (64, 64), (index, 0, 0)).save(tmp_path / f"{index}.png")
        Image.new("L", (64, 64), 255 * (index != 1)).save(tmp_path / f"{index}.mask.png")
        files = tmp_path / f"{index}.png", (tmp_path / f"{index}.mask.png",)
        examples.append(Example(str(index), *files, (f"caption {index}",)))
    pairs, problems = choose_pairs(examples, 5, 64)
    assert [(pair.name, pair.prompt) for pair in pairs] == [("0", "caption 2"), ("2", "caption 0")]
    assert len(problems) == 1 and "1.mask.png" in problems[0]


def test_pictures_made_elsewhere_get_a_row(weights, pair, tmp_path):
    other = (pair.image * 255).round().byte().numpy()
    Image.fromarray(other).save(tmp_path / "face.png")
    options = {"methods": (), "compare": {"elsewhere": tmp_path, "empty": tmp_path.parent}}
    found, empty = run_table([pair], lambda name: weights, SETTINGS, {}, **options)
    assert found.values["outside_max_abs"][0] <= 0.5 / 255 + 1e-6
    assert "1 of 1 pictures are not in" in empty.missing


def test_faces_are_compared_by_their_vectors(weights, pair):
    pairs = [pair, replace(pair, image=1 - pair.image)]

    def features(picture, of):
        return picture.mean(dim=(0, 1)).numpy().astype(np.float64)

    kept = replace(METHODS[-1], name="nothing to edit")
    empty = [replace(each, mask=torch.zeros(64, 64)) for each in pairs]
    (same,) = run_table(empty, lambda _: weights, SETTINGS, {}, features, methods=(kept,))
    assert same.values["identity"] == pytest.approx([1, 1])
    assert same.values["frechet"] == pytest.approx([0], abs=1e-9)
    (other,) = run_table(pairs, lambda _: weights, SETTINGS, {}, features, methods=(METHODS[0],))
    assert other.values["frechet"][0] > 0 and min(other.values["identity"]) < 1


def test_interval_holds_the_mean_and_narrows_with_more_values():
    values = np.random.default_rng(0).normal(3, 1, 400)
    mean, low, high = interval(values)
    assert low < mean < high and mean == pytest.approx(3, abs=0.2)
    few = interval(values[:20])
    assert high - low < few[2] - few[1]
    assert interval([float("inf")]) == (float("inf"),) * 3


def test_report_is_written_as_markdown_and_json(tmp_path):
    rows = [Row("ours", {"seconds": [1.0, 2.0], "psnr_background": [float("inf")] * 2})]
    text = write_report(tmp_path, rows, {}, {"pairs": 2})
    assert (tmp_path / "table.md").read_text() == text and "| ours | - | exact |" in text
    assert json.loads((tmp_path / "table.json").read_text())["about"] == {"pairs": 2}

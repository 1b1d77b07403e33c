"""Training an IP-Adapter: it learns, a stopped run goes on, and the file is a public one."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from visage.engines.diffusers import DiffusersEngine
from visage.models.ip_adapter import read_ip_adapter
from visage.training.face_edit.dataset import read_dataset
from visage.training.style_adapter import (
    Examples,
    StyleAdapterSettings,
    encode_examples,
    new_adapter,
    train_style_adapter,
    write_adapter,
)

SETTINGS = StyleAdapterSettings(steps=3, batch=2, size=64, learning_rate=1e-2, seed=3)


@pytest.fixture(scope="module")
def engine(random_starter):
    return DiffusersEngine.load(random_starter)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures with captions, and one without."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, colour in enumerate(("red", "green", "blue", "white")):
        Image.new("RGB", (80 + 10 * i, 64), colour).save(folder / f"{i}.png")
        if colour != "white":
            (folder / f"{i}.txt").write_text(f"a {colour} picture\na picture")
    return folder


def mean_colour(picture):
    """Stands for an image encoder: embeddings [1, 3]."""
    return picture.mean(dim=(1, 2))


@pytest.fixture(scope="module")
def examples(engine, folder):
    return encode_examples(read_dataset(folder), engine, mean_colour, 64)


@pytest.fixture
def accelerator():
    from accelerate import Accelerator

    return Accelerator(cpu=True)


def losses(folder):
    lines = (folder / "style_adapter.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_pictures_are_encoded_once_and_those_without_a_caption_left_out(examples):
    assert examples.latents.shape == (3, 4, 8, 8)
    assert examples.embeds.tolist() == [[1, 0, 0], [0, pytest.approx(128 / 255), 0], [0, 0, 1]]
    assert examples.captions == [
        (f"a {colour} picture", "a picture") for colour in ("red", "green", "blue")
    ]
    assert examples.concat.shape == (1, 5, 8, 8)
    assert (examples.concat[:, 0] == 1).all()


def test_pictures_of_which_none_can_be_used_are_refused(engine, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.txt").write_text("a caption")
    with pytest.raises(ValueError, match="None of the 1 pictures can be used"):
        encode_examples(read_dataset(tmp_path), engine, mean_colour, 64)


def test_it_starts_from_the_models_own_projections_or_from_nothing(engine):
    own = engine.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn2")
    adapter = new_adapter(engine, 3, SETTINGS)
    assert torch.equal(adapter.ip_adapter["31"]["to_k_ip"].weight, own.to_k.weight)
    narrow = new_adapter(engine, 3, StyleAdapterSettings(token_width=16))
    assert narrow.ip_adapter["31"]["to_k_ip"].weight.shape == (own.to_k.out_features, 16)
    assert not narrow.ip_adapter["31"]["to_v_ip"].weight.any()


def test_a_stopped_run_goes_on_as_if_it_had_not_been(engine, examples, tmp_path, accelerator):
    whole = train_style_adapter(engine, examples, SETTINGS, tmp_path / "whole", accelerator)
    started = new_adapter(engine, 3, SETTINGS).state_dict()
    changed = [name for name, value in whole.state_dict().items() if (value != started[name]).any()]
    assert len(changed) == len(started)

    class Stop(Exception):
        pass

    def stop_at_the_third(*_):
        if len(drawn) == 2:
            raise Stop
        drawn.append(1)

    drawn = []
    hook = engine.unet.register_forward_pre_hook(stop_at_the_third)
    folder = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visage.training.style_adapter.SAVE_EVERY", 1)
        with pytest.raises(Stop):
            train_style_adapter(engine, examples, SETTINGS, folder, accelerator)
    hook.remove()
    again = train_style_adapter(engine, examples, SETTINGS, folder, accelerator)
    assert losses(folder) == losses(tmp_path / "whole")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_run_with_other_settings_is_not_gone_on_with(engine, examples, tmp_path, accelerator):
    (tmp_path / "style_adapter.json").write_text('{"steps": 7}')
    with pytest.raises(ValueError, match=r"other steps, batch, .*--out"):
        train_style_adapter(engine, examples, SETTINGS, tmp_path, accelerator)


def test_the_file_is_a_public_one_in_half_precision(engine, tmp_path):
    adapter, path = new_adapter(engine, 3, SETTINGS), tmp_path / "style.safetensors"
    write_adapter(path, adapter, SETTINGS)
    read = read_ip_adapter(path)
    assert read.variant == "base"
    assert next(read.parameters()).dtype == torch.float16
    assert read.state_dict().keys() == adapter.state_dict().keys()


def test_prompts_are_dropped_as_often_as_was_said(examples):
    from visage.training import style_adapter

    settings = StyleAdapterSettings(batch=4000, text_drop=0.2, image_drop=0.1, both_drop=0.3)
    small = Examples(examples.latents[:, :, :1, :1], examples.embeds, [("a", "b")] * 3, None)
    batch = style_adapter._draw(small, settings, 1000, 0, "cpu")
    silent = torch.tensor([prompt == "" for prompt in batch.prompts])
    assert {"a", "b", ""} == set(batch.prompts)
    blind = ~batch.embeds.any(1)
    assert silent.float().mean() == pytest.approx(0.5, abs=0.03)
    assert blind.float().mean() == pytest.approx(0.4, abs=0.03)
    assert (silent & blind).float().mean() == pytest.approx(0.3, abs=0.03)

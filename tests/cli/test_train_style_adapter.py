"""`visage train style-adapter`, from a folder of pictures to a file that loads."""

import pytest
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from visage.cli.main import main
from visage.models.ip_adapter import read_ip_adapter


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (40, 64), name).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"a {name} picture")
    return folder


@pytest.fixture
def encoder(tmp_path):
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        image_size=32, patch_size=16, projection_dim=24,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def test_writes_an_adapter_and_goes_on_with_its_run(
    pictures, encoder, random_starter, tmp_path, capsys
):
    arguments = [
        "train", "style-adapter", str(pictures), "--base", str(random_starter), "--cpu",
        "--image-encoder", str(encoder), "--out", str(tmp_path / "run"), "--batch", "2",
        "--size", "64", "--token-width", "16",
    ]  # fmt: skip
    assert main([*arguments, "--steps", "1"]) == 0
    path = tmp_path / "run" / "ip_adapter.safetensors"
    assert capsys.readouterr().out.strip() == str(path)
    adapter = read_ip_adapter(path)
    assert (adapter.variant, adapter.input_width, adapter.text_width) == ("base", 24, 16)
    assert main([*arguments, "--steps", "2"]) == 2
    assert "another folder with --out" in capsys.readouterr().err


def test_a_missing_folder_and_encoder_are_named(pictures, random_starter, tmp_path, capsys):
    base = ["--base", str(random_starter), "--cpu", "--out", str(tmp_path / "run")]
    encoder = ["--image-encoder", str(tmp_path / "gone")]
    assert main(["train", "style-adapter", str(pictures), *base, *encoder]) == 2
    assert "no image encoder in" in capsys.readouterr().err
    assert main(["train", "style-adapter", str(tmp_path / "none"), *base]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err

"""The examples of README and the guides: Python runs as it stands, commands are ones that exist."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import visage
from PIL import Image
from visage.cli.main import build_parser

ROOT = Path(visage.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> dict[str, str]:
    """The code blocks of a language on all pages, named by page and number."""
    found = {}
    for page in PAGES:
        pattern = rf"^```{language}\n(.*?)^```$"
        for number, code in enumerate(re.findall(pattern, page.read_text(), re.M | re.S), 1):
            found[f"{page.stem} {number}"] = code
    return found


EXAMPLES = blocks("python")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a photograph."""
    Image.fromarray(skimage.data.astronaut()[:256, 100:356]).save(tmp_path / "me.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name: str) -> None:
    exec(compile(EXAMPLES[name], name, "exec"), {})  # noqa: S102


def test_every_example_is_run_here():
    over_the_api = "headless 1"  # in tests/server/test_queue.py
    assert set(EXAMPLES) == {over_the_api, "headless 2", "troubleshooting 1"}


@pytest.mark.slow
def test_an_edit_without_comfyui(folder, capsys):
    run("headless 2")
    assert json.loads(capsys.readouterr().out)["outside_max_abs_diff"] == 0
    edited = np.asarray(Image.open("edited.png"))
    assert edited.shape == (256, 256, 3)
    assert (edited != np.asarray(Image.open("me.png"))).any()


def test_a_peft_file_becomes_one_for_comfyui(folder):
    from visage.models.checkpoints import read_weights, write_weights

    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {
        f"{layer}.lora_A.weight": torch.ones(2, 8),
        f"{layer}.lora_B.weight": torch.ones(8, 2),
    }
    write_weights("adapter_model.safetensors", tensors, {})
    run("troubleshooting 1")
    assert any(name.startswith("lora_unet_") for name in read_weights("style.safetensors"))


def commands() -> list[str]:
    """Every `visage ...` in a code block, continued lines joined."""
    text = "\n".join(blocks("").values()).replace("\\\n", " ")
    lines = (line.partition("  #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line.startswith("visage ")]


@pytest.mark.parametrize("command", commands())
def test_commands_are_ones_that_exist(command):
    words = [word for word in shlex.split(command)[1:] if word != "..."]
    assert build_parser(words).parse_args(words).command == words[0]


def test_readme_says_how_to_call_the_command():
    readme = (ROOT / "README.md").read_text()
    assert ".venv/bin/visage" in readme
    assert "pip install -e ." in readme


def test_make_targets_and_extras_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    pages = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "README.ko.md"]
    text = "\n".join(page.read_text() for page in pages)
    targets = set(re.findall(r"(?:`|^)make ([\w-]+)", text, re.M))
    assert {target for target in targets if f"\n{target}:" not in makefile} == set()
    extras = {extra for named in re.findall(r"\[([a-z,]+)\]\"", text) for extra in named.split(",")}
    assert {extra for extra in extras if f"\n{extra} = [" not in project} == set()
    assert extras

"""The package itself, and the door by which ComfyUI enters."""

import re
import subprocess
import sys
from pathlib import Path

import visage


def test_importing_it_needs_neither_comfyui_nor_torch():
    code = "import sys, visage; sys.exit(any(name in sys.modules for name in ('torch', 'comfy')))"
    result = subprocess.run([sys.executable, "-c", code], cwd="/", check=False)  # noqa: S603
    assert result.returncode == 0


def test_the_door_is_small_and_has_what_comfyui_looks_for():
    door = Path(visage.__file__)
    assert len(door.read_text(encoding="utf-8").splitlines()) < 50
    assert (door.parent / visage.WEB_DIRECTORY).is_dir()
    # With these, ComfyUI would pass over the entry point.
    assert not hasattr(visage, "NODE_CLASS_MAPPINGS")


def test_the_page_knows_every_sample_picture():
    web = Path(visage.__file__).parent / visage.WEB_DIRECTORY
    script = (web / "sample_picture.js").read_text(encoding="utf-8")
    listed = re.findall('"([^"]+)"', script.partition("SAMPLES = [")[2].partition("]")[0])
    assert listed == sorted(path.name for path in (web / "samples").iterdir())

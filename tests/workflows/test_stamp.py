"""Every committed picture says which commit and script made it, and templates' are of their day."""

from pathlib import Path

import numpy as np
import pytest
import visage
from PIL import Image
from visage.workflows.builder.stamp import current_commit, digest, read_stamp, stamp

ROOT = Path(visage.__file__).parent
TEMPLATES = sorted((ROOT / "workflows").glob("*.jpg"))
PICTURES = sorted((ROOT / "docs/images").iterdir())


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_stamp_is_written_and_replaced_without_touching_the_picture(tmp_path, suffix):
    file = tmp_path / f"picture{suffix}"
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(file)
    before = np.asarray(Image.open(file))
    assert read_stamp(file) == {}
    stamp(file, "docs/make_graphs.py", "face_edit", commit="0123456789")
    once = file.stat().st_size
    stamp(file, "docs/make_graphs.py", "face_edit", commit="9876543210")
    assert file.stat().st_size == once
    assert read_stamp(file) == {
        "commit": "9876543210",
        "by": "docs/make_graphs.py",
        "workflow": "face_edit",
        "digest": digest("face_edit"),
    }
    assert (np.asarray(Image.open(file)) == before).all()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_other_files_are_refused(tmp_path):
    file = tmp_path / "picture.webp"
    Image.new("RGB", (8, 8)).save(file)
    with pytest.raises(ValueError, match="JPEG and PNG"):
        stamp(file, "anything")


def test_without_a_commit_it_is_the_one_at_hand(tmp_path):
    file = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(file)
    stamp(file, "docs/make_graphs.py")
    assert read_stamp(file)["commit"] == current_commit()


@pytest.mark.parametrize("picture", [*TEMPLATES, *PICTURES], ids=lambda path: path.name)
def test_every_picture_says_what_made_it(picture):
    said = read_stamp(picture)
    assert said.keys() >= {"commit", "by"}, "make it with its script, which stamps it"


@pytest.mark.parametrize("picture", TEMPLATES, ids=lambda path: path.stem)
def test_no_templates_picture_is_older_than_its_workflow(picture):
    """It shows what its workflow runs now: `python docs/make_thumbnails.py NAME` makes it anew."""
    said = read_stamp(picture)
    assert said["digest"] == digest(said["workflow"]), f"{said['workflow']} has changed since"

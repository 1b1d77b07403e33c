"""`visage data render`: CelebAMask-HQ's layout, the same bytes twice, resumable."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from visage.cli.main import main
from visage.world import portrait
from visage.world.export import PARTS, export_portraits

COUNT, SIZE = 4, 48


def draw(folder: Path, count: int = COUNT, **changes) -> list[int]:
    settings = {"size": SIZE, "split": "train", "style": None, "workers": 1, **changes}
    return list(export_portraits(folder, count, **settings))


def digest(folder: Path) -> str:
    summary = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            summary.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return summary.hexdigest()


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "faces"
    assert draw(folder) == [0, 1, 2, 3, 4]
    return folder


def test_pictures_and_masks_come_back_as_they_were_drawn(exported):
    for index in range(COUNT):
        drawn = portrait(index, SIZE)
        image = cv2.imread(str(exported / "CelebA-HQ-img" / f"{index}.png"))[..., ::-1]
        assert np.array_equal(image, drawn.image)
        labels = np.zeros((SIZE, SIZE), np.uint8)
        for label, part in enumerate(PARTS, start=1):
            path = exported / "CelebAMask-HQ-mask-anno" / "0" / f"{index:05d}_{part}.png"
            if path.exists():
                labels[cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) == 255] = label
        assert np.array_equal(labels, drawn.labels)


def test_the_attribute_table_is_celebas(exported):
    lines = (exported / "CelebAMask-HQ-attribute-anno.txt").read_text().splitlines()
    assert lines[0] == str(COUNT) and len(lines[1].split()) == 40
    name, *flags = lines[2].split()
    assert name == "0.png" and set(flags) <= {"1", "-1"}
    truth = portrait(0, SIZE).attributes
    assert [flag == "1" for flag in flags] == list(truth.values())


def test_every_portrait_has_a_line_of_captions(exported):
    records = [json.loads(line) for line in (exported / "captions.jsonl").read_text().splitlines()]
    assert [record["index"] for record in records] == list(range(COUNT))
    drawn = portrait(2, SIZE)
    assert records[2]["captions"] == drawn.captions
    assert tuple(records[2]["box"]) == drawn.box
    assert np.allclose(records[2]["landmarks"], drawn.landmarks, atol=0.01)
    assert records[2]["identity"] == drawn.identity_id


def test_two_exports_are_the_same_bytes(exported, tmp_path):
    draw(tmp_path / "again")
    assert digest(tmp_path / "again") == digest(exported)


def test_an_interrupted_export_is_completed(exported, tmp_path):
    folder = tmp_path / "half"
    progress = export_portraits(folder, COUNT, SIZE, "train", None, 1)
    assert [next(progress), next(progress), next(progress)] == [0, 1, 2]
    progress.close()
    with (folder / "captions.jsonl.part").open("a") as file:
        file.write('{"index": 2, "cut off')
    assert draw(folder) == [2, 3, 4]
    assert digest(folder) == digest(exported)


def test_a_finished_export_is_left_as_it_is_and_can_grow(exported, tmp_path):
    before = digest(exported)
    assert draw(exported) == [COUNT]
    assert digest(exported) == before
    draw(tmp_path / "grown", 2)
    assert draw(tmp_path / "grown") == [2, 3, 4]
    assert digest(tmp_path / "grown") == before


def test_folders_of_others_are_refused(exported, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        draw(tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        draw(exported, size=32)
    for wrong in ({"size": 4}, {"split": "all"}, {"style": "cubist"}):
        with pytest.raises(ValueError):
            draw(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_command_reports_the_rate_and_the_errors(tmp_path, capsys):
    arguments = ["data", "render", "--out", str(tmp_path / "faces"), "--size", "32"]
    assert main([*arguments, "--count", "3", "--workers", "2", "--style", "ink"]) == 0
    assert "3 portraits" in capsys.readouterr().out
    assert len(list((tmp_path / "faces" / "CelebA-HQ-img").iterdir())) == 3
    assert main([*arguments, "--count", "3"]) == 2
    assert "other settings" in capsys.readouterr().err

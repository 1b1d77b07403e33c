"""`visage train starter`: which stages there are, and what goes on with what."""

import pytest

pytest.importorskip("diffusers")

from visage.cli import main
from visage.training.starter import photo_recipe, recipe


@pytest.fixture
def ran(monkeypatch) -> list:
    """Train nothing; the list receives the stages that were asked for."""
    stages = []

    class PhotoRecipe:
        def __init__(self, settings, work, start, photos, paintings, device):
            self.start, self.device = start, device.type

        def export(self, out):
            stages.append(("export", self.start, out))
            return out

        def run(self, stage):
            stages.append((stage, self.start, self.device))

    def run(settings, work, stage, threads):
        stages.append((stage, threads))

    monkeypatch.setattr(photo_recipe, "PhotoRecipe", PhotoRecipe)
    monkeypatch.setattr(recipe, "run", run)
    return stages


def test_photographs_go_on_from_the_starter_that_is_named(ran, tmp_path):
    work, start = tmp_path / "work", tmp_path / "start"
    command = ["train", "starter", "--photos", str(tmp_path), "--start", str(start)]
    assert main.main([*command, "--work", str(work)]) == 0
    assert ran == [("export", start, work / "export")]
    assert main.main([*command, "--work", str(work), "--stage", "photo_unet"]) == 0
    assert ran[1:] == [("photo_unet", start, "cpu")]


def test_without_photographs_the_stages_are_the_drawn_ones(ran, tmp_path, capsys):
    work = ["--work", str(tmp_path / "work")]
    assert main.main(["train", "starter", *work, "--stage", "vae"]) == 0
    assert ran == [("vae", None)]
    assert main.main(["train", "starter", *work, "--stage", "photo_unet"]) != 0
    assert "--photos adds more" in capsys.readouterr().err
    assert main.main(["train", "starter", *work, "--device", "cuda"]) != 0
    assert "--device needs --photos" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["vae", "face_edit", "export", "drawings"])
def test_beginning_with_a_starter_leaves_only_the_stages_on_photographs(
    ran, tmp_path, capsys, stage
):
    work, start = tmp_path / "work", ["--start", str(tmp_path)]
    command = ["train", "starter", "--photos", str(tmp_path), "--work", str(work)]
    assert main.main([*command, *start, "--stage", stage]) == 2
    said = capsys.readouterr().err
    assert f"There is no stage {stage!r}; the stages are photo_vae, photo_unet," in said
    assert "--start takes the place of those on drawings" in said and said.count("\n") == 1
    assert ran == [] and not work.exists()


def test_with_photographs_and_no_starter_the_drawn_stages_are_there_too(ran, tmp_path):
    command = ["train", "starter", "--photos", str(tmp_path), "--work", str(tmp_path / "work")]
    assert main.main([*command, "--stage", "vae"]) == 0
    assert ran == [("vae", None)]


def test_a_run_that_is_there_is_gone_on_with_only_when_asked(ran, tmp_path, capsys):
    (tmp_path / "photo_unet.pt").write_bytes(b"")
    command = ["train", "starter", "--photos", str(tmp_path), "--start", str(tmp_path)]
    command += ["--work", str(tmp_path), "--stage", "photo_unet"]
    assert main.main(command) != 0
    assert "--resume" in capsys.readouterr().err
    assert main.main([*command, "--resume"]) == 0
    assert ran == [("photo_unet", tmp_path, "cpu")]

"""`visage batch` with workers that have a ComfyUI of their own."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import visage
from PIL import Image
from visage.cli.main import main
from visage.headless.preparation import SAMPLES

WORKFLOWS = Path(visage.__file__).parent / "workflows"
QUICK = ("--set", "Sampler.steps=2", "--set", "Sampler.seed=5", "--set", "Crop faces.size=64")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with two photographs, one of them twice, and a file that is none."""
    path = tmp_path_factory.mktemp("in")
    for name, start in (("first", 50), ("second", 60), ("second again", 60)):
        photograph = skimage.data.astronaut()[:300, start : start + 260]
        Image.fromarray(photograph).save(path / f"{name}.png")
    (path / "bad.png").write_bytes(b"no picture")
    return path


@pytest.fixture(scope="module")
def queued(server, folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("queued")
    words = ["queue", WORKFLOWS / "face_edit.json", *QUICK, "--server", server.url]
    assert main([*map(str, words), "--input", str(folder), "--out", str(out)]) == 1
    return out


def batch(workflow: Path, folder: Path, out: Path, engine: str) -> dict[str, dict]:
    from pyarrow import parquet

    words = ["batch", workflow, folder, "--out", out, "--engine", engine, *QUICK]
    assert main(list(map(str, words))) == 1
    return {row["id"]: row for row in parquet.read_table(out / "results.parquet").to_pylist()}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("engine", "workflow", "apart"),
    [("comfyui", "face_edit.json", 0), ("diffusers", "api/face_edit.json", 1)],
)
def test_gives_what_the_queue_gives(queued, folder, tmp_path, engine, workflow, apart):
    rows = batch(WORKFLOWS / workflow, folder, tmp_path / "out", engine)
    assert sorted(rows) == ["bad", "first", "second", "second again"]
    assert rows["bad"]["error"]
    for name in ("first", "second", "second again"):
        row = rows[name]
        assert not row["error"]
        assert row["files"] == [f"pictures/{name}_Result.png"]
        ours, theirs = (
            pixels(tmp_path / "out" / row["files"][0]),
            pixels(queued / f"{name}_Result.png"),
        )
        assert np.abs(ours - theirs).max() <= apart
        assert dict(row["numbers"])["Report.outside_max_abs_diff"] == 0
        assert dict(row["seeds"]) == {"Sampler.seed": 5}


def style_workflow() -> dict:
    """Two ways to give a picture the colours of another one, and the scores of both."""

    def node(kind: str, title: str, **inputs: object) -> dict:
        return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}

    transfer = {"steps": 2, "inversion_steps": 50, "gamma": 0.75, "temperature": 1.5, "adain": 1.0}
    transfer |= {"content_weight": 0.25, "learning_rate": 0.05, "host": "query-preserving"}
    choice = {"order": "left to right", "face_index": -1, "smallest": 0, "largest": 0}
    size = {"upscale_method": "bilinear", "width": 128, "height": 128, "crop": "center"}
    scores = {"features": "starter (built in)", "style": ["2", 0], "original": ["15", 0]}
    return {
        "1": node("LoadImage", "Picture", image="visage_portrait.png"),
        "15": node("ImageScale", "Size", image=["1", 0], **size),
        "2": node("LoadImage", "Style picture", image="visage_style_ink.png"),
        "3": node("VisageLoadStarter", "Model"),
        "4": node("VAEEncode", "Content", pixels=["15", 0], vae=["3", 2]),
        "5": node("VAEEncode", "Style latent", pixels=["2", 0], vae=["3", 2]),
        "6": node("VisageLatentAdaIN", "AdaIN", content=["4", 0], style=["5", 0], strength=0.6),
        "7": node("CLIPTextEncode", "Nothing", clip=["3", 1], text=""),
        "8": node(
            "VisageStyleTransfer", "Transfer", model=["3", 0], positive=["7", 0],
            content=["6", 0], style=["5", 0], **transfer,
        ),
        "9": node("VAEDecode", "Decode", samples=["8", 0], vae=["3", 2]),
        "10": node("SaveImage", "Result", images=["9", 0], filename_prefix="x"),
        "11": node("VisageStyleScore", "Style score", result=["9", 0], **scores),
        "12": node("VisageLoadFaceAnalyzer", "Faces", analyzer="starter (built in)", **choice),
        "13": node(
            "VisageIdentityScore", "Identity", original=["15", 0], result=["9", 0],
            faces=["12", 0], accept_from=-1.0, no_face="accept",
        ),
        "14": node("PreviewAny", "Scores", source=["13", 5]),
        "16": node("PreviewAny", "Style", source=["11", 2]),
    }  # fmt: skip


def test_style_and_scores_are_those_of_comfyui(server, tmp_path, capsys):
    from visage.batch.job import Job

    path = tmp_path / "style.json"
    path.write_text(json.dumps(style_workflow()))
    words = ["queue", path, "--server", server.url, "--out", tmp_path / "queued", "--json"]
    capsys.readouterr()
    assert main(list(map(str, words))) == 0
    theirs = json.loads(capsys.readouterr().out)["items"][0]
    picture = (SAMPLES / "visage_portrait.png").read_bytes()
    ours = Job.read(path, engine="diffusers").start().run("visage_portrait.png", picture, {})
    (tmp_path / "ours.png").write_bytes(ours.files["_Result.png"])
    apart = pixels(tmp_path / "ours.png") - pixels(tmp_path / "queued" / "style_Result.png")
    assert np.abs(apart).max() <= 1
    assert ours.texts["Style score"] == theirs["texts"]["Style score"][0]
    assert ours.texts["Identity"] == theirs["texts"]["Identity"][0]
    assert set(ours.texts) == set(theirs["texts"])

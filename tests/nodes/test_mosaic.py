"""Mosaic Compose and Mosaic Restore, run as ComfyUI runs them."""

import json
from pathlib import Path

import pytest
import torch
from visage.models.face_analyzer import Analyzer, FoundFace, starter_analyzer

pytestmark = pytest.mark.usefixtures("as_in_a_node")


@pytest.fixture
def finder():
    """A face analyzer that sees these faces (x, y, side) in every picture."""

    def make(*faces):
        found = [FoundFace((x, y, side, side), 0.9, None) for x, y, side in faces]
        return Analyzer("finder", "none", lambda image: found)

    return make


@pytest.fixture
def compose(comfy_nodes):
    from visage.nodes.mosaic import VisageMosaicCompose

    def run(image, faces, upscale_model=None, **settings):
        values = {"size": 128, "context": 1.6, "restore": 0.8, "smallest": 12, "most": 16}
        return VisageMosaicCompose.execute(
            image, faces, **{**values, **settings}, upscale_model=upscale_model
        )

    return run


@pytest.fixture
def restore(comfy_nodes):
    from visage.nodes.mosaic import VisageMosaicRestore

    def run(stylised, mosaic, seam_match=0.5, keep_best=True, **more):
        return VisageMosaicRestore.execute(stylised, mosaic, seam_match, keep_best, **more)

    return run


@pytest.fixture(scope="module")
def upscale_model(comfy_nodes):
    """A tiny Real-ESRGAN with random weights, from ComfyUI's own Load Upscale Model."""
    architecture = pytest.importorskip("spandrel.architectures.ESRGAN")
    import folder_paths
    from comfy_extras.nodes_upscale_model import UpscaleModelLoader
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = architecture.ESRGAN(num_filters=8, num_blocks=1)
    folder = Path(folder_paths.get_folder_paths("upscale_models")[0])
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / "tiny_x4.safetensors")
    return UpscaleModelLoader.execute("tiny_x4.safetensors").args[0]


def test_a_mosaic_and_back(compose, restore, finder):
    image = torch.rand(2, 128, 128, 3)
    output = compose(image, finder((20, 30, 25), (80, 90, 20)))
    canvas, mask, mosaic, content, summary = output.args
    assert canvas.shape == content.shape == (*mask.shape, 3)
    assert len(mosaic.tiles) == 4
    assert output.ui.as_dict()["text"] == (summary,)
    kept = mosaic.canvas.clone()
    for _ in range(2):  # a second run takes the mosaic from ComfyUI's cache
        output = restore(1 - canvas, mosaic)
        restored, matte, summary, report = output.args
        assert restored.shape == image.shape and matte.shape == (2, 128, 128)
        assert torch.equal(mosaic.canvas, kept)
    assert len(json.loads(report)["faces"]) == len(summary.splitlines()) == 4


def test_faces_are_restored_by_an_upscale_model(compose, finder, upscale_model):
    image = torch.rand(1, 128, 128, 3)
    faces = finder((20, 30, 30))
    plain = compose(image, faces, restore=0.0).args[0]
    restored, _, mosaic, content, _ = compose(image, faces, upscale_model).args
    assert torch.equal(content, plain)
    assert torch.equal(restored[:, :128], plain[:, :128])
    (tile,) = mosaic.tiles
    x, y = tile.corner
    assert not torch.allclose(restored[0, y:, x:], plain[0, y:, x:], atol=0.05)
    assert next(upscale_model.model.parameters()).device.type == "cpu"


def test_an_upscale_model_gives_in_tiles_what_it_gives_at_once(comfy_nodes, upscale_model):
    from visage.engines.comfyui import upscale as comfyui_upscale

    picture = torch.rand(1, 40, 70, 3)
    with comfyui_upscale.upscaler(upscale_model) as enlarge:
        enlarged = enlarge(picture)
    expected = upscale_model(picture.movedim(-1, 1)).movedim(1, -1)
    assert enlarged.shape == (1, 160, 280, 3)
    assert torch.allclose(enlarged, expected, atol=1e-5)


def test_tiles_get_smaller_where_memory_runs_short(comfy, upscale_model, monkeypatch):
    import comfy.model_management
    import comfy.utils
    from visage.engines.comfyui import upscale as comfyui_upscale

    sizes = []

    def tiled_scale(pixels, run, tile_x, **more):
        sizes.append(tile_x)
        if tile_x > 130:
            raise comfy.model_management.OOM_EXCEPTION("no memory")
        return pixels

    monkeypatch.setattr(comfy.utils, "tiled_scale", tiled_scale)
    with comfyui_upscale.upscaler(upscale_model) as enlarge:
        enlarge(torch.rand(1, 8, 8, 3))
        assert sizes == [512, 256, 128]
        monkeypatch.setattr(comfyui_upscale, "MIN_TILE", 256)
        with pytest.raises(comfy.model_management.OOM_EXCEPTION):
            enlarge(torch.rand(1, 8, 8, 3))


def test_a_grey_upscale_model_is_refused(compose, finder):
    class Grey:
        input_channels = output_channels = 1

    with pytest.raises(ValueError, match="takes 1 channels.*RGB"):
        compose(torch.rand(1, 128, 128, 3), finder((20, 30, 30)), Grey())


def test_the_run_can_be_interrupted(comfy, compose, finder):
    import comfy.model_management

    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        compose(torch.rand(1, 128, 128, 3), finder((20, 30, 30)))


def test_each_face_is_shown(comfy, compose, finder, monkeypatch):
    import comfy.utils

    shown = []

    def hook(value, total, preview, node_id=None):
        shown.append((value, total, preview[1].size))

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    mosaic = compose(torch.rand(1, 128, 128, 3), finder((20, 30, 25), (80, 90, 20))).args[2]
    side = mosaic.layout.side
    assert shown == [(1, 2, (side, side)), (2, 2, (side, side))]


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (1, 100, 400, 4), (2, 90, 70, 1)])
def test_a_picture_without_faces_goes_through(compose, restore, finder, shape):
    image = torch.rand(*shape)
    canvas, mask, mosaic, _, summary = compose(image, finder()).args
    assert not mask.any()
    assert "no face found" in summary
    restored, matte, summary, _ = restore(1 - canvas, mosaic).args
    assert restored.shape[:3] == image.shape[:3]
    assert not matte.any()
    assert "no face found" in summary


def test_faces_are_measured_by_the_starter(compose, restore):
    from visage.world import scene

    analyzer = starter_analyzer()
    image = torch.from_numpy(scene(1, 256, "test").image)[None].float() / 255
    canvas, _, mosaic, _, _ = compose(image, analyzer).args
    assert mosaic.tiles
    _, _, summary, report = restore(canvas, mosaic, faces=analyzer).args
    assert "likeness" in summary
    for told in json.loads(report)["faces"]:
        assert told["after"] >= told["before"] - 1e-6

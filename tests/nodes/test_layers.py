"""The layer nodes, run as ComfyUI runs them."""

from pathlib import Path

import pytest
import torch


@pytest.fixture
def nodes(comfy_nodes):
    from visage.nodes import layers

    return layers


@pytest.fixture
def stack(nodes):
    mask = torch.zeros(1, 32, 48)
    mask[:, 8:24, 8:24] = 1
    picture = torch.rand(1, 32, 48, 3, generator=torch.Generator().manual_seed(1))
    layers, *_ = nodes.VisageSplitLayers.execute(picture, mask, "hair").args
    mask[:, 4:28, 4:40] = 1
    layers, *_ = nodes.VisageSplitLayers.execute(picture, mask, "person", layers).args
    return picture, layers


def test_a_chain_cuts_layer_after_layer_and_compose_gives_the_picture(nodes, stack):
    picture, layers = stack
    assert layers.names == ["background", "person", "hair"]
    image, _ = nodes.VisageComposeLayers.execute(layers, "background", "").args
    assert (image - picture).abs().max() <= 1 / 255


def test_a_layer_is_picked_changed_and_put_back(nodes, stack):
    _, layers = stack
    colour, mask = nodes.VisagePickLayer.execute(layers, "hair").args
    image, changed = nodes.VisageComposeLayers.execute(layers, "hair", "hair", 1 - colour).args
    assert torch.allclose(image[mask == 1], 1 - colour[mask == 1])
    assert changed.names == layers.names


@pytest.mark.parametrize("kind", ["ora", "psd"])
def test_saves_each_picture_under_a_free_name(nodes, stack, kind, monkeypatch, tmp_path):
    if kind == "psd":
        pytest.importorskip("psd_tools")
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    for _ in range(2):
        nodes.VisageSaveLayers.execute(stack[1], "people/anna", kind)
    saved = sorted(path.name for path in (tmp_path / "people").iterdir())
    assert len(saved) == 2 and all(Path(name).suffix == f".{kind}" for name in saved)


def test_a_name_that_is_taken_meanwhile_is_passed_over(nodes, stack, monkeypatch, tmp_path):
    import folder_paths

    def write(path, layers, merged):
        if not list(path.parent.iterdir()):
            path.write_bytes(b"somebody else's")
        write_openraster(path, layers, merged)

    write_openraster = nodes.LAYER_FILES["ora"]
    monkeypatch.setitem(nodes.LAYER_FILES, "ora", write)
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    saved = nodes.VisageSaveLayers.execute(stack[1], "anna{x}", "ora").ui["text"]
    assert saved == ["anna{x}_00002_.ora"]
    assert (tmp_path / "anna{x}_00001_.ora").read_bytes() == b"somebody else's"


def test_a_name_cannot_leave_the_output_folder(nodes, stack, monkeypatch, tmp_path):
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    with pytest.raises(Exception, match="outside the output folder"):
        nodes.VisageSaveLayers.execute(stack[1], "../elsewhere", "ora")

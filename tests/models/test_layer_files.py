import errno
import os
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from visage.models.layer_files import LAYER_FILES, write_openraster, write_psd


@pytest.fixture
def layers():
    random = np.random.default_rng(0)
    return [(name, random.integers(0, 256, (30, 20, 4), np.uint8)) for name in ("background", "頭")]


@pytest.fixture
def merged():
    return np.full((30, 20, 3), 77, np.uint8)


def test_openraster_holds_every_layer_highest_first(tmp_path, layers, merged):
    path = tmp_path / "a.ora"
    write_openraster(path, layers, merged)
    with zipfile.ZipFile(path) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert archive.read("mimetype") == b"image/openraster"
        image = ElementTree.fromstring(archive.read("stack.xml"))  # noqa: S314
        assert (image.get("w"), image.get("h")) == ("20", "30")
        listed = image.findall("stack/layer")
        assert [layer.get("name") for layer in listed] == ["頭", "background"]
        for layer, (_, pixels) in zip(listed, reversed(layers), strict=True):
            with archive.open(layer.get("src")) as file:
                assert np.array_equal(np.asarray(Image.open(file)), pixels)
        with archive.open("mergedimage.png") as file:
            assert np.array_equal(np.asarray(Image.open(file)), merged)


def test_psd_is_opened_again_by_psd_tools(tmp_path, layers, merged):
    psd_tools = pytest.importorskip("psd_tools")
    path = tmp_path / "a.psd"
    write_psd(path, layers, merged)
    document = psd_tools.PSDImage.open(path)
    assert document.size == (20, 30)
    assert [layer.name for layer in document] == ["background", "頭"]
    for layer, (_, pixels) in zip(document, layers, strict=True):
        # The transparency is a mask, so that the colours below it can be shown again.
        assert np.array_equal(np.asarray(layer.topil())[..., :3], pixels[..., :3])
        assert np.array_equal(np.asarray(layer.mask.topil()), pixels[..., 3])


@pytest.mark.slow
def test_a_psd_of_4000_px_is_opened_again(tmp_path):
    psd_tools = pytest.importorskip("psd_tools")
    path, colours = tmp_path / "large.psd", {"background": (9, 90, 200), "person": (210, 140, 110)}
    layers = [
        (name, np.full((3000, 4000, 4), (*colour, 255), np.uint8))
        for name, colour in colours.items()
    ]
    write_psd(path, layers, layers[-1][1][..., :3])
    document = psd_tools.PSDImage.open(path)
    assert document.size == (4000, 3000)
    for layer, (name, pixels) in zip(document, layers, strict=True):
        assert layer.name == name
        assert np.array_equal(np.asarray(layer.topil())[..., :3], pixels[..., :3])


@pytest.mark.parametrize("kind", LAYER_FILES)
def test_no_file_is_overwritten_and_none_is_left_half(tmp_path, layers, merged, kind):
    if kind == "psd":
        pytest.importorskip("psd_tools")
    path = tmp_path / f"a.{kind}"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="not overwritten"):
        LAYER_FILES[kind](path, layers, merged)
    assert path.read_bytes() == b"mine"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", LAYER_FILES)
def test_a_disk_without_hard_links_is_written_to_as_well(
    tmp_path, layers, merged, kind, monkeypatch
):
    if kind == "psd":
        pytest.importorskip("psd_tools")

    def refuse(source, target):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / f"a.{kind}"
    LAYER_FILES[kind](path, layers, merged)
    content = path.read_bytes()
    assert content.startswith({"ora": b"PK", "psd": b"8BPS"}[kind])
    with pytest.raises(FileExistsError, match="not overwritten"):
        LAYER_FILES[kind](path, layers, merged)
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_side_that_psd_cannot_hold_is_refused(tmp_path):
    pytest.importorskip("psd_tools")
    with pytest.raises(ValueError, match="30001 x 1 px; a PSD file's sides end at 30000"):
        write_psd(tmp_path / "a.psd", [], np.zeros((1, 30001, 3), np.uint8))

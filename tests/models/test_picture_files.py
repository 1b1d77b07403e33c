"""Every kind of picture file reads as what it shows, or is refused by name."""

import errno
import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import visage
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from visage.models.picture_files import BadPicture, read_mask, read_picture, save_new_png

# A ramp from black to white over 256 columns, and the same in other depths.
RAMP = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
GRAY = np.repeat(RAMP[..., None], 3, axis=2)
COLOUR = np.stack((RAMP, RAMP[:, ::-1], np.full_like(RAMP, 40)), axis=-1)


def pixels(path) -> np.ndarray:
    picture = read_picture(path)
    assert picture.mode == "RGB"
    return np.asarray(picture)


class TestPictures:
    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_sixteen_bit_gray(self, tmp_path, name):
        Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / name)
        assert np.array_equal(pixels(tmp_path / name), GRAY)

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_sixteen_bit_colour(self, tmp_path, name):
        cv2.imwrite(str(tmp_path / name), COLOUR[..., ::-1].astype(np.uint16) * 257)
        assert np.array_equal(pixels(tmp_path / name), COLOUR)

    def test_float_gray(self, tmp_path):
        Image.fromarray(RAMP.astype(np.float32) / 255).save(tmp_path / "a.tif")
        assert np.array_equal(pixels(tmp_path / "a.tif"), GRAY)

    def test_float_colour(self, tmp_path):
        cv2.imwrite(str(tmp_path / "a.tif"), COLOUR[..., ::-1].astype(np.float32) / 255)
        assert np.array_equal(pixels(tmp_path / "a.tif"), COLOUR)

    @pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr"])
    def test_modes_of_eight_bits(self, tmp_path, mode):
        black_and_white = (RAMP > 127).astype(np.uint8) * 255
        Image.fromarray(black_and_white).convert(mode).save(tmp_path / "a.tif")
        expected = np.repeat(black_and_white[..., None], 3, axis=2)
        assert np.array_equal(pixels(tmp_path / "a.tif"), expected)

    @pytest.mark.parametrize("mode", ["RGBA", "P", "LA"])
    def test_what_is_transparent_is_white(self, tmp_path, mode):
        shown = np.zeros((8, 8, 4), np.uint8)
        shown[2:6, 2:6] = (90, 90, 90, 255)
        picture = Image.fromarray(shown)
        picture.convert(mode).save(tmp_path / "a.png")
        expected = np.full((8, 8, 3), 255, np.uint8)
        expected[2:6, 2:6] = 90
        assert np.array_equal(pixels(tmp_path / "a.png"), expected)

    def test_inks_without_a_profile(self, tmp_path):
        Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
        red = pixels(tmp_path / "a.jpg")[0, 0].astype(int)
        assert np.abs(red - (255, 0, 0)).max() <= 3

    def test_a_profile_that_cannot_be_used_leaves_plain_inks(self, tmp_path):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        picture = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
        picture.save(tmp_path / "a.tif", icc_profile=profile)
        assert pixels(tmp_path / "a.tif")[0, 0].tolist() == [255, 0, 0]

    def test_a_turned_picture_is_upright(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was turned
        Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
        assert np.array_equal(pixels(tmp_path / "a.png"), np.rot90(COLOUR, -1))

    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            (np.linspace(0, 300, 64, dtype=np.float32), "floats go from 0 to 300"),
            (np.full(64, np.nan, np.float32), "floats go from nan to nan"),
            (np.arange(64, dtype=np.int32) * 9999, "int32 values have no agreed white"),
        ],
    )
    def test_what_has_no_white_is_refused(self, tmp_path, values, reason):
        Image.fromarray(values.reshape(8, 8)).save(tmp_path / "a.tif")
        with pytest.raises(BadPicture, match=f"a.tif: .*{reason}"):
            read_picture(tmp_path / "a.tif")

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_no_picture(self, tmp_path, name):
        (tmp_path / name).write_text("hello")
        with pytest.raises(BadPicture, match=f"{name}: not a readable picture"):
            read_picture(tmp_path / name)
        with pytest.raises(FileNotFoundError, match="There is no picture"):
            read_picture(tmp_path / "gone.png")


class TestMasks:
    def test_brightness(self, tmp_path):
        Image.fromarray(RAMP).save(tmp_path / "a.png")
        assert np.allclose(read_mask(tmp_path / "a.png"), RAMP / 255)

    @pytest.mark.parametrize("under", [0, 255])
    def test_alpha_where_it_varies(self, tmp_path, under, caplog):
        caplog.set_level(logging.INFO)
        painted = np.full((8, 256, 4), under, np.uint8)
        painted[..., 3] = RAMP
        Image.fromarray(painted).save(tmp_path / "a.png")
        assert np.allclose(read_mask(tmp_path / "a.png"), RAMP / 255)
        assert "a.png: the mask is what is opaque in it" in caplog.text

    def test_an_alpha_that_is_the_same_everywhere_counts_for_nothing(self, tmp_path):
        Image.fromarray(RAMP).convert("RGBA").save(tmp_path / "a.png")
        assert np.allclose(read_mask(tmp_path / "a.png"), RAMP / 255)

    @pytest.mark.parametrize("kind", [np.uint8, np.uint16])
    def test_zeros_and_ones(self, tmp_path, kind, caplog):
        caplog.set_level(logging.INFO)
        Image.fromarray((RAMP > 99).astype(kind)).save(tmp_path / "a.png")
        assert np.array_equal(read_mask(tmp_path / "a.png"), RAMP > 99)
        assert "a.png: its values are 0 and 1" in caplog.text

    def test_black_stays_black(self, tmp_path):
        Image.new("L", (8, 8)).save(tmp_path / "a.png")
        assert not read_mask(tmp_path / "a.png").any()


class TestNewPictures:
    def test_a_png_takes_the_first_free_number(self, tmp_path):
        (tmp_path / "a_2.png").write_text("mine")
        info = PngInfo()
        info.add_text("by", "somebody")
        paths = [
            save_new_png(Image.fromarray(COLOUR), tmp_path, "a_{}.png", 1, info) for _ in range(2)
        ]
        assert [path.name for path in paths] == ["a_1.png", "a_3.png"]
        assert np.array_equal(pixels(paths[1]), COLOUR)
        with Image.open(paths[0]) as picture:
            assert picture.info["by"] == "somebody"
        assert (tmp_path / "a_2.png").read_text() == "mine"
        assert len(list(tmp_path.iterdir())) == 3

    def test_a_disk_without_hard_links_is_written_to_as_well(self, tmp_path, monkeypatch):
        def refuse(source, target):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
        for number in (1, 2):
            path = save_new_png(Image.fromarray(COLOUR), tmp_path / "new", "a_{}.png", 1, PngInfo())
            assert path == tmp_path / "new" / f"a_{number}.png"
            assert np.array_equal(pixels(path), COLOUR)


def test_nobody_else_opens_a_picture_from_disk():
    root = Path(visage.__file__).parent
    folders = ("cli", "engines", "evaluation", "headless", "nodes", "techniques", "training")
    opening = [
        f"{path.relative_to(root)}: {line.strip()}"
        for folder in folders
        for path in (root / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if ("Image.open(" in line or "imread(" in line) and "BytesIO" not in line
    ]
    assert opening == []

"""Every layout gives the same kind of example, and every bad file one line that names it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from visage.training.face_edit.dataset import (
    BadExample,
    load_example,
    read_dataset,
    split_dataset,
)
from visage.world.export import MASKS, export_portraits


def only(folder, name):
    return next(example for example in read_dataset(folder) if example.name == name)


def complaint(folder, name="face1") -> str:
    """The line about a bad example."""
    with pytest.raises(BadExample) as caught:
        load_example(only(folder, name), 64, ("face",), None)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.fixture
def fresh(write_pairs, tmp_path):
    return write_pairs(tmp_path / "pairs", 3)


class TestPairs:
    def test_picture_mask_and_every_caption(self, pairs):
        example = only(pairs, "face2")
        assert example.captions == ("a photo of a woman, number 2", "a face")
        image, mask = load_example(example, 64, ("face",), None)
        assert image.shape == (64, 64, 3) and mask.shape == (64, 64)
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        assert image[mask > 0].mean() > image[mask == 0].mean() + 0.3

    def test_pictures_and_masks_of_other_depths(self, fresh):
        image, mask = load_example(only(fresh, "face1"), 64, ("face",), None)
        picture = Image.open(fresh / "face1.png").convert("L")
        Image.fromarray(np.array(picture).astype(np.uint16) * 257).save(fresh / "face1.png")
        zeros_and_ones = np.array(Image.open(fresh / "face1.mask.png").convert("L")) > 127
        Image.fromarray(zeros_and_ones.astype(np.uint8)).save(fresh / "face1.mask.png")
        deep, same = load_example(only(fresh, "face1"), 64, ("face",), None)
        assert torch.equal(same, mask)
        assert torch.allclose(deep.mean(-1), image.mean(-1), atol=0.1)

    def test_masks_may_lie_in_a_folder_of_their_own(self, fresh):
        (fresh / "masks").mkdir()
        (fresh / "face0.mask.png").rename(fresh / "masks" / "face0.png")
        assert only(fresh, "face0").masks == (fresh / "masks" / "face0.png",)

    def test_wide_picture_is_cut_to_the_square_around_the_face(self, tmp_path):
        picture, mask = np.zeros((64, 160, 3), np.uint8), np.zeros((64, 160), np.uint8)
        picture[20:40, 120:140], mask[20:40, 120:140] = 255, 255
        Image.fromarray(picture).save(tmp_path / "wide.png")
        Image.fromarray(mask).save(tmp_path / "wide.mask.png")
        (tmp_path / "wide.txt").write_text("a face")
        image, mask = load_example(only(tmp_path, "wide"), 64, ("face",), None)
        assert mask.sum() == 400
        assert torch.equal((image.mean(-1) > 0.5).float(), mask)

    def test_missing_mask_is_parsed(self, fresh, monkeypatch):
        (fresh / "face1.mask.png").unlink()
        assert "no face parser" in complaint(fresh)
        parser = object()

        def parse(image, given, parts, which):
            assert given is parser and parts == ("face",) and which == "largest"
            return SimpleNamespace(mask=(image.mean(-1) > 0.4).float())

        monkeypatch.setattr("visage.training.face_edit.dataset.face_mask", parse)
        image, mask = load_example(only(fresh, "face1"), 64, ("face",), parser)
        assert torch.equal(mask, (image.mean(-1) > 0.4).float()) and mask.any()

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_captions_in_unicode_encodings(self, fresh, encoding):
        (fresh / "face1.txt").write_text("une femme au chapeau, été\n", encoding=encoding)
        assert only(fresh, "face1").captions == ("une femme au chapeau, été",)


class TestCelebA:
    def test_smaller_masks_and_captions_from_the_attributes(self, celeba):
        examples = read_dataset(celeba)
        assert [example.name for example in examples] == ["0", "1", "2"]
        assert len(examples[0].captions) == 10
        assert any("glasses" in caption for caption in examples[0].captions)
        assert not any("glasses" in caption for caption in examples[2].captions)
        _, mask = load_example(examples[0], 64, ("face",), None)
        assert 0.1 < mask.mean() < 0.3

    def test_parts_choose_the_masks(self, celeba):
        example = read_dataset(celeba, ("face and hair",))[0]
        assert [path.name for path in example.masks] == ["00000_skin.png", "00000_hair.png"]

    def test_numbers_are_sorted_as_numbers(self, celeba):
        folder = celeba / "CelebA-HQ-img"
        for index in (10, 9):
            (folder / f"{index}.jpg").write_bytes((folder / "0.jpg").read_bytes())
        names = [example.name for example in read_dataset(celeba)]
        assert names == ["0", "1", "2", "9", "10"]

    def test_renderers_export_brings_its_own_captions(self, tmp_path):
        for _ in export_portraits(tmp_path / "world", 2, 64, "train", None, workers=1):
            pass
        examples = read_dataset(tmp_path / "world")
        assert len(examples) == 2 and len(examples[0].captions) == 10
        _, mask = load_example(examples[0], 64, ("face",), None)
        assert mask.any()


class TestBadData:
    """Each gives one clear line that names the file."""

    def test_truncated_picture(self, fresh):
        file = fresh / "face1.png"
        file.write_bytes(file.read_bytes()[:900])
        assert complaint(fresh).startswith(f"{file}: not a readable picture")

    def test_file_that_is_no_picture(self, fresh):
        (fresh / "face1.png").write_text("hello")
        assert "face1.png" in complaint(fresh)

    def test_mask_of_another_shape(self, fresh):
        Image.new("L", (64, 32), 255).save(fresh / "face1.mask.png")
        assert complaint(fresh) == (
            f"{fresh / 'face1.mask.png'}: the mask has 64 x 32 pixels and face1.png has 64 x 64"
        )

    def test_empty_mask(self, fresh):
        Image.new("L", (64, 64)).save(fresh / "face1.mask.png")
        assert "face1.mask.png: no face in it" in complaint(fresh)

    def test_missing_masks_of_a_celeba_picture(self, celeba):
        for file in (celeba / MASKS / "0").glob("00001_*"):
            file.unlink()
        assert "00001_skin.png" in complaint(celeba, "1")

    def test_picture_without_attributes(self, celeba):
        picture = celeba / "CelebA-HQ-img" / "0.jpg"
        (picture.with_name("3.jpg")).write_bytes(picture.read_bytes())
        for part in (celeba / MASKS / "0").glob("00000_*"):
            part.with_name(part.name.replace("00000", "00003")).write_bytes(part.read_bytes())
        assert "3.jpg" in complaint(celeba, "3")

    def test_caption_in_another_encoding(self, fresh):
        (fresh / "face1.txt").write_bytes("femme âgée".encode("latin-1"))
        line = complaint(fresh)
        assert "face1.txt: not UTF-8 (byte 0xe2 at 6)" in line and "save it as UTF-8" in line

    @pytest.mark.parametrize("content", [None, "", "\n \n"])
    def test_no_caption(self, fresh, content):
        (fresh / "face1.txt").unlink()
        if content is not None:
            (fresh / "face1.txt").write_text(content)
        assert "face1.txt: the caption is" in complaint(fresh)

    def test_empty_folder(self, tmp_path):
        with pytest.raises(ValueError, match="holds no pictures"):
            read_dataset(tmp_path)

    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="gone"):
            read_dataset(tmp_path / "gone")

    def test_celeba_without_attributes_and_captions(self, celeba):
        (celeba / "CelebAMask-HQ-attribute-anno.txt").unlink()
        with pytest.raises(ValueError, match="CelebAMask-HQ-attribute-anno.txt"):
            read_dataset(celeba)


class TestSplit:
    def test_same_lists_on_every_machine(self, pairs):
        training, evaluation = split_dataset(read_dataset(pairs), 1 / 3, 42)
        assert [example.name for example in training] == ["face4", "face0", "face5", "face2"]
        assert [example.name for example in evaluation] == ["face3", "face1"]

    def test_a_new_picture_moves_no_other_one_far(self, pairs):
        examples = read_dataset(pairs)
        whole, _ = split_dataset(examples, 0, 42)
        fewer, _ = split_dataset(examples[1:], 0, 42)
        assert [example for example in whole if example != examples[0]] == fewer

    def test_seed_changes_the_split(self, pairs):
        examples = read_dataset(pairs)
        orders = {tuple(e.name for e in split_dataset(examples, 0, seed)[0]) for seed in range(5)}
        assert len(orders) > 1

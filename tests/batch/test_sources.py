"""Pictures out of folders, Parquet files and tars."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from visage.batch.rows import is_safe
from visage.batch.sources import open_source
from visage.batch.store import Store


def png(colour: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), colour, np.uint8)).save(file, "PNG")
    return file.getvalue()


def rows(source, done=frozenset()) -> list:
    return [row for part in source.parts(done) for row in source.rows(part)]


def write_tar(path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


class TestFolder:
    def test_lists_pictures_below_without_hidden_ones_and_its_own_results(self, tmp_path):
        for name in ("b.png", "sub/a.JPG", ".hidden/c.png", "out/d.png", "notes.txt"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x")
        source = open_source(str(tmp_path), out=Store(str(tmp_path / "out")))
        assert [row.id for row in rows(source)] == ["b", "sub/a"]
        assert source.total == 2

    def test_keeps_apart_what_differs_in_the_suffix_alone(self, tmp_path):
        for name in ("a.png", "a.jpg", "b.png"):
            (tmp_path / name).write_bytes(b"x")
        assert [row.id for row in rows(open_source(str(tmp_path)))] == ["a.jpg", "a.png", "b"]

    def test_leaves_out_what_is_done_unless_it_changed(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"x")
        (tmp_path / "b.png").write_bytes(b"x")
        done = {row.key for row in rows(open_source(str(tmp_path)))}
        assert rows(open_source(str(tmp_path)), done) == []
        (tmp_path / "b.png").write_bytes(b"changed")
        assert [row.id for row in rows(open_source(str(tmp_path)), done)] == ["b"]

    def test_reads_an_object_store(self):
        store = Store("memory://bucket/in")
        store.write("a.png", png())
        source = open_source("memory://bucket/in")
        (row,) = rows(source)
        assert source.store.read(row.name) == png()

    def test_takes_a_single_file_and_a_pattern(self, tmp_path):
        for name in ("a.png", "b.png", "c.jpg"):
            (tmp_path / name).write_bytes(b"x")
        assert [row.id for row in rows(open_source(str(tmp_path / "a.png")))] == ["a"]
        assert [row.id for row in rows(open_source(f"{tmp_path}/*.png"))] == ["a", "b"]

    def test_says_what_is_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="There is no"):
            open_source(str(tmp_path / "none"))
        with pytest.raises(ValueError, match="nothing to work on"):
            open_source(str(tmp_path))
        (tmp_path / "a.png").write_bytes(b"x")
        write_tar(tmp_path / "t.tar", {})
        with pytest.raises(ValueError, match=r"pictures and tars: name one kind by a pattern"):
            open_source(str(tmp_path))


class TestTars:
    def test_reads_the_picture_of_each_key(self, tmp_path):
        members = {"one.png": png(1), "one.txt": b"words", "one.mask.png": png(9)}
        write_tar(tmp_path / "s.tar", {**members, "sub/two.jpg": b"not looked at"})
        found = rows(open_source(f"{tmp_path}/*.tar"))
        assert [(row.id, row.suffix) for row in found] == [("s/one", ".png"), ("s/sub/two", ".jpg")]
        assert found[0].data == png(1)

    def test_reads_a_cut_off_tar_as_far_as_it_goes(self, tmp_path):
        write_tar(tmp_path / "s.tar", {f"{n}.png": png(n) for n in range(4)})
        whole = (tmp_path / "s.tar").read_bytes()
        (tmp_path / "s.tar").write_bytes(whole[: len(whole) // 10 + 700])
        found = rows(open_source(str(tmp_path / "s.tar")))
        assert found[0].data == png(0)
        assert "s.tar cannot be read after" in found[-1].error

    def test_names_a_tar_that_is_none(self, tmp_path):
        (tmp_path / "s.tar").write_bytes(b"no tar at all, but long enough to be looked at" * 30)
        (row,) = rows(open_source(str(tmp_path / "s.tar")))
        assert "s.tar cannot be read" in row.error

    def test_names_a_key_that_comes_twice(self, tmp_path):
        with tarfile.open(tmp_path / "s.tar", "w") as tar:
            for _ in range(2):
                info = tarfile.TarInfo("a.png")
                info.size = len(png())
                tar.addfile(info, io.BytesIO(png()))
        first, second = rows(open_source(str(tmp_path / "s.tar")))
        assert not first.error
        assert "twice" in second.error
        assert first.id != second.id


class TestParquet:
    @pytest.fixture
    def write(self, tmp_path):
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        def write(name: str = "t.parquet", **columns) -> str:
            parquet.write_table(pyarrow.table(columns), tmp_path / name, row_group_size=2)
            return str(tmp_path / name)

        return write

    def test_reads_bytes_with_ids_and_settings(self, write):
        address = write(
            id=["x", "y", "z"],
            image=[png(n) for n in range(3)],
            **{"Prompt.text": ["hat", None, "coat"]},
        )
        source = open_source(address)
        found = rows(source)
        assert source.total == 3
        assert [(row.id, row.data) for row in found] == [
            ("x", png(0)), ("y", png(1)), ("z", png(2)),
        ]  # fmt: skip
        assert [row.settings for row in found] == [
            {"Prompt.text": "hat"}, {}, {"Prompt.text": "coat"},
        ]  # fmt: skip

    def test_reads_the_struct_of_hugging_face_and_numbers_its_rows(self, write):
        pictures = [{"bytes": png(n), "path": f"{n}.jpg"} for n in range(3)]
        found = rows(open_source(write(image=pictures)))
        assert [(row.id, row.suffix) for row in found] == [(f"t/{n:07}", ".jpg") for n in range(3)]

    def test_travels_to_workers(self, write):
        import pickle

        source = open_source(write(image=[png(1)], id=["a"]))
        parts = source.parts(frozenset())
        again = pickle.loads(pickle.dumps(source))  # noqa: S301
        assert [row.id for row in again.rows(parts[0])] == ["a"]

    def test_names_a_row_without_a_picture(self, write):
        good, bad = rows(open_source(write(image=[png(), None])))
        assert good.data
        assert "row 1 of t has no picture in image" in bad.error

    def test_refuses_ids_that_are_not_unique(self, write):
        with pytest.raises(ValueError, match="repeated values, such as same"):
            open_source(write(id=["same", "same"], image=[png(), png()]))

    def test_asks_for_the_column(self, write):
        address = write(portrait=[png()], other=["x"])
        with pytest.raises(ValueError, match="--column: portrait, other"):
            open_source(address)
        assert len(rows(open_source(address, column="portrait"))) == 1
        with pytest.raises(ValueError, match=r"no column nose \(--column\); there are portrait"):
            open_source(address, column="nose")

    def test_goes_on_after_a_broken_file(self, write, tmp_path):
        write("good.parquet", image=[png()])
        (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
        found = rows(open_source(f"{tmp_path}/*.parquet"))
        assert [bool(row.error) for row in found] == [True, False]
        assert "bad.parquet cannot be read" in found[0].error


@pytest.mark.parametrize("name", ["", "/a", "a//b", "../a", "a/..", "a\\b", "x\n", "a" * 500])
def test_a_name_that_would_leave_the_folder_is_not_safe(name):
    assert not is_safe(name)
    assert is_safe("a/b c-1.x")

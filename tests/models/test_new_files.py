"""Files are written whole, never over another, with hard links and without."""

import errno
import os

import pytest
from visage.models.new_files import write_new, write_numbered


def refuse(source, target):
    """As exFAT answers."""
    raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(source))


@pytest.fixture(params=["hard links", "no hard links"], autouse=True)
def disk(request, monkeypatch):
    """Every test is of a disk with hard links, and of one without."""
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", refuse)


def writes(text: str):
    return lambda path: path.write_text(text)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_gets_its_name_when_it_is_complete(tmp_path):
    path, seen = tmp_path / "a.txt", []

    def write(temporary):
        temporary.write_text("half")
        seen.append(path.exists())
        temporary.write_text("whole")

    write_new(path, write)
    assert path.read_text() == "whole" and seen == [False]
    assert names(tmp_path) == ["a.txt"]


def test_a_taken_name_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="a.txt exists already and is not overwritten"):
        write_new(tmp_path / "a.txt", lambda _: pytest.fail("it was written"))
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_a_name_that_is_taken_meanwhile_is_refused_too(tmp_path):
    path = tmp_path / "a.txt"

    def write(temporary):
        temporary.write_text("new")
        path.write_text("mine")

    with pytest.raises(FileExistsError, match="a.txt exists already and is not overwritten"):
        write_new(path, write)
    assert path.read_text() == "mine"
    assert names(tmp_path) == ["a.txt"]


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path):
    def write(temporary):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write_new(tmp_path / "a.txt", write)
    assert names(tmp_path) == []


def test_a_link_that_leads_nowhere_takes_a_name_as_well(tmp_path):
    (tmp_path / "a.txt").symlink_to(tmp_path / "gone")
    with pytest.raises(FileExistsError, match="not overwritten"):
        write_new(tmp_path / "a.txt", writes("new"))
    assert names(tmp_path) == ["a.txt"]


def test_the_first_free_number_is_taken(tmp_path):
    for number in (3, 4, 6):
        (tmp_path / f"{number}.txt").write_text("mine")

    def write(path):
        write_new(path, writes("new"))

    written = [write_numbered(lambda n: tmp_path / f"{n}.txt", 3, write) for _ in range(2)]
    assert [path.name for path in written] == ["5.txt", "7.txt"]
    assert (tmp_path / "4.txt").read_text() == "mine"


def test_a_number_that_is_taken_meanwhile_is_passed_over(tmp_path):
    def write(path):
        if path.name == "1.txt":
            path.write_text("mine")  # by somebody else, after the first look
        write_new(path, writes("new"))

    assert write_numbered(lambda n: tmp_path / f"{n}.txt", 1, write) == tmp_path / "2.txt"
    assert (tmp_path / "1.txt").read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_ends_the_search_for_a_number(tmp_path):
    (tmp_path / "folder").write_text("mine")

    def write(path):
        path.parent.mkdir()

    with pytest.raises(FileExistsError):
        write_numbered(lambda n: tmp_path / "folder" / f"{n}.txt", 1, write)


def test_a_move_that_fails_frees_the_name_again(tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        write_new(tmp_path / "a.txt", writes("new"))
    assert names(tmp_path) == []

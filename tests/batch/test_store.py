"""Files of a folder or an object store appear whole or not at all."""

import pickle

import pytest
from visage.batch.store import Store


@pytest.fixture(params=["folder", "file address", "memory"])
def store(request, tmp_path) -> Store:
    addresses = {
        "folder": str(tmp_path / "out"),
        "file address": f"file://{tmp_path}/out",
        "memory": f"memory://{tmp_path.name}",
    }
    return Store(addresses[request.param])


def test_gives_back_what_was_written(store):
    assert store.is_empty()
    store.write("a/b.txt", b"first")
    store.write("a/b.txt", b"second")
    store.write("c.txt", b"third")
    assert store.read("a/b.txt") == b"second"
    assert [name for name, _ in store.listed()] == ["a/b.txt", "c.txt"]
    assert [name for name, _ in store.listed("a")] == ["a/b.txt"]
    assert not store.is_empty()
    store.remove(["a/b.txt", "never there"])
    assert not store.exists("a/b.txt")
    with pytest.raises(FileNotFoundError):
        store.read("a/b.txt")


def test_sees_what_another_process_wrote(store):
    assert list(store.listed()) == []
    pickle.loads(pickle.dumps(store)).write("new.txt", b"x")  # noqa: S301
    assert [name for name, _ in store.listed()] == ["new.txt"]


def test_leaves_nothing_of_a_write_that_fails(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    store.write("kept.txt", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write("kept.txt", b"new")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    assert store.read("kept.txt") == b"old"


def test_clears_away_what_a_killed_writer_left(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    store.write("pictures/a.png", b"whole")
    store.write("pictures/.mine.part", b"a file of the user's")
    with monkeypatch.context() as killed:
        killed.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        killed.setattr("visage.batch.store._remove_quietly", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            store.write("pictures/b.png", b"half")
    assert len(list(store.listed())) == 3
    store.remove_parts()
    assert [name for name, _ in store.listed()] == ["pictures/.mine.part", "pictures/a.png"]


def test_names_an_address_that_it_cannot_use():
    with pytest.raises(ValueError, match="cannot use nowhere://x"):
        Store("nowhere://x")

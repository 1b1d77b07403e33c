"""Models that stay loaded between runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from torch import nn
from visage.models.managed_network import ManagedNetwork


@pytest.fixture
def memory(comfy):
    from visage.engines.comfyui import memory

    return memory


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.touch()
    return paths


@pytest.fixture
def load():
    """A loader that counts what it reads."""

    def read(path: Path) -> ManagedNetwork:
        read.files.append(path.name)
        return ManagedNetwork(nn.Linear(1, 1), path.name)

    read.files = []
    return read


def test_a_file_is_read_once_and_again_when_it_changes(memory, files, load):
    first = memory.kept(load, files[0])
    assert memory.kept(load, files[0]) is first and first.on_use is not None
    os.utime(files[0], ns=(1, 1))
    assert memory.kept(load, files[0]) is not first
    assert load.files == ["a", "a"]


def test_the_last_model_of_a_kind_is_kept(memory, files, load):
    for path in (*files, files[1]):
        memory.kept(load, path)
    assert load.files == ["a", "b"]
    memory.kept(load, files[0])
    assert load.files == ["a", "b", "a"]


def test_what_was_used_last_stays(memory):
    cache, loaded = memory.ModelCache(2), []
    for key in "abaca":
        cache.get(key, lambda key=key: loaded.append(key))
    assert loaded == ["a", "b", "c"]


def test_a_missing_file_says_so(memory, tmp_path, load):
    with pytest.raises(FileNotFoundError, match="gone"):
        memory.kept(load, tmp_path / "gone")

from __future__ import annotations

import pytest
import torch
from visage.models.checkpoints import (
    read_metadata,
    read_weights,
    require_new_weights,
    write_weights,
)

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}


def assert_same(read, written=WEIGHTS):
    assert read.keys() == written.keys()
    assert all(torch.equal(read[name], written[name]) for name in written)


def test_safetensors_come_back_with_their_metadata(tmp_path):
    path = tmp_path / "deep" / "weights.safetensors"
    write_weights(path, WEIGHTS, {"visage.kind": "test"})
    assert_same(read_weights(path))
    assert read_metadata(path) == {"visage.kind": "test"}
    assert [p.name for p in path.parent.iterdir()] == ["weights.safetensors"]


def test_tied_and_strided_tensors_can_be_written(tmp_path):
    tied = {"a": WEIGHTS["a"], "again": WEIGHTS["a"], "turned": WEIGHTS["a"].T}
    write_weights(tmp_path / "w.safetensors", tied, {})
    assert_same(read_weights(tmp_path / "w.safetensors"), tied)


def test_a_users_file_is_overwritten_only_when_asked_for(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, WEIGHTS, {})
    with pytest.raises(FileExistsError, match="weights.safetensors"):
        write_weights(path, {"a": torch.zeros(1)}, {})
    assert_same(read_weights(path))
    write_weights(path, {"a": torch.zeros(1)}, {}, overwrite=True)
    assert_same(read_weights(path), {"a": torch.zeros(1)})


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, WEIGHTS, {})
    with pytest.raises(TypeError):
        write_weights(path, {"a": torch.zeros(1)}, {"number": 1}, overwrite=True)
    assert_same(read_weights(path))
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]


def test_only_safetensors_are_written(tmp_path):
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="weights.pth"):
            write_weights(tmp_path / "weights.pth", WEIGHTS, {}, overwrite)


def test_a_path_that_cannot_be_written_is_refused_beforehand(tmp_path):
    require_new_weights(tmp_path / "new" / "w.SAFETENSORS")
    with pytest.raises(ValueError, match="not as 'w.pth'. Choose another name."):
        require_new_weights(tmp_path / "w.pth")
    (tmp_path / "w.safetensors").touch()
    with pytest.raises(FileExistsError, match="w.safetensors exists already and is kept. Say so."):
        require_new_weights(tmp_path / "w.safetensors", advice="Say so.")
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_the_parts_of_a_file_of_parts_are_named_by_part(tmp_path):
    path = tmp_path / "adapter.bin"
    torch.save({"image_proj": {"a": WEIGHTS["a"]}, "ip_adapter": {"b": WEIGHTS["b"]}}, path)
    named = {"image_proj.a": WEIGHTS["a"], "ip_adapter.b": WEIGHTS["b"]}
    assert_same(read_weights(path), named)


@pytest.mark.parametrize(
    "content",
    [WEIGHTS, {"state_dict": WEIGHTS, "epoch": 3}, {"model": {"state_dict": WEIGHTS}}],
    ids=["bare", "state_dict", "nested"],
)
def test_pickles_are_read_without_their_training_wrappers(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    assert_same(read_weights(path))
    assert read_metadata(path) == {}


class Dangerous:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_a_pickle_with_code_in_it_is_not_run(tmp_path, capsys):
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": WEIGHTS, "extra": Dangerous()}, path)
    with pytest.raises(ValueError, match="not opened, because a pickle can run code"):
        read_weights(path)
    assert "must not run" not in capsys.readouterr().out


def test_a_missing_file_tells_what_lies_beside_it(tmp_path):
    write_weights(tmp_path / "other.safetensors", WEIGHTS, {})
    with pytest.raises(FileNotFoundError, match="other.safetensors"):
        read_weights(tmp_path / "absent.safetensors")
    with pytest.raises(FileNotFoundError, match="no files"):
        read_weights(tmp_path / "nowhere" / "absent.safetensors")


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("kept", [0, 6, 0.5, 0.99], ids=["empty", "head", "half", "nearly"])
def test_a_truncated_file_is_told_from_a_whole_one(tmp_path, name, kept):
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(WEIGHTS, path)
    else:
        write_weights(path, WEIGHTS, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(ValueError, match=f"{name}.*bytes.*get the file again"):
        read_weights(path)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>not found</html>", "web page"),
    ],
)
def test_what_was_downloaded_by_mistake_is_named(tmp_path, name, content, advice):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=advice):
        read_weights(path)


def test_a_pickle_without_named_tensors_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(ValueError, match="list without named tensors"):
        read_weights(path)


def test_safetensors_under_another_name_are_read(tmp_path):
    write_weights(tmp_path / "weights.safetensors", WEIGHTS, {"made": "now"})
    path = (tmp_path / "weights.safetensors").rename(tmp_path / "weights.pth")
    assert_same(read_weights(path))
    assert read_metadata(path) == {"made": "now"}


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"<!DOCTYPE html><html></html>", "It is a web page, not the weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
        (b"nothing of the kind", "It is truncated, damaged or of another kind"),
    ],
    ids=["page", "pointer", "text"],
)
def test_a_file_that_is_no_pickle_is_refused_in_our_words(tmp_path, content, advice):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="it is no pickle of tensors") as caught:
        read_weights(path)
    assert advice in str(caught.value)
    assert "weights_only" not in str(caught.value)

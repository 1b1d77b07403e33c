"""The files that a run leaves in an output folder."""

from __future__ import annotations

import asyncio
import os

import pytest
from visage.headless.results import ending_of, keep, saved_files

PROMPT = {
    "3": {"class_type": "SaveImage", "inputs": {}, "_meta": {"title": "Result: (final)!"}},
    "4": {"class_type": "PreviewImage", "inputs": {}},
}
OUTPUTS = {
    "4": {"images": [{"filename": "b.png", "subfolder": "", "type": "temp"}]},
    "3": {
        "images": [{"filename": "a.webp", "subfolder": "", "type": "output"}],
        "animated": [True],
        "given": [{"filename": "c.png", "subfolder": "", "type": "input"}],
    },
    "9": {"images": [{"filename": "of another run.png", "subfolder": "", "type": "output"}]},
}


def fetched(previews: bool) -> list[tuple[str, bytes]]:
    async def download(saved: dict) -> bytes:
        return saved["filename"].encode()

    async def collected() -> list[tuple[str, bytes]]:
        return [pair async for pair in saved_files(PROMPT, OUTPUTS, download, previews)]

    return asyncio.run(collected())


@pytest.mark.parametrize(
    ("title", "ending"),
    [
        ("Raw result", "_Raw_result.png"),
        ("Result: (final)!", "_Result_final.png"),
        ("..hidden.", "_hidden.png"),
        ("!", "_.png"),
    ],
)
def test_a_title_becomes_a_readable_ending(title, ending):
    assert ending_of(title, ".png") == ending


def test_saved_files_come_in_the_workflows_order_and_previews_on_demand():
    assert fetched(previews=False) == [("_Result_final.webp", b"a.webp")]
    assert fetched(previews=True) == [
        ("_Result_final.webp", b"a.webp"),
        ("_PreviewImage.png", b"b.png"),
    ]


class TestKeep:
    def test_a_name_in_use_gets_a_number_unless_it_holds_the_same(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"mine")
        assert keep(b"new", tmp_path, "a.png") == "a-2.png"
        assert keep(b"new", tmp_path, "a.png") == "a-2.png"
        assert keep(b"new", tmp_path, "a.png", {"a-2.png"}) == "a-3.png"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a-2.png", "a-3.png", "a.png"]

    def test_a_name_that_another_takes_at_the_last_moment_gets_a_number(
        self, tmp_path, monkeypatch
    ):
        link = os.link

        def too_late(part, path):
            if path.name == "a.png":
                path.write_bytes(b"another's")
            link(part, path)

        monkeypatch.setattr(os, "link", too_late)
        assert keep(b"new", tmp_path, "a.png") == "a-2.png"
        assert (tmp_path / "a.png").read_bytes() == b"another's"
        assert (tmp_path / "a-2.png").read_bytes() == b"new"
        assert not list(tmp_path.glob(".*"))

    def test_a_folder_of_that_name_is_passed_over(self, tmp_path):
        (tmp_path / "a.png").mkdir()
        assert keep(b"new", tmp_path, "a.png") == "a-2.png"

    def test_a_file_system_without_hard_links_will_do(self, tmp_path, monkeypatch):
        def refused(*_):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
        assert keep(b"new", tmp_path, "sub/a.png") == "sub/a.png"
        assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.png"]

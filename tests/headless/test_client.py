"""The client for plain code."""

import asyncio

import pytest

pytest.importorskip("aiohttp")
from visage.headless.client import ComfyServer, ServerLost


def test_it_works_where_an_event_loop_runs_already(shared):
    async def cell_of_a_notebook() -> dict:
        return ComfyServer(shared.url).get("/object_info")

    assert "LoadImage" in asyncio.run(cell_of_a_notebook())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "127.0.0.1:9/"])
def test_a_server_that_is_not_there_is_named(url):
    with pytest.raises(ServerLost, match="lost the ComfyUI server at http://127.0.0.1:9: "):
        ComfyServer(url).get("/object_info")

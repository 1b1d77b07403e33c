"""The client for plain code."""

import asyncio
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

pytest.importorskip("aiohttp")
from visage.headless.client import ComfyServer, ServerLost
from visage.headless.workflow import WorkflowError


def test_it_works_where_an_event_loop_runs_already(shared):
    async def cell_of_a_notebook() -> dict:
        return ComfyServer(shared.url).get("/object_info")

    assert "LoadImage" in asyncio.run(cell_of_a_notebook())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "127.0.0.1:9/"])
def test_a_server_that_is_not_there_is_named(url):
    with pytest.raises(ServerLost, match="lost the ComfyUI server at http://127.0.0.1:9: "):
        ComfyServer(url).get("/object_info")


class _Page(BaseHTTPRequestHandler):
    """Answers everything with the same bytes, as a router's sign-in page does."""

    answer = b"<html>Sign in</html>"

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answer)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture(params=[b"<html>Sign in</html>", b"\xff\xfe"])
def page(request, monkeypatch):
    """The address of a server that is no ComfyUI."""
    monkeypatch.setattr(_Page, "answer", request.param)
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_answer_that_is_no_json_is_refused_with_its_address(page, tmp_path):
    with pytest.raises(WorkflowError, match=f"^{page}/object_info answered no JSON: is it ComfyUI"):
        ComfyServer(page).get("/object_info")
    (tmp_path / "cat.png").write_bytes(b"a cat")
    with pytest.raises(WorkflowError, match=f"^{page}/upload/image answered no JSON"):
        ComfyServer(page).upload(tmp_path / "cat.png")

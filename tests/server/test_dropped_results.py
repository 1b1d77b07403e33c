"""A result of `visage queue`, or an API file, dropped on the page opens and runs as it was made."""

import base64
import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import visage
from PIL import Image

WORKFLOWS = Path(visage.__file__).parent / "workflows"
API = WORKFLOWS / "api"
LINKS = len(json.loads((WORKFLOWS / "face_edit.json").read_text())["links"])
RUN_AGAIN = """async () => {
    const end = (name) => new Promise(done => app.api.addEventListener(name, done, { once: true }));
    const [node] = app.graph.nodes.filter(n => n.title === 'Result');
    const executed = new Promise(done => app.api.addEventListener('executed', ({ detail }) => {
        if (String(detail.node) === String(node.id)) done(detail.output.images[0]);
    }));
    const late = new Promise((_, fail) => setTimeout(() => fail('nothing came'), 120000));
    const failed = end('execution_error').then(({ detail }) => { throw detail.exception_message; });
    await app.queuePrompt(0);
    return await Promise.race([executed, failed, late]);
}"""
FETCH = """async (saved) => {
    const answer = await app.api.fetchApi('/view?' + new URLSearchParams(saved));
    const bytes = new Uint8Array(await answer.arrayBuffer());
    return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ''));
}"""


def drop(page, path: Path) -> None:
    """Drop a file on the canvas."""
    kind = "image/png" if path.suffix == ".png" else "application/json"
    page.evaluate(
        """async ([name, kind, data]) => {
            const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
            app.graph.clear();
            await app.handleFile(new File([bytes], name, { type: kind }));
        }""",
        [path.name, kind, base64.b64encode(path.read_bytes()).decode()],
    )
    page.wait_for_function("app.graph.nodes.length > 10")


def links(page) -> int:
    return page.evaluate("[...app.graph.links.values()].length")


def run_again(page) -> np.ndarray:
    picture = page.evaluate(FETCH, page.evaluate(RUN_AGAIN))
    return np.asarray(Image.open(BytesIO(base64.b64decode(picture))))


@pytest.fixture(scope="module", params=["server", "newer_server"])
def any_server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["face_edit.json", "api/face_edit.json"])
def result(request, any_server, tmp_path) -> Path:
    """What the queue made, with settings that are not the file's."""
    words = ["queue", str(API.parent / request.param), "--server", any_server.url]
    words += ["--out", str(tmp_path)]
    settings = ("Sampler.steps=3", "Sampler.seed=7", "Face mask.parts=face, hair")
    for setting in (*settings, "Crop faces.size=64"):
        words += ["--set", setting]
    # In a process of its own: Playwright's event loop is in the way here.
    subprocess.run([sys.executable, "-m", "visage.cli.main", *words], check=True)  # noqa: S603
    return tmp_path / "face_edit_Result.png"


@pytest.fixture(scope="module")
def any_page(any_server, open_page):
    page = open_page(any_server)
    yield page
    page.close()


def test_a_result_opens_with_its_links_and_makes_the_same_picture(any_page, result, ours):
    drop(any_page, result)
    assert links(any_page) == LINKS
    parts = any_page.evaluate("app.graph.nodes.find(n => n.title === 'Face mask').widgets[0].value")
    assert parts == ["face", "hair"]
    assert (run_again(any_page) == np.asarray(Image.open(result))).all()
    assert not ours(any_page.complaints)


def test_an_api_file_opens_with_its_links_and_choices(any_page):
    drop(any_page, API / "face_edit.json")
    assert links(any_page) == LINKS
    exported = any_page.evaluate("app.graphToPrompt().then(form => form.output)")
    twin = json.loads((API / "face_edit.json").read_text())
    for node in (*exported.values(), *twin.values()):
        node["inputs"].pop("preview", None)
    assert exported == twin

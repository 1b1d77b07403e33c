"""One ComfyUI server with the pack for all tests that need a real one, and its page in Chromium."""

import json
import os
import shutil
from pathlib import Path

import pytest
import visage

PACKAGE = Path(visage.__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT = 90_000  # milliseconds that a page may take for a step on a busy machine
# A page that is drawn sixty times a second, in software, takes a core from the server behind it.
FRAMES_PER_SECOND = 10
READY = "window.app?.graph && Object.keys(LiteGraph.registered_node_types).length > 100"
# The folder into which `make test` has put the newest comfyui-frontend-package, or another one.
NEWER_FRONTEND = "VISAGE_NEWER_FRONTEND"
INSTALLED = Path(__file__).resolve().parents[2] / ".venv" / "newer-frontend"


@pytest.fixture(scope="session")
def server(comfyui_path):
    from visage.headless.server import comfy_server

    with comfy_server(comfyui_path) as running:
        yield running


@pytest.fixture
def shipped(server):
    """Load a shipped workflow in API form and put its pictures on the server."""

    def load(name: str) -> dict:
        path = PACKAGE / "workflows" / "api" / f"{name}.json"
        prompt = json.loads(path.read_text(encoding="utf-8"))
        for node in prompt.values():
            if node["class_type"] == "LoadImage":
                picture = PACKAGE / "web" / "samples" / node["inputs"]["image"]
                node["inputs"]["image"] = server.upload(picture)
        return prompt

    return load


@pytest.fixture(scope="session")
def newer_frontend() -> tuple[str, ...]:
    """ComfyUI's options for a newer frontend than the one it asks for."""
    folder = Path(os.environ.get(NEWER_FRONTEND) or INSTALLED)
    if not folder.is_dir():
        pytest.skip(f"no newer frontend: `make test` puts one into {INSTALLED}")
    return "--front-end-root", str(folder / "comfyui_frontend_package" / "static")


@pytest.fixture(scope="session")
def newer_server(comfyui_path, newer_frontend):
    """The same ComfyUI behind a newer frontend."""
    from visage.headless.server import comfy_server

    with comfy_server(comfyui_path, options=newer_frontend) as running:
        yield running


# Not for the whole session: Playwright's event loop would be in the way of other tests' own.
@pytest.fixture(scope="module")
def browser():
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium to open ComfyUI's frontend in")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=list(QUIET))
        yield running
        running.close()


@pytest.fixture(scope="module")
def open_page(browser):
    """Opens a server's page and waits until it rests; `page.complaints` then collects what goes
    wrong on it.
    """

    def open_at(server):
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.set_default_timeout(TIMEOUT)
        # A new user's page opens on a workflow of models that are not there, and looks for them.
        page.request.post(
            f"{server.url}/api/settings/Comfy.TutorialCompleted",
            data="true",
            headers={"Content-Type": "application/json"},
        )
        page.goto(server.url, wait_until="networkidle")
        page.wait_for_function(READY)
        page.evaluate("rate => { app.canvas.maximumFps = rate; }", FRAMES_PER_SECOND)
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda line: _note_error(page.complaints, line))
        return page

    return open_at


@pytest.fixture(scope="module")
def kept_canvas():
    """The page of the last test, by its kind of canvas.

    pytest itself keeps none from one test to the next where a test's other parameters change.
    """
    kept = {}
    yield kept
    for page in kept.values():
        page.close()


@pytest.fixture(params=["classic", "newer classic", "newer Nodes 2.0"])
def canvas(request, open_page, kept_canvas):
    """A page of ComfyUI, shared by a module's tests; its nodes are drawn as the parameter says.

    It is the page of `server` or `newer_server`, which a module may replace by its own.
    """
    if request.param not in kept_canvas:
        for kind in list(kept_canvas):
            kept_canvas.pop(kind).close()
        newer = request.param != "classic"
        page = open_page(request.getfixturevalue("newer_server" if newer else "server"))
        page.evaluate(
            "vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)",
            request.param == "newer Nodes 2.0",
        )
        kept_canvas[request.param] = page
    return kept_canvas[request.param]


@pytest.fixture(scope="session")
def template_card():
    """Finds a template's card among ours in the open template browser, scrolling to it.

    The browser shows a page of cards, and more when the last of them is scrolled to.
    """

    def find(page, name: str):
        page.get_by_role("dialog").get_by_text("visage", exact=True).first.click()
        card = page.get_by_test_id(f"template-workflow-{name}")
        for _ in range(200):
            page.wait_for_timeout(250)
            if card.count():
                break
            page.locator("[data-testid^=template-workflow-]").last.scroll_into_view_if_needed()
        return card

    return find


@pytest.fixture(scope="session")
def ours():
    """Picks what was said about this pack; a newer frontend misses much on an older ComfyUI."""
    return lambda complaints: [said for said in complaints if "visage" in said.lower()]


@pytest.fixture
def page(server, open_page):
    """ComfyUI's page, at rest."""
    page = open_page(server)
    yield page
    page.close()


def _note_error(complaints: list, line) -> None:
    where = line.location["url"]
    # ComfyUI asks a new user for settings, templates and styles, which there are not.
    if line.type == "error" and "/userdata" not in where and "user.css" not in where:
        complaints.append(f"{line.text} {where}")

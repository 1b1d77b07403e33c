"""The real frontend opens the shipped workflows, exports their API twins, and runs one."""

import json
import shutil
from pathlib import Path

import pytest
import visage
from visage.headless.canvas import to_api_form

WORKFLOWS = Path(visage.__file__).parent / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
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
READY = "window.app?.graph && Object.keys(LiteGraph.registered_node_types).length > 100"


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


@pytest.fixture
def page(server, browser):
    """ComfyUI's page, at rest; `page.complaints` collects what goes wrong on it from then on."""
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    page.goto(server.url, wait_until="networkidle")
    page.wait_for_function(READY, timeout=60_000)
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda line: _note_error(page.complaints, line))
    yield page
    page.close()


def _note_error(complaints: list, line) -> None:
    where = line.location["url"]
    # ComfyUI asks a new user for settings, templates and styles, which there are not.
    if line.type == "error" and "/userdata" not in where and "user.css" not in where:
        complaints.append(f"{line.text} {where}")


def open_workflow(page, name: str) -> None:
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow)


@pytest.mark.parametrize("name", NAMES)
def test_opens_without_a_missing_node(page, name):
    open_workflow(page, name)
    missing = page.evaluate(
        "app.graph.nodes.map(n => n.type).filter(t => !(t in LiteGraph.registered_node_types))"
    )
    assert missing == []
    assert page.complaints == []


@pytest.mark.parametrize("name", NAMES)
def test_exports_the_twin(page, name):
    open_workflow(page, name)
    exported = page.evaluate("app.graphToPrompt().then(prompt => prompt.output)")
    twin = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    assert exported == twin


def test_subgraphs_are_unfolded_for_the_queue_as_here(page, server):
    open_workflow(page, "face_edit")
    page.evaluate(
        "app.graph.convertToSubgraph(new Set(app.graph.nodes.filter("
        "n => ['Soft inpaint', 'Sampler', 'Decode'].includes(n.title))))"
    )
    canvas, exported = page.evaluate(
        "app.graphToPrompt().then(form => [form.workflow, form.output])"
    )
    assert len(canvas["definitions"]["subgraphs"]) == 1
    for node in exported.values():
        node["inputs"].pop("preview", None)  # only the frontend has this widget
    assert to_api_form(canvas, server.get("/object_info")) == exported


def test_brings_its_sample_picture_and_runs(page, server, tmp_path):
    open_workflow(page, "face_edit")
    page.wait_for_function(
        "app.graph.nodes.find(n => n.title === 'Picture').imgs?.[0].naturalWidth === 512"
    )
    page.evaluate(
        "app.graph.nodes.find(n => n.title === 'Sampler').widgets"
        ".find(w => w.name === 'steps').value = 3"
    )
    page.evaluate("app.queuePrompt(0)")
    shown = "app.graph.nodes.find(n => n.title === 'Result').imgs?.[0]?.naturalWidth === 512"
    page.wait_for_function(shown, timeout=120_000)
    assert page.complaints == []
    page.screenshot(path=tmp_path / "face_edit.png")

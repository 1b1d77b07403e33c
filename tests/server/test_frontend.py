"""The real frontend unfolds subgraphs as we do, and brings a workflow's sample picture."""

import json
from pathlib import Path

import visage
from visage.headless.canvas import to_api_form

WORKFLOWS = Path(visage.__file__).parent / "workflows"


def open_workflow(page, name: str) -> None:
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow)


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

"""The public template collection, converted by the real frontend and here: the same would run."""

import hashlib
import importlib.util
import json
import os
import re
from pathlib import Path

import pytest
from visage.headless.canvas import to_api_form
from visage.headless.page_nodes import is_of_the_page

PACKAGES = ("comfyui_workflow_templates_json", "comfyui_workflow_templates")
# What only the browser can make: painted masks, renderings, recordings.
REFUSED = re.compile(r"which only the page can do")
# Of larger collections every second or third template, unless this variable is set.
WHOLE, ENOUGH = "VISAGE_WHOLE_COLLECTION", 100
CONVERT = """async text => {
    const quiet = {showMissingNodesDialog: false, showMissingModelsDialog: false};
    await app.loadGraphData(JSON.parse(text), true, false, null, quiet);
    const form = await app.graphToPrompt();
    return JSON.stringify([form.workflow, form.output]);
}"""


@pytest.fixture(scope="module")
def collection() -> list[Path]:
    """The collection's workflows, from the package that ComfyUI asks for."""
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        found = sorted(Path(spec.origin).parent.glob("templates/*.json")) if spec else []
        if found:
            return found
    pytest.skip("the package comfyui-workflow-templates is not installed")


def runs_here(workflow: dict, object_info: dict) -> bool:
    """Whether the server has every node of a workflow."""
    if not isinstance(workflow, dict) or "nodes" not in workflow:
        return False  # the collection's own lists
    subgraphs = workflow.get("definitions", {}).get("subgraphs", [])
    known = set(object_info) | {subgraph["id"] for subgraph in subgraphs}
    kinds = {node["type"] for graph in (workflow, *subgraphs) for node in graph["nodes"]}
    return all(kind in known or is_of_the_page(kind) for kind in kinds)


def what_runs(prompt: dict, object_info: dict) -> list[str]:
    """Every node that saves or shows something, with all that it needs, whatever the nodes are
    called. Inputs that the server does not ask for are left out: the page alone uses them."""
    seen: dict[str, str] = {}

    def described(key: str) -> str:
        if key not in seen:
            node = prompt[key]
            groups = object_info[node["class_type"]]["input"]
            declared = {**groups.get("required", {}), **groups.get("optional", {})}
            inputs = {
                name: plain(value)
                for name, value in node["inputs"].items()
                if name.split(".")[0] in declared
            }
            text = json.dumps([node["class_type"], inputs], sort_keys=True)
            seen[key] = hashlib.sha256(text.encode()).hexdigest()  # the whole would be endless
        return seen[key]

    def plain(value: object) -> object:
        if isinstance(value, list):
            return ["link", described(value[0]), value[1]]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    outputs = [key for key in prompt if object_info[prompt[key]["class_type"]].get("output_node")]
    return sorted(described(key) for key in outputs)


@pytest.mark.timeout(1800)  # half a second a template, on a machine with nothing else to do
def test_every_template_becomes_what_the_page_makes_of_it(page, server, collection):
    object_info = server.get("/object_info")
    page.route("**/view?*", lambda route: route.abort())  # pictures that the server does not have
    page.evaluate("app.canvas.pause_rendering = true")
    compared, different, refused = 0, [], {}
    known = [path for path in collection if runs_here(json.loads(path.read_text()), object_info)]
    step = 1 if os.environ.get(WHOLE) else max(1, len(known) // ENOUGH)
    for path in known[::step]:
        text = path.read_text(encoding="utf-8")
        saved, exported = json.loads(page.evaluate(CONVERT, text))
        expected = what_runs(exported, object_info)
        assert expected, path.name
        for form in (json.loads(text), saved):
            try:
                converted = to_api_form(form, object_info)
            except ValueError as error:
                refused[path.stem] = str(error)
                continue
            compared += 1
            if what_runs(converted, object_info) != expected:
                different.append(path.stem)
    assert different == []
    assert all(REFUSED.search(reason) for reason in refused.values()), refused
    assert len(refused) <= 0.02 * compared
    assert compared > 1.5 * min(ENOUGH, len(known)) > 100  # each as shipped and as saved

"""A workflow in API form without ComfyUI."""

import pytest
from visage.batch.graph import Graph, Operator, Shown, object_info
from visage.headless.workflow import WorkflowError

from .conftest import node

PROMPT = {
    "1": node("Load", "Picture", image="a"),
    "2": node("Model", "Model", size=3),
    "3": node("Work", "Work", picture=["1", 0], model=["2", 0], amount=2.0),
    "4": node("Show", "Report", text=["3", 0], preview=""),
}


@pytest.fixture
def calls():
    return []


@pytest.fixture
def operators(calls):
    def load(image: str):
        calls.append("load")
        return (f"picture {image}",)

    def model(size: int):
        calls.append("model")
        return (f"model {size}",)

    def work(picture, model, amount: float):
        calls.append("work")
        if amount < 0:
            raise ValueError("amount is below 0")
        return (f"{picture} by {model} x {amount}",)

    def show(text):
        return Shown(texts=(text,))

    made = {"Load": Operator(load), "Model": Operator(model), "Work": Operator(work)}
    return made | {"Show": Operator(show, ends=True)}


def test_runs_in_order_and_keeps_what_no_picture_changes(operators, calls):
    graph = Graph(PROMPT, operators, frozenset({"1"}))
    graph.prepare()
    for name in ("x", "y"):
        results = graph.run({"1": {"image": name}})
        assert results.texts == {"4": [f"picture {name} by model 3 x 2.0"]}
    assert calls == ["model", "load", "work", "load", "work"]


def test_a_setting_for_one_picture_does_not_stay(operators):
    graph = Graph(PROMPT, operators, frozenset({"1"}))
    assert "model 9" in graph.run({"2": {"size": 9}}).texts["4"][0]
    assert "model 3" in graph.run().texts["4"][0]


def test_names_the_node_that_refuses(operators):
    graph = Graph(PROMPT, operators, frozenset({"1"}))
    with pytest.raises(WorkflowError, match=r"Work \(Work\): amount is below 0"):
        graph.run({"3": {"amount": -1.0}})
    del PROMPT["3"]["inputs"]["amount"]
    try:
        with pytest.raises(WorkflowError, match=r"Work \(Work\): amount is missing"):
            graph.run()
    finally:
        PROMPT["3"]["inputs"]["amount"] = 2.0


def test_names_every_node_that_it_cannot_run(operators):
    prompt = PROMPT | {"5": node("Foreign", "Strange"), "6": node("Other", "Odd")}
    with pytest.raises(ValueError, match=r"Strange \(Foreign\), Odd \(Other\)"):
        Graph(prompt, operators, frozenset())


def test_refuses_an_input_that_it_would_ignore(operators):
    prompt = PROMPT | {"2": node("Model", "Model", size=3, newer=1)}
    with pytest.raises(ValueError, match=r"the input newer of Model \(Model\)"):
        Graph(prompt, operators, frozenset())


@pytest.mark.parametrize(
    ("link", "words"), [(["4", 0], "form a ring"), (["9", 0], "a link to node 9")]
)
def test_refuses_links_that_lead_nowhere(operators, link, words):
    prompt = PROMPT | {"3": node("Work", "Work", picture=link, model=["2", 0], amount=1.0)}
    with pytest.raises(ValueError, match=words):
        Graph(prompt, operators, frozenset())


def test_runs_only_what_leads_to_an_end(operators, calls):
    prompt = PROMPT | {"5": node("Model", "Unused", size=1)}
    Graph(prompt, operators, frozenset({"1"})).run()
    assert calls == ["load", "model", "work"]
    with pytest.raises(ValueError, match="no node saves or shows anything"):
        Graph({"2": PROMPT["2"]}, operators, frozenset())


def test_describes_its_nodes_as_a_server_does(operators):
    info = object_info(operators)
    assert info["Load"]["input"]["required"] == {"image": ["STRING", {"image_upload": True}]}
    assert info["Work"]["input"]["required"]["amount"] == ["FLOAT", {}]
    assert info["Work"]["input"]["required"]["model"] == ["*", {}]
    assert info["Show"]["output_node"]

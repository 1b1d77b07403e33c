"""The blueprint Edit Faces: a subgraph that newer cores list, whole in itself."""

import json

from visage.workflows.builder.blueprint import EDIT, FOLDER, INPUT, NAME, OUTPUT, blueprint
from visage.workflows.builder.classes import known_classes

PATH = FOLDER / f"{NAME}.json"


def test_what_is_shipped_is_what_is_described():
    shipped = json.loads(PATH.read_text(encoding="utf-8"))
    assert shipped == blueprint(), "run `python -m visage.workflows.builder.blueprint`"


def test_it_is_one_node_that_stands_for_one_subgraph():
    made = blueprint()
    (node,), (inside,) = made["nodes"], made["definitions"]["subgraphs"]
    assert node["type"] == inside["id"]
    assert inside["name"] == NAME == node["title"]
    for side in ("inputs", "outputs"):
        shapes = [[(put["name"], put["type"]) for put in of[side]] for of in (node, inside)]
        assert shapes[0] == shapes[1]


def test_every_link_joins_slots_of_one_type_that_know_of_it():
    (inside,) = blueprint()["definitions"]["subgraphs"]
    nodes = {node["id"]: node for node in inside["nodes"]}
    for link in inside["links"]:
        source, target = link["origin_id"], link["target_id"]
        out = (inside["inputs"] if source == INPUT else nodes[source]["outputs"])[
            link["origin_slot"]
        ]
        put = (inside["outputs"] if target == OUTPUT else nodes[target]["inputs"])[
            link["target_slot"]
        ]
        assert out["type"] == put["type"] == link["type"]
        assert link["id"] in (out.get("links") or out.get("linkIds"))
        assert link["id"] == put.get("link") or link["id"] in put.get("linkIds", [])
    assert all(put["link"] for put in nodes[EDIT]["inputs"] if "widget" not in put)


def test_its_widgets_are_those_of_edit_faces():
    (node,) = blueprint()["nodes"]
    declared = known_classes()["VisageEditFaces"]["input"]["required"]
    assert all(owner == str(EDIT) for owner, _ in node["properties"]["proxyWidgets"])
    assert {name for _, name in node["properties"]["proxyWidgets"]} <= declared.keys()

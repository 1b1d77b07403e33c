"""Edit Faces as a subgraph, which newer cores list among their blueprints (`subgraphs/`).

One node on the canvas with the sockets and the widgets that matter; inside it are the face parser's
loader and Edit Faces. `python -m visage.workflows.builder.blueprint` writes the file.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from ..source.parts import STARTER
from .canvas import node_form
from .graph import Workflow
from .layout import Layout

FOLDER = Path(__file__).resolve().parents[2] / "subgraphs"
NAME = "Edit Faces (Visage)"
TAKES = {"model": "MODEL", "clip": "CLIP", "vae": "VAE", "image": "IMAGE"}
GIVES = {"image": "IMAGE", "mask": "MASK", "proof": "STRING"}
WIDGETS = ("prompt", "negative", "parts", "seed", "denoise")
INPUT, OUTPUT, PARSER, EDIT = -10, -20, 2, 3
_SPACE = uuid.UUID("0b1e5c70-2f0b-4d2e-9d1c-7e6a5e0f3a11")
DESCRIPTION = (
    "Edits the faces of a photograph by prompt and leaves every other pixel as it was, bit for bit."
)


def blueprint() -> dict:
    """The blueprint in the canvas form: one node, and the subgraph that it stands for."""
    own = str(uuid.uuid5(_SPACE, NAME))
    sockets = [{"name": name, "type": kind, "link": None} for name, kind in TAKES.items()]
    results = [{"name": name, "type": kind, "links": None} for name, kind in GIVES.items()]
    node = {
        "id": 1,
        "type": own,
        "pos": [0, 0],
        "size": [320, 360],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": sockets,
        "outputs": results,
        "title": NAME,
        "properties": {"proxyWidgets": [[str(EDIT), name] for name in WIDGETS]},
        "widgets_values": [],
    }
    return {
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [node],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [_subgraph(own)]},
        "extra": {},
    }


def _subgraph(own: str) -> dict:
    inner = [
        _inner(PARSER, "VisageLoadFaceParser", [0, 320]),
        _inner(EDIT, "VisageEditFaces", [300, 0]),
    ]
    edit = {put["name"]: number for number, put in enumerate(inner[1]["inputs"])}
    links = [
        _link(number + 1, INPUT, number, EDIT, edit[name], kind)
        for number, (name, kind) in enumerate(TAKES.items())
    ]
    links.append(_link(5, PARSER, 0, EDIT, edit["parser"], "VISAGE_FACE_PARSER"))
    links += [
        _link(6 + number, EDIT, number, OUTPUT, number, kind)
        for number, kind in enumerate(GIVES.values())
    ]
    for link in links:
        if link["target_id"] == EDIT:
            inner[1]["inputs"][link["target_slot"]]["link"] = link["id"]
        if link["origin_id"] in (PARSER, EDIT):
            source = inner[0] if link["origin_id"] == PARSER else inner[1]
            source["outputs"][link["origin_slot"]]["links"] = [link["id"]]
    return {
        "id": own,
        "version": 1,
        "state": {
            "lastGroupId": 0,
            "lastNodeId": EDIT,
            "lastLinkId": len(links),
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": NAME,
        "inputNode": {"id": INPUT, "bounding": [-260, 0, 120, 120]},
        "outputNode": {"id": OUTPUT, "bounding": [720, 0, 120, 100]},
        "inputs": _boundary(TAKES, [link["id"] for link in links[:4]], -160),
        "outputs": _boundary(GIVES, [link["id"] for link in links[5:]], 740),
        "widgets": [],
        "nodes": inner,
        "groups": [],
        "links": links,
        "extra": {},
        "category": "Visage",
        "description": DESCRIPTION,
    }


def _inner(number: int, kind: str, place: list[int]) -> dict:
    flow = Workflow("blueprint", "")
    with flow.column("1"):
        sources = {}
        if kind == "VisageEditFaces":
            starter = flow.add("VisageLoadStarter", "Model", id=100)
            picture = flow.add("LoadImage", "Picture", id=101, image="")
            parser = flow.add("VisageLoadFaceParser", "Parser", id=102, file=STARTER)
            sources = {
                "model": starter["model"],
                "clip": starter["clip"],
                "vae": starter["vae"],
                "image": picture,
                "parser": parser,
            }
        title = "Edit faces" if sources else "Face parser"
        given = sources or {"file": STARTER}
        node = flow.add(kind, title, id=number, **given)
    size = (320, 600) if sources else (240, 60)
    layout = Layout({number: tuple(place)}, {number: size}, [], {}, {})
    return node_form(node, [], {}, layout)


def _link(number: int, origin: int, out: int, target: int, slot: int, kind: str) -> dict:
    return {
        "id": number,
        "origin_id": origin,
        "origin_slot": out,
        "target_id": target,
        "target_slot": slot,
        "type": kind,
    }


def _boundary(sockets: dict[str, str], links: list[int], left: int) -> list[dict]:
    return [
        {
            "id": str(uuid.uuid5(_SPACE, f"{left} {name}")),
            "name": name,
            "type": kind,
            "linkIds": [link],
            "pos": [left, 20 + 20 * number],
        }
        for number, ((name, kind), link) in enumerate(zip(sockets.items(), links, strict=True))
    ]


def write() -> Path:
    """Write the file."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{NAME}.json"
    path.write_text(json.dumps(blueprint(), indent=2) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    write()

"""A real server scores, draws and dials the style-identity curve, and is swept from outside."""

import csv
import io
import json
from pathlib import Path

import pytest
import visage
from PIL import Image
from visage.cli.main import main
from visage.headless.workflow import node_titled

PACKAGE = Path(visage.__file__).parent


@pytest.fixture
def prompt(server):
    """The shipped workflow with its pictures."""
    path = PACKAGE / "workflows" / "api" / "tradeoff_curve.json"
    prompt = json.loads(path.read_text(encoding="utf-8"))
    for node in prompt.values():
        if node["class_type"] == "LoadImage":
            picture = PACKAGE / "web" / "samples" / node["inputs"]["image"]
            node["inputs"]["image"] = server.upload(picture)
    return prompt


def rows_of(table: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(table)))


def test_more_style_costs_more_of_the_person_and_the_dial_goes_between(server, prompt):
    outputs = server.run(prompt)

    def text(title):
        return outputs[node_titled(prompt, title)[0]]["text"][0]

    rows = rows_of(text("Table"))
    assert [row["strength"] for row in rows] == ["0.25", "0.5", "0.75", "1.0"]
    assert float(rows[0]["style"]) < float(rows[3]["style"])
    assert float(rows[0]["identity"]) > float(rows[3]["identity"])
    assert text("Settings").count("> 0.50") == 1
    for title in ("Curve", "Result"):
        assert outputs[node_titled(prompt, title)[0]]["images"]


def test_one_branch_is_swept_from_the_command_line(server, prompt, tmp_path, capsys):
    first = {
        key: node
        for key, node in prompt.items()
        if not node["_meta"]["title"].endswith((" 2", " 3", " 4"))
        and node["_meta"]["title"]
        not in ("Curve", "Table", "Dial", "Settings", "Paint", "Decode", "Result")
    }
    path = tmp_path / "one.json"
    path.write_text(json.dumps(first))
    words = ["--server", server.url, "--out", str(tmp_path / "out")]
    assert main(["tradeoff", str(path), *words, "--dial", "Paint 1.strength=0.5,1"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [row["label"] for row in rows] == ["Paint 1.strength=0.5", "Paint 1.strength=1"]
    assert float(rows[0]["style"]) < float(rows[1]["style"])
    with Image.open(tmp_path / "out" / "tradeoff.png") as drawn:
        assert drawn.format == "PNG"


def test_a_missing_analyzer_is_refused_before_the_run(server, prompt):
    from visage.headless.workflow import WorkflowError

    node_titled(prompt, "Faces")[1]["inputs"]["analyzer"] = "buffalo_l"
    with pytest.raises(WorkflowError, match="buffalo_l.*non-commercial"):
        server.run(prompt)

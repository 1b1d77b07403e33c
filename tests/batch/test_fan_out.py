"""Evaluations whose parts run each by itself on a cluster."""

import json
import math
import pickle
from functools import partial

import pytest
from visage.batch.cluster import fan_out
from visage.cli.main import main


def test_results_keep_their_names_and_order(local_ray):
    tasks = {str(n): partial(math.sqrt, n) for n in (9, 4, 1)}
    ended = []
    found = fan_out(tasks, None, ended.append)
    assert list(found.items()) == [("9", 3.0), ("4", 2.0), ("1", 1.0)]
    assert sorted(ended) == ["1: done", "4: done", "9: done"]


def test_an_error_is_the_functions_own(local_ray):
    with pytest.raises(ValueError, match="math domain error|expected a nonnegative"):
        fan_out({"root": partial(math.sqrt, -1)}, None, lambda _: None)


def test_starter_is_measured_part_by_part(monkeypatch, capsys):
    from visage.evaluation import starter

    def measure(samples, say):
        return {"parser_miou": samples.portraits / 100}

    def ask(samples, say):
        return {"prompt_attribute_accuracy": 0.5, "attributes": {"smile": 0.5}}

    def backwards(tasks, address, say):
        assert address is None
        return {name: pickle.loads(pickle.dumps(tasks[name]()))  # noqa: S301
                for name in reversed(tasks)}  # fmt: skip

    parts = {"parser": (None, measure), "prompts": (None, ask), "none": ("no such part", measure)}
    monkeypatch.setattr(starter, "PARTS", parts)
    monkeypatch.setattr("visage.batch.cluster.fan_out", backwards)
    found = []
    for words in ([], ["--address", "local"]):
        assert main(["evaluate", "starter", "--quick", "--json", *words]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert list(found[0]) == ["parser_miou", "prompt_attribute_accuracy", "total_mib"]
    assert found[0]["parser_miou"] == starter.QUICK.portraits / 100


def test_methods_are_measured_each_by_itself(local_ray, random_starter, tmp_path, monkeypatch):
    from visage.evaluation import face_edit
    from visage.world.export import export_portraits

    for _ in export_portraits(tmp_path / "world", 3, 64, "test", None, workers=1):
        pass
    methods = [method for method in face_edit.METHODS if method.weights == "base"][:2]
    assert len(methods) == 2
    monkeypatch.setattr(face_edit, "METHODS", tuple(methods))
    monkeypatch.setattr("visage.cli.evaluate_face_edit.find_spec", lambda _: None)
    tables = []
    for name, words in (("here", []), ("there", ["--address", "local"])):
        options = ["--base", str(random_starter), "--size", "64", "--steps", "1", *words]
        options += ["--evaluation-share", "0.9", "--out", str(tmp_path / name)]
        assert main(["evaluate", "face-edit", str(tmp_path / "world"), *options]) == 0
        table = json.loads((tmp_path / name / "table.json").read_text())
        for row in table["rows"]:
            del row["values"]["seconds"]
        tables.append(table)
    assert tables[0] == tables[1]

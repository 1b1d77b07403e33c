"""One place knows what differs between the versions of ComfyUI."""

import dataclasses

import pytest

GIVEN = {
    "search_aliases": ["restyle"],
    "essentials_category": "Image Tools",
    "has_intermediate_output": True,
}


@pytest.fixture(scope="module")
def core(comfy_nodes):
    from visage.engines.comfyui import core

    return core


def test_the_core_at_hand_takes_the_later_fields_it_has(core):
    schema = core.io.Schema(node_id="Any", **core.later_fields(**GIVEN))
    assert {name: getattr(schema, name) for name in GIVEN if hasattr(schema, name)} in ({}, GIVEN)


@pytest.mark.parametrize("has", [[], ["search_aliases"], list(GIVEN)])
def test_a_core_gets_the_later_fields_that_it_has(core, monkeypatch, has):
    monkeypatch.setattr(core.io, "Schema", dataclasses.make_dataclass("Schema", ["node_id", *has]))
    assert core.later_fields(**GIVEN) == {name: GIVEN[name] for name in has}


def test_what_is_not_given_is_left_to_the_core(core):
    assert core.later_fields() == {}

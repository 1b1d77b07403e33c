"""The file format of saved workflows: ids, inputs and their order never change, only grow."""

import json
from pathlib import Path

import pytest

SNAPSHOT = Path(__file__).parent / "schema_snapshot.json"


@pytest.fixture(scope="module")
def nodes(comfy_nodes):
    from visage.nodes import NODES

    return NODES


@pytest.fixture(scope="module")
def schemas(nodes):
    """Every node's schema; one that cannot be built would hide all nodes after it in ComfyUI."""
    return {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in nodes}


def frozen(schema) -> dict:
    """What saved workflows depend on."""
    return {
        "inputs": [[put.id, _type(put.io_type)] for put in schema.inputs],
        "outputs": [[put.id, _type(put.io_type)] for put in schema.outputs],
    }


def _type(io_type) -> str:
    return io_type if isinstance(io_type, str) else "COMBO"


def test_every_node_of_the_design_is_there(schemas):
    assert list(schemas) == [
        "VisageLoadStarter",
        "VisageLoadFaceParser",
        "VisageFaceMask",
        "VisageSoftMask",
        "VisageCropFaces",
        "VisagePasteFaces",
        "VisageLoadFaceEdit",
        "VisageFaceAwareText",
        "VisageSoftInpaint",
        "VisagePixelBlend",
        "VisageTrainStyleLora",
        "VisageInvert",
        "VisageStyleRegion",
        "VisageDiffStyler",
        "VisagePromptMask",
        "VisageLoadIPAdapter",
        "VisageStyleAdapter",
        "VisageTrainFaceEdit",
        "VisageLatentAdaIN",
        "VisageStyleTransfer",
        "VisageMosaicCompose",
        "VisageMosaicRestore",
        "VisageLoadFaceAnalyzer",
        "VisageIdentityScore",
        "VisageStyleScore",
        "VisageCompare",
        "VisageTradeoff",
        "VisageDial",
        "VisageIdentityGuard",
    ]


def test_saved_workflows_keep_loading(schemas):
    """Append new inputs, optional and with a default, and then add them to the snapshot."""
    snapshot = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert {name: frozen(schema) for name, schema in schemas.items()} == snapshot


def test_everything_is_explained(schemas):
    unexplained = [
        f"{name}: {put.id or put.display_name}"
        for name, schema in schemas.items()
        for put in (*schema.inputs, *schema.outputs)
        if not put.tooltip
    ]
    assert not unexplained
    assert all(schema.description and schema.display_name for schema in schemas.values())


def test_nodes_are_found_in_one_place_on_the_menu(schemas):
    assert {schema.category for schema in schemas.values()} == {"Visage"}


def test_names_are_what_an_execute_method_takes(nodes):
    """An input whose id is no argument of execute fails only when the node runs."""
    for node in nodes:
        code = node.execute.__func__.__code__
        arguments = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        assert list(arguments) == [put.id for put in node.GET_SCHEMA().inputs]


def test_comfyui_is_given_every_node(comfy_nodes, nodes):
    import asyncio

    import visage

    extension = asyncio.run(visage.comfy_entrypoint())
    assert asyncio.run(extension.get_node_list()) == nodes


def test_our_model_folders_are_registered(comfy_nodes):
    import asyncio

    import folder_paths
    import visage

    asyncio.run(visage.comfy_entrypoint())
    for folder in ("visage_face_parsers", "visage_face_edits"):
        assert ".safetensors" in folder_paths.folder_names_and_paths[folder][1]

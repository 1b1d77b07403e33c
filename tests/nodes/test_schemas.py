"""The file format of saved workflows: ids, inputs and their order never change, only grow."""

import inspect
import json
from pathlib import Path

import pytest
import visage
from visage.models.registry import BUILT_IN, NO_FILE

SNAPSHOT = Path(__file__).parent / "schema_snapshot.json"
WORKFLOWS = Path(visage.__file__).parent / "workflows" / "api"


@pytest.fixture(scope="module")
def nodes(comfy_nodes, tmp_path_factory):
    """All nodes, in a ComfyUI without model files, whatever other tests have put there."""
    import folder_paths
    from visage.models.model_kinds import KINDS
    from visage.nodes import NODES

    ours = {kind.folder for kind in KINDS.values()}
    others = {
        name: ([], extensions)
        for name, (_, extensions) in folder_paths.folder_names_and_paths.items()
        if name not in ours
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_paths, "models_dir", str(tmp_path_factory.mktemp("models")))
        patch.setattr(folder_paths, "folder_names_and_paths", others)
        patch.setattr(folder_paths, "filename_list_cache", {})
        yield NODES


@pytest.fixture(scope="module")
def schemas(nodes):
    """Every node's schema; one that cannot be built would hide all nodes after it in ComfyUI."""
    return {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in nodes}


# Of what a socket says about itself, that on which a saved workflow's values depend.
KEPT = (
    "optional",
    "default",
    "options",
    "min",
    "max",
    "step",
    "round",
    "multiselect",
    "multiline",
    "control_after_generate",
)


# Choices that each ComfyUI brings itself.
CORES_OWN = ("sampler_name", "scheduler")


def frozen(schema) -> dict:
    """What saved workflows depend on."""
    return {
        "inputs": [frozen_input(put) for put in schema.inputs],
        "outputs": [[put.id, _type(put.io_type)] for put in schema.outputs],
        "lists": [schema.is_input_list, *(put.is_output_list for put in schema.outputs)],
    }


def frozen_input(put) -> list:
    """Id, type and settings; a setting that is off or not there is left out."""
    said = put.as_dict()
    if put.id in CORES_OWN:
        said = {name: value for name, value in said.items() if name != "options"}
    # By identity: 0 is a default like any other.
    settings = {
        name: said[name]
        for name in KEPT
        if name in said and (name == "default" or said[name] is not False)
    }
    return [put.id, _type(put.io_type), settings]


def _type(io_type) -> str:
    return io_type if isinstance(io_type, str) else "COMBO"


def as_text(snapshot: dict) -> str:
    """JSON with a line for every input, so that a difference shows what was changed."""
    nodes = []
    for name, puts in snapshot.items():
        inputs = ",\n".join(f"      {json.dumps(put)}" for put in puts["inputs"])
        inputs = f"[\n{inputs}\n    ]" if inputs else "[]"
        rest = "".join(f',\n    "{key}": {json.dumps(puts[key])}' for key in ("outputs", "lists"))
        nodes.append(f'  "{name}": {{\n    "inputs": {inputs}{rest}\n  }}')
    return "{\n" + ",\n".join(nodes) + "\n}\n"


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
        "VisageNeuralStyle",
        "VisageSplitLayers",
        "VisagePickLayer",
        "VisageComposeLayers",
        "VisageSaveLayers",
        "VisageEditFaces",
        "VisageSaveProven",
        "VisageBestOf",
        "VisageBringFace",
        "VisageLoadFastStyle",
        "VisageFastStyle",
        "VisageTrainFastStyle",
        "VisageAdaINStyle",
        "VisageCombineMasks",
        "VisageFillMask",
        "VisagePersonMask",
        "VisageRecolour",
    ]


def test_saved_workflows_keep_loading(schemas, request):
    """Ids, types, order, defaults, choices and ranges stay as they are.

    After appending an input, optional and with a default, run this with --freeze-schemas.
    """
    found = {name: frozen(schema) for name, schema in schemas.items()}
    if request.config.getoption("freeze_schemas"):
        SNAPSHOT.write_text(as_text(found), encoding="utf-8")
    assert found == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_shipped_workflows_choose_what_the_nodes_offer(schemas):
    """Newer cores refuse other values before a run; files are chosen from what is installed."""
    refused = []
    for path in sorted(WORKFLOWS.glob("*.json")):
        for node in json.loads(path.read_text(encoding="utf-8")).values():
            schema = schemas.get(node["class_type"])
            for put in schema.inputs if schema else ():
                value, offered = node["inputs"].get(put.id), put.as_dict().get("options")
                if not offered or not isinstance(value, str) or {BUILT_IN, NO_FILE} & {*offered}:
                    continue
                values = value.split(", ") if put.as_dict().get("multiselect") else [value]
                refused += [(path.stem, put.id, one) for one in values if one not in offered]
    assert not refused


def test_everything_is_explained(schemas):
    unexplained = [
        f"{name}: {put.id or put.display_name}"
        for name, schema in schemas.items()
        for put in (*schema.inputs, *schema.outputs)
        if not put.tooltip
    ]
    assert not unexplained
    assert all(schema.description and schema.display_name for schema in schemas.values())


def test_seeds_reach_as_far_as_a_samplers(schemas):
    seeds = [put for schema in schemas.values() for put in schema.inputs if put.id.endswith("seed")]
    assert seeds
    assert {(put.min, put.max) for put in seeds} == {(0, 2**64 - 1)}


def test_nodes_stand_on_the_menu_by_what_one_wants_to_do(schemas):
    places = {}
    for name, schema in schemas.items():
        places.setdefault(schema.category, set()).add(name.removeprefix("Visage"))
    assert places == {
        "Visage/Faces": {
            "BringFace",
            "CropFaces",
            "MosaicCompose",
            "MosaicRestore",
            "PasteFaces",
        },
        "Visage/Masks": {
            "CombineMasks",
            "ComposeLayers",
            "FaceMask",
            "FillMask",
            "PersonMask",
            "PickLayer",
            "PromptMask",
            "SaveLayers",
            "SoftMask",
            "SplitLayers",
        },
        "Visage/Edit": {
            "Compare",
            "EditFaces",
            "FaceAwareText",
            "PixelBlend",
            "Recolour",
            "SaveProven",
            "SoftInpaint",
        },
        "Visage/Style": {
            "AdaINStyle",
            "DiffStyler",
            "FastStyle",
            "Invert",
            "LatentAdaIN",
            "NeuralStyle",
            "StyleAdapter",
            "StyleRegion",
            "StyleTransfer",
        },
        "Visage/Identity": {"IdentityGuard"},
        "Visage/Scores": {"BestOf", "Dial", "IdentityScore", "StyleScore", "Tradeoff"},
        "Visage/Training": {"TrainFaceEdit", "TrainFastStyle", "TrainStyleLora"},
        "Visage/Models": {
            "LoadFaceAnalyzer",
            "LoadFaceEdit",
            "LoadFaceParser",
            "LoadFastStyle",
            "LoadIPAdapter",
            "LoadStarter",
        },
    }


def test_newer_menus_find_nodes_by_other_words_and_show_the_essential_ones(schemas, monkeypatch):
    from visage.nodes import NODES

    given = {}

    def heard(category, *words, essential=False, has_panel=False):
        given[len(given)] = (category, words, essential)
        return {"category": category}

    for node in NODES:
        monkeypatch.setattr(inspect.getmodule(node), "menu", heard)
        node.define_schema()
    assert len(given) == len(NODES)
    assert all(words for _, words, _ in given.values())
    essential = {
        node.__name__.removeprefix("Visage")
        for node, (_, _, yes) in zip(NODES, given.values(), strict=True)
        if yes
    }
    assert essential == {
        "BringFace",
        "EditFaces",
        "FaceMask",
        "IdentityGuard",
        "NeuralStyle",
        "PixelBlend",
        "PromptMask",
        "StyleAdapter",
    }


def test_names_are_what_an_execute_method_takes(nodes):
    """An input whose id is no argument of execute fails only when the node runs."""
    for node in nodes:
        code = node.execute.__func__.__code__
        arguments = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        inputs = [put.id for put in node.GET_SCHEMA().inputs]
        if code.co_flags & inspect.CO_VARKEYWORDS:
            assert set(arguments) <= set(inputs)
        else:
            assert list(arguments) == inputs


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

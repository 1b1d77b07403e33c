from __future__ import annotations

import asyncio
import os

import pytest
import torch
from visage.models.bisenet import BiSeNet
from visage.models.face_classes import CHOICES, COLOURS, PRESETS
from visage.models.face_parser import FaceParser, load_face_parser
from visage.techniques.face_mask import FaceMask


@pytest.fixture
def module(comfy_nodes):
    from visage.engines.comfyui.memory import forget_models
    from visage.nodes import face_mask

    forget_models()
    return face_mask


@pytest.fixture
def parser_folder(module, monkeypatch, tmp_path):
    """A folder of the user's own for face parsers, empty."""
    import folder_paths

    key = "visage_face_parsers"
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    monkeypatch.delitem(folder_paths.folder_names_and_paths, key, raising=False)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    (tmp_path / key).mkdir()
    return tmp_path / key


def widgets(**changes):
    return {
        "parts": ["face"],
        "faces": "all",
        "face_index": 0,
        "edges": "binary",
        "fill_holes": True,
        "largest_component": True,
        "no_face": "empty mask",
    } | changes


def save_random_parser(path, seed=0):
    torch.manual_seed(seed)
    torch.save(BiSeNet(width=8).state_dict(), path)


def test_the_file_format_is_frozen(module):
    load, mask = (node.define_schema() for node in module.NODES)
    assert (load.node_id, mask.node_id) == ("VisageLoadFaceParser", "VisageFaceMask")
    assert [i.id for i in load.inputs] == ["file"]
    assert [i.id for i in mask.inputs] == ["image", "parser", *widgets()]
    assert [o.id for o in mask.outputs] == [
        "mask_out",
        "overlay",
        "boxes",
        "area_share",
        "labels",
    ]
    assert [o.io_type for o in mask.outputs] == ["MASK", "IMAGE", "BBOX", "FLOAT", "IMAGE"]
    assert load.outputs[0].io_type == mask.inputs[1].io_type == "VISAGE_FACE_PARSER"


def test_defaults_are_those_of_the_widgets(module):
    inputs = module.VisageFaceMask.define_schema().inputs[2:]
    assert {i.id: i.default for i in inputs} == widgets()


def test_every_input_and_output_explains_itself(module):
    for node in module.NODES:
        schema = node.define_schema()
        assert schema.description
        assert all(socket.tooltip for socket in [*schema.inputs, *schema.outputs])


def test_the_multi_choice_is_described_as_the_frontend_reads_it(module):
    info = module.VisageFaceMask.GET_NODE_INFO_V1()["input"]["required"]["parts"]
    # A text will do as well, also one from another node; the widget is that of a choice.
    assert (info[0], info[1]["widgetType"]) == ("COMBO,STRING", "COMBO")
    assert info[1]["multi_select"] == {"placeholder": "face", "chip": True}
    assert info[1]["options"] == list(CHOICES)
    # What the picker on the canvas draws from.
    assert (info[1]["presets"], info[1]["colours"]) == (PRESETS, COLOURS)


def test_a_users_checkpoint_is_loaded_once_and_again_when_it_changes(module, parser_folder):
    path = parser_folder / "mine.pth"
    save_random_parser(path)
    node = module.VisageLoadFaceParser
    assert node.define_schema().inputs[0].options == ["starter (built in)", "mine.pth"]
    first, again = (node.execute("mine.pth").args[0] for _ in range(2))
    assert isinstance(first, FaceParser) and first is again and first.on_use
    before = node.fingerprint_inputs("mine.pth")
    save_random_parser(path, seed=1)
    os.utime(path, ns=(1, 1))
    assert node.execute("mine.pth").args[0] is not first
    assert node.fingerprint_inputs("mine.pth") != before


def test_few_parsers_are_kept(module, parser_folder):
    from visage.engines.comfyui import memory

    save_random_parser(parser_folder / "0.pth")
    for k in range(memory.MAX_PARSERS + 1):
        if k:
            os.link(parser_folder / "0.pth", parser_folder / f"{k}.pth")
        module.VisageLoadFaceParser.execute(f"{k}.pth")
    assert len(memory._caches[load_face_parser].models) == memory.MAX_PARSERS


def test_a_missing_file_is_refused_before_the_run_with_advice(module, parser_folder):
    message = module.VisageLoadFaceParser.validate_inputs("absent.pth")
    assert str(parser_folder) in message and "github.com" in message
    with pytest.raises(FileNotFoundError, match="absent.pth"):
        module.VisageLoadFaceParser.execute("absent.pth")


def test_a_truncated_file_is_refused(module, parser_folder):
    path = parser_folder / "half.pth"
    save_random_parser(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="half.pth.*truncated"):
        module.VisageLoadFaceParser.execute("half.pth")


def run_recorded(module, monkeypatch, **changes):
    """Run the node with the technique replaced: what the technique was given, and the outputs."""
    given = {}

    def record(image, parser, parts, **rest):
        given.update(rest, image=image, parser=parser, parts=parts)
        rest["progress"](1, 2)
        boxes = [[(1.0, 2.0, 3.0, 4.0)], []]
        labels = torch.zeros(2, 4, 4, 3)
        return FaceMask(torch.ones(2, 4, 4), boxes, [0.5, 0.25], torch.zeros(2, 9, 9, 3), labels)

    monkeypatch.setattr(module, "face_mask", record)
    outputs = module.VisageFaceMask.execute("pictures", "a parser", **widgets(**changes)).args
    return given, outputs


def test_widgets_reach_the_technique_and_results_the_sockets(module, monkeypatch):
    given, (mask, overlay, boxes, fraction, labels) = run_recorded(
        module,
        monkeypatch,
        parts=["eyes", "hair"],
        faces="index",
        face_index=3,
        edges="soft",
        fill_holes=False,
        largest_component=False,
        no_face="full mask",
    )
    del given["progress"]
    assert labels.shape == (2, 4, 4, 3)
    assert given == {
        "image": "pictures",
        "parser": "a parser",
        "parts": ["eyes", "hair"],
        "which": "index",
        "index": 3,
        "soft": True,
        "fill_holes": False,
        "largest_component": False,
        "no_face": "full",
    }
    assert mask.shape == (2, 4, 4) and overlay.shape == (2, 9, 9, 3)
    assert boxes == [[(1.0, 2.0, 3.0, 4.0)], []]
    assert fraction == 0.375


@pytest.mark.parametrize(("parts", "meant"), [([], ["face"]), ("skin", ["skin"])])
def test_an_empty_choice_means_face_and_a_single_name_may_stand_alone(
    module, monkeypatch, parts, meant
):
    assert run_recorded(module, monkeypatch, parts=parts)[0]["parts"] == meant


def test_the_whole_node_answers_for_a_picture_without_a_face(module):
    torch.manual_seed(0)
    parser = FaceParser(BiSeNet(width=8).eval(), 64, "random")
    run = module.VisageFaceMask.execute
    mask, overlay, boxes, fraction, _ = run(torch.zeros(2, 40, 50, 3), parser, **widgets()).args
    assert mask.shape == (2, 40, 50) and not mask.any()
    assert boxes == [[], []] and fraction == 0 and len(overlay) == 2
    with pytest.raises(ValueError, match="picture 1 of 2"):
        run(torch.zeros(2, 40, 50, 3), parser, **widgets(no_face="error"))


def test_an_interrupt_stops_the_node(module, comfy):
    from comfy.model_management import InterruptProcessingException, interrupt_current_processing

    parser = FaceParser(BiSeNet(width=8).eval(), 64, "random")
    interrupt_current_processing()
    with pytest.raises(InterruptProcessingException):
        module.VisageFaceMask.execute(torch.zeros(1, 40, 50, 3), parser, **widgets())


@pytest.fixture
def validate(comfy_nodes, module, parser_folder, monkeypatch):
    """What ComfyUI makes of a prompt with Face Mask in it before running it: parts and errors."""
    import execution

    save_random_parser(parser_folder / "mine.pth")
    for node in module.NODES:
        monkeypatch.setitem(comfy_nodes.NODE_CLASS_MAPPINGS, node.GET_SCHEMA().node_id, node)

    def validate(**changes):
        blank = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
        inputs = {"image": ["1", 0], "parser": ["2", 0], **widgets(**changes)}
        prompt = {
            "1": {"class_type": "EmptyImage", "inputs": blank},
            "2": {"class_type": "VisageLoadFaceParser", "inputs": {"file": "mine.pth"}},
            "3": {"class_type": "VisageFaceMask", "inputs": inputs},
            "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 1]}},
        }
        _, _, _, node_errors = asyncio.run(execution.validate_prompt("id", prompt, None))
        errors = [e for node in node_errors.values() for e in node["errors"]]
        return inputs["parts"], " ".join(f"{e['message']} {e['details']}" for e in errors)

    return validate


@pytest.mark.parametrize("parts", [["face"], ["skin", "hair"], ["nose", "eyes", "lips"], []])
def test_a_list_of_parts_survives_the_api_form(validate, parts):
    assert validate(parts={"__value__": parts}) == (parts, "")
    text = ", ".join(parts)
    assert validate(parts=text) == (text, "")


def test_no_list_is_written_into_saved_pictures(validate):
    """ComfyUI saves the prompt as it is after validation, and the page reads a list as a link."""
    saved, _ = validate(parts="skin, hair")
    assert isinstance(saved, str)


def test_a_text_names_as_many_parts_as_a_list(module):
    chosen = module.chosen_parts
    assert chosen("skin, hair") == chosen(["skin", "hair"]) == ["skin", "hair"]
    assert chosen("") == chosen([]) == ["face"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": {"__value__": ["chin"]}}, "Unknown face part 'chin'"),
        ({"edges": "fuzzy"}, "edges is 'fuzzy'"),
        ({"face_index": -1}, "smaller than min of 0"),
    ],
)
def test_bad_values_are_refused_before_the_run(validate, changes, message):
    assert message in validate(**{"parts": {"__value__": ["face"]}} | changes)[1]

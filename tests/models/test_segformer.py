"""SegFormer face parsing from a folder as transformers writes it."""

import json
import shutil

import pytest
import torch
from visage.models.face_classes import CLASSES
from visage.models.face_parser import load_face_parser

# The classes of the public model, jonathandinu/face-parsing, in its own order.
PUBLIC_ORDER = (
    "background skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip hair hat "
    "ear_r neck_l neck cloth"
).split()
OURS = (
    "background skin nose glasses left_eye right_eye left_brow right_brow left_ear right_ear mouth "
    "upper_lip lower_lip hair hat earring necklace neck clothes"
).split()
TINY = {
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 16, 16, 16],
    "num_attention_heads": [1, 1, 2, 2],
    "decoder_hidden_size": 32,
}
# MiT-B5, which the public model is.
PUBLIC = {
    "depths": [3, 6, 40, 3],
    "hidden_sizes": [64, 128, 320, 512],
    "num_attention_heads": [1, 2, 5, 8],
    "decoder_hidden_size": 768,
}


def network(shape: dict, names: list[str]):
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    labels = dict(enumerate(names))
    config = SegformerConfig(
        **shape, id2label=labels, label2id={name: row for row, name in labels.items()}
    )
    torch.manual_seed(0)
    model = SegformerForSemanticSegmentation(config).eval()
    torch.nn.init.normal_(model.decode_head.classifier.bias)  # as unlike as the classes are
    return model


@pytest.fixture
def saved(tmp_path):
    """Writes a model with random weights; returns it and its weights file."""

    def save(shape=TINY, names=PUBLIC_ORDER, dtype=torch.float32):
        model = network(shape, names).to(dtype)
        model.save_pretrained(tmp_path / "face-parsing")
        return model, tmp_path / "face-parsing" / "model.safetensors"

    return save


@pytest.mark.parametrize("names", [PUBLIC_ORDER, OURS], ids=["CelebAMask-HQ's names", "our names"])
def test_classes_come_in_our_order_whatever_the_models_own(saved, names):
    model, path = saved(names=names)
    parser = load_face_parser(path)
    assert (parser.input_size, parser.name) == (512, "face-parsing")
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found, expected = parser.network(pixels), model(pixel_values=pixels).logits
    expected = torch.nn.functional.interpolate(expected, (64, 64), mode="bilinear")
    for row, name in enumerate(OURS):
        assert torch.allclose(found[:, CLASSES.index(name)], expected[:, row], atol=1e-5)


def test_gives_a_probability_for_every_class_and_pixel(saved):
    _, path = saved(dtype=torch.float16)
    found = load_face_parser(path).probabilities(torch.rand(2, 50, 90, 3))
    assert found.shape == (2, 19, 50, 90)
    assert torch.allclose(found.sum(dim=1), torch.ones(2, 50, 90), atol=1e-5)


@pytest.mark.slow
def test_a_file_of_the_public_models_size_loads(saved):
    _, path = saved(PUBLIC, dtype=torch.float16)
    parser = load_face_parser(path)
    assert sum(weight.numel() for weight in parser.network.parameters()) == 84_607_955
    assert parser.parse_squares(torch.rand(1, 64, 64, 3), 64).shape == (1, 19, 64, 64)


def test_a_lone_weights_file_is_not_enough(saved, tmp_path):
    _, path = saved()
    shutil.copy(path, tmp_path / "lone.safetensors")
    with pytest.raises(FileNotFoundError, match="config.json.*jonathandinu/face-parsing"):
        load_face_parser(tmp_path / "lone.safetensors")


@pytest.mark.parametrize("names", [[f"LABEL_{i}" for i in range(19)], ["skin", "hair"]])
def test_other_classes_are_refused_by_name(saved, names):
    _, path = saved(names=names)
    with pytest.raises(ValueError, match=f"{names[0]}, {names[1]}.*CelebAMask-HQ"):
        load_face_parser(path)


def test_a_config_of_another_size_is_refused(saved):
    _, path = saved()
    config = json.loads((path.parent / "config.json").read_text())
    config["depths"] = [2, 1, 1, 1]
    (path.parent / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="weights are missing"):
        load_face_parser(path)


def test_the_node_offers_the_folders_weights(saved, comfy_nodes):
    from pathlib import Path

    import folder_paths
    from visage.models import registry
    from visage.nodes.face_mask import VisageLoadFaceParser

    _, path = saved()
    registry.register_folders(folder_paths)
    place = Path(folder_paths.get_folder_paths("visage_face_parsers")[0]) / "face-parsing"
    shutil.copytree(path.parent, place, dirs_exist_ok=True)
    name = "face-parsing/model.safetensors"
    assert name in registry.options("face_parser", folder_paths)
    with torch.inference_mode():
        (parser,) = VisageLoadFaceParser.execute(name).args
        assert parser.parse_squares(torch.rand(1, 64, 64, 3), 64).shape == (1, 19, 64, 64)

from __future__ import annotations

import re

import pytest
import torch
from visage.models.bisenet import BiSeNet
from visage.models.checkpoints import write_weights
from visage.models.face_classes import CLASSES
from visage.models.face_parser import FaceParser, load_face_parser


def random_network(seed=0, **shape):
    torch.manual_seed(seed)
    network = BiSeNet(**shape).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # Running statistics that differ from their start show whether they were loaded.
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network


def renamed(state):
    """The dialect with `fpn.backbone`, which also carries an unused classifier."""

    def name(key):
        if key.startswith("cp.resnet."):
            return key.replace("cp.resnet.", "fpn.backbone.")
        key = key.replace("cp.", "fpn.").replace(".conv_atten.", ".attention.0.")
        key = key.replace(".bn_atten.", ".attention.1.").replace("ffm.convblk", "ffm.conv_block")
        key = re.sub(r"(arm\d+|conv_out\d*)\.conv\.(conv|bn)\.", r"\1.conv_block.\2.", key)
        key = re.sub(r"(conv_out\d*)\.conv_out\.", r"\1.conv.", key)
        return key.replace(".bn.", ".norm.")

    classifier = {
        "fpn.backbone.fc.weight": torch.zeros(1000, 512),
        "fpn.backbone.fc.bias": torch.zeros(1000),
    }
    return {name(key): value for key, value in state.items()} | classifier


def assert_same_network(parser, network, size=64):
    x = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for ours, theirs in zip(parser.network(x), network(x), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("blocks", [(2, 2, 2, 2), (3, 4, 6, 3)], ids=["resnet18", "resnet34"])
@pytest.mark.parametrize("dialect", ["public", "renamed"])
def test_public_checkpoints_load_exactly(tmp_path, blocks, dialect):
    network = random_network(blocks=blocks)
    state = network.state_dict()
    path = tmp_path / "79999_iter.pth"
    torch.save(renamed(state) if dialect == "renamed" else state, path)
    parser = load_face_parser(path)
    assert (parser.input_size, parser.name) == (512, "79999_iter")
    assert_same_network(parser, network)


def test_the_renamed_dialect_has_the_names_of_its_release():
    names = renamed(random_network(width=8).state_dict())
    for known in (
        "fpn.arm16.conv_block.norm.running_mean",
        "fpn.arm32.attention.1.weight",
        "fpn.conv_head32.norm.bias",
        "ffm.conv_block.conv.weight",
        "ffm.conv1.weight",
        "conv_out.conv_block.conv.weight",
        "conv_out16.conv.weight",
    ):
        assert known in names


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 1},
        lambda state: {"model": state, "optimizer": {}},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"net.{key}": value for key, value in state.items()}},
        lambda state: {k: v for k, v in state.items() if "num_batches_tracked" not in k},
    ],
    ids=["state_dict", "model", "module.", "net.", "no counters"],
)
def test_training_wrappers_come_off(tmp_path, wrap):
    network = random_network(width=8)
    torch.save(wrap(network.state_dict()), tmp_path / "parser.pt")
    assert_same_network(load_face_parser(tmp_path / "parser.pt"), network)


def test_half_precision_files_with_their_own_size_and_class_order(tmp_path):
    network = random_network(width=8)
    order = [CLASSES[0], *reversed(CLASSES[1:])]
    state = {
        key: value[[CLASSES.index(name) for name in order]] if "conv_out.weight" in key else value
        for key, value in network.state_dict().items()
    }
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    metadata = {"visage.input_size": "256", "visage.classes": ",".join(order)}
    write_weights(tmp_path / "model.safetensors", half, metadata)
    parser = load_face_parser(tmp_path / "model.safetensors")
    assert parser.input_size == 256
    assert next(parser.network.parameters()).dtype == torch.float32
    rounded = network.half().float()
    assert_same_network(parser, rounded)


def test_loading_leaves_the_random_state_alone(tmp_path):
    torch.save(random_network(width=8).state_dict(), tmp_path / "parser.pt")
    before = torch.random.get_rng_state()
    load_face_parser(tmp_path / "parser.pt")
    assert torch.equal(torch.random.get_rng_state(), before)


LORA = {"lora_unet_down_blocks_0.lora_up.weight": torch.zeros(4, 4)}
PARSENET = {"encoder.0.conv2d.weight": torch.zeros(4, 3, 3, 3)}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (LORA, "not a BiSeNet face parser.*lora_unet_down_blocks_0"),
        (PARSENET, "holds a ParseNet"),
        (BiSeNet(width=8, classes=11).state_dict(), "tells 11 classes apart"),
        (
            {k: v for k, v in BiSeNet(width=8).state_dict().items() if "arm16" not in k},
            "tensors missing.*cp.arm16",
        ),
        (BiSeNet(width=8).state_dict() | {"odd.weight": torch.zeros(1)}, "1 unknown.*odd.weight"),
        (
            BiSeNet(width=8).state_dict() | {"ffm.conv1.weight": torch.zeros(3, 3, 1, 1)},
            r"ffm.conv1.weight \[3, 3, 1, 1\] instead of \[8, 32, 1, 1\]",
        ),
    ],
    ids=["lora", "parsenet", "class count", "missing", "unknown", "shape"],
)
def test_a_foreign_file_is_told_what_it_is(tmp_path, weights, message):
    path = tmp_path / "wrong.pth"
    torch.save(weights, path)
    with pytest.raises(ValueError, match=message) as caught:
        load_face_parser(path)
    assert "wrong.pth" in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [({"visage.input_size": "big"}, "input_size"), ({"visage.classes": "skin,nose"}, "classes")],
)
def test_a_bad_header_is_refused(tmp_path, metadata, message):
    write_weights(tmp_path / "m.safetensors", BiSeNet(width=8).state_dict(), metadata)
    with pytest.raises(ValueError, match=message):
        load_face_parser(tmp_path / "m.safetensors")


def test_probabilities_are_at_the_pictures_size_and_sum_to_one():
    parser = FaceParser(random_network(width=8), 64, "random")
    image = torch.rand(3, 50, 90, 3)
    probabilities = parser.probabilities(image)
    assert probabilities.shape == (3, 19, 50, 90)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(3, 50, 90), atol=1e-5)


def test_a_picture_of_the_parsers_size_goes_through_normalised_and_unresized():
    network = random_network(width=8)
    image = torch.rand(1, 64, 64, 3)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = network(((image - mean) / std).movedim(-1, 1))[0].softmax(dim=1)
    assert torch.allclose(FaceParser(network, 64, "r").probabilities(image), expected, atol=1e-6)


def test_on_use_is_asked_for_the_device_before_each_run():
    calls = []
    parser = FaceParser(random_network(width=8), 64, "random")
    parser.on_use = lambda: calls.append(1) or torch.device("cpu")
    parser.probabilities(torch.rand(1, 64, 64, 3))
    parser.probabilities(torch.rand(1, 64, 64, 3))
    assert len(calls) == 2


def test_works_when_loaded_in_inference_mode(tmp_path):
    torch.save(random_network(width=8).state_dict(), tmp_path / "parser.pt")
    with torch.inference_mode():
        parser = load_face_parser(tmp_path / "parser.pt")
    assert parser.probabilities(torch.rand(1, 32, 32, 3)).shape == (1, 19, 32, 32)


def test_squares_may_be_parsed_at_another_size():
    parser = FaceParser(random_network(width=8), 64, "random")
    squares = torch.rand(2, 96, 96, 3)
    assert parser.parse_squares(squares).shape == (2, 19, 64, 64)
    assert parser.parse_squares(squares, 32).shape == (2, 19, 32, 32)


def test_many_squares_are_parsed_as_one_by_one():
    parser = FaceParser(random_network(width=8), 32, "random")
    squares = torch.rand(10, 32, 32, 3)
    alone = torch.cat([parser.parse_squares(square[None]) for square in squares])
    assert torch.allclose(parser.parse_squares(squares), alone, atol=1e-6)

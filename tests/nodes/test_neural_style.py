"""Neural Style, run as ComfyUI runs it."""

import pytest
import torch

DEFAULTS = {
    "method": "patches", "vgg": "first file found", "strength": 1.0, "content_weight": 1.0,
    "style_weight": 1.0, "layer_weights": "256, 64, 16, 4, 1", "size": 0, "steps": 1,
    "coarsest": 0.5, "style_scale": 1.0, "start": "picture", "colour": "as the style",
    "optimiser": "Adam", "batch": "pictures", "seed": 0, "keep_strength": 0.8,
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("as_in_a_node")


@pytest.fixture(scope="module")
def paint(comfy_nodes):
    from visage.nodes.neural_style import VisageNeuralStyle

    def run(image, style, **given):
        return VisageNeuralStyle.execute(image, style, **{**DEFAULTS, **given}).args

    return run


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 48, 64, 3, generator=generator), torch.rand(1, 40, 40, 3)


@pytest.fixture
def interrupted(comfy_nodes):
    import comfy.model_management

    comfy.model_management.interrupt_current_processing(True)
    yield comfy.model_management
    comfy.model_management.interrupt_current_processing(False)


def test_paints_a_batch_and_tells_its_loss(paint, pictures):
    painted, loss = paint(*pictures)
    assert painted.shape == pictures[0].shape
    assert not torch.equal(painted, pictures[0])
    assert len(loss["loss"]) > 1


def test_strength_0_is_the_picture_bit_for_bit(paint, pictures):
    assert torch.equal(paint(*pictures, strength=0.0)[0], pictures[0])


def test_an_interrupt_keeps_the_picture_so_far_and_lets_the_graph_go_on(
    paint, pictures, interrupted
):
    painted, loss = paint(*pictures)
    assert loss["loss"] == pytest.approx([loss["loss"][0]] * 2, rel=1e-4)
    assert not torch.equal(painted[0], pictures[0][0])
    assert torch.equal(painted[1], pictures[0][1])
    assert not interrupted.processing_interrupted()


def test_gram_without_a_file_says_where_to_get_it(paint, pictures):
    with pytest.raises(FileNotFoundError, match=r"vgg19-dcbb9e9d\.pth"):
        paint(*pictures, method="Gram (VGG-19)")


def test_gram_paints_with_a_file_and_refuses_another(paint, pictures, tmp_path, monkeypatch):
    import folder_paths
    from safetensors.torch import save_file
    from visage.models import registry
    from visage.models.vgg19 import Vgg19

    registry.register_folders(folder_paths)
    known = dict(folder_paths.folder_names_and_paths)
    known["visage_vgg"] = ([str(tmp_path)], known["visage_vgg"][1])
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    with torch.inference_mode(False):
        torch.manual_seed(0)
        save_file(Vgg19().state_dict(), tmp_path / "vgg.safetensors")
    painted, loss = paint(
        pictures[0][:1], pictures[1], method="Gram (VGG-19)", coarsest=1.0, steps=2
    )
    assert painted.isfinite().all()
    assert len(loss["loss"]) == 2
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is not VGG-19"):
        paint(*pictures, method="Gram (VGG-19)", vgg="other.safetensors")


def test_regions_take_styles_of_their_own(paint, pictures):
    left = torch.zeros(1, 48, 64)
    left[..., :20] = 1
    painted = paint(*pictures, region=left)[0]
    assert torch.equal(painted[:, :, 20:], pictures[0][:, :, 20:])
    both = paint(*pictures, region=left, style_2=torch.rand(1, 30, 30, 3))[0]
    assert not torch.equal(both[:, :, 20:], pictures[0][:, :, 20:])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"region_2": torch.ones(1, 48, 64)}, "style 2 is not"),
        ({"mix": "1, one"}, "mix is '1, one'"),
        ({"mix": "1"}, "mix has 1 weights"),
        ({"keep": torch.ones(3, 48, 64)}, "3 masks for 2 pictures"),
        ({"keep": torch.rand(1, 48, 20)}, "aspect ratios differ"),
        ({"size": 16000}, "limit is 4096"),
    ],
)
def test_bad_input_is_refused_in_words(paint, pictures, given, said):
    with pytest.raises(ValueError, match=said):
        paint(*pictures, **given)

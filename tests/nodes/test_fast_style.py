"""Load, apply and train fast styles, run as ComfyUI runs them."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("as_in_a_node")


@pytest.fixture
def nodes(users_folder):
    """The module, with an empty folder of the user's for such files."""
    from visage.nodes import fast_style

    users_folder("visage_fast_styles")
    return fast_style


def train(nodes, name="mine", steps=2, **given):
    generator = torch.Generator().manual_seed(0)
    style, images = torch.rand(1, 64, 64, 3, generator=generator), torch.rand(2, 70, 80, 3)
    return nodes.VisageTrainFastStyle.execute(
        style, images, name, steps, 1, 64, 64, 1.5, 0, **given
    ).args


def test_what_is_trained_is_listed_loaded_and_paints(nodes, tmp_path):
    network, file, loss = train(nodes)
    assert file == "mine.safetensors"
    assert len(loss["loss"]) == 2
    loaded = nodes.VisageLoadFastStyle.execute(file).args[0]
    picture = torch.rand(2, 40, 36, 3)
    (painted,) = nodes.VisageFastStyle.execute(
        picture, loaded, 1.0, "as the style", 0.5, 1024, "pictures"
    ).args
    assert painted.shape == picture.shape
    assert not torch.equal(painted, picture)
    (same,) = nodes.VisageFastStyle.execute(
        picture, network, 0.0, "as the style", 0.5, 1024, "clip"
    ).args
    assert torch.equal(same, picture)


def test_no_file_of_the_users_is_written_over(nodes, tmp_path):
    before = tmp_path / "mine.safetensors"
    before.write_bytes(b"the user's")
    assert train(nodes)[1] == "mine_2.safetensors"
    assert before.read_bytes() == b"the user's"


def test_it_goes_on_from_a_loaded_style_and_leaves_that_as_it_is(nodes):
    (start,) = nodes.VisageLoadFastStyle.execute("the_scream (built in)").args
    known = start.conv1.conv2d.weight.clone()
    learned = train(nodes, steps=1, start=start)[0].conv1.conv2d.weight
    assert torch.equal(start.conv1.conv2d.weight, known)
    assert 0 < (learned - known).abs().max() < 0.01


def test_an_interrupt_keeps_what_is_learned(nodes):
    import comfy.model_management

    comfy.model_management.interrupt_current_processing(True)
    _, file, loss = train(nodes, steps=50)
    assert loss["loss"] == pytest.approx([loss["loss"][0]] * 2, rel=1e-4)
    assert nodes.VisageLoadFastStyle.execute(file).args[0]


def test_a_name_with_folders_is_refused(nodes):
    with pytest.raises(ValueError, match="without folders"):
        train(nodes, "../mine")


def test_a_file_that_is_not_there_is_told_of_before_the_run(nodes):
    said = nodes.VisageLoadFastStyle.validate_inputs("candy.pth")
    assert "candy.pth" in said
    assert "visage train fast-style" in said
    with pytest.raises(FileNotFoundError):
        nodes.VisageLoadFastStyle.execute("candy.pth")

import pytest
import torch
from visage.techniques.layers import (
    as_layers,
    compose,
    keep_layers,
    pick_layer,
    raster_layers,
    replace_layer,
    split_layer,
)


@pytest.fixture
def random():
    return torch.Generator().manual_seed(3)


def disc(size=64, radius=20, soft=2.0):
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    distance = ((x - size / 2) ** 2 + (y - size / 2) ** 2).sqrt()
    return ((radius - distance) / soft + 0.5).clamp(0, 1).unsqueeze(0)


def test_untouched_layers_give_the_picture_back(random):
    picture = torch.rand(2, 50, 71, 3, generator=random)
    layers = as_layers(picture)
    for name in ("hair", "person", "bag", "shadow"):
        layers = split_layer(layers, torch.rand(1, 50, 71, generator=random), name)
    assert layers.names == ["background", "shadow", "bag", "person", "hair"]
    assert (compose(layers) - picture).abs().max() <= 1 / 255
    for layer in layers.stack:
        assert layer.colour.min() >= 0 and layer.colour.max() <= 1


def test_untouched_layers_of_8_bits_give_the_picture_back_to_one_step(random):
    picture = (torch.rand(1, 40, 40, 3, generator=random) * 255).round() / 255
    mask = (disc(40, 12) * 255).round() / 255
    layers = split_layer(as_layers(picture), mask, "disc")
    shown = torch.zeros(40, 40, 3)
    for _, pixels in raster_layers(layers, 0):
        pixels = torch.from_numpy(pixels) / 255
        shown = pixels[..., 3:] * pixels[..., :3] + (1 - pixels[..., 3:]) * shown
    assert (shown - picture[0]).abs().max() <= 1.01 / 255


def test_a_soft_edge_loses_the_background_that_showed_through():
    """A red disc over blue: the layer is red to its edge, and what lies behind is blue."""
    red, blue = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0])
    mask = disc(soft=8.0)
    picture = mask.unsqueeze(-1) * red + (1 - mask.unsqueeze(-1)) * blue
    layers = split_layer(as_layers(picture), mask, "disc")
    edge = (mask > 0.1) & (mask < 0.9)
    assert (pick_layer(layers, "disc").colour[edge] - red).abs().max() < 0.02
    assert (layers.stack[0].colour - blue).abs().max() < 0.02


def test_the_hole_shows_the_picture_that_is_given_for_it(random):
    picture = torch.rand(1, 64, 64, 3, generator=random)
    plate = torch.rand(1, 64, 64, 3, generator=random)
    layers = split_layer(as_layers(picture), disc(soft=0.1), "disc", behind=plate)
    inside = disc(radius=18, soft=0.1) == 1
    assert torch.equal(layers.stack[0].colour[inside], plate[inside])
    assert (compose(layers) - picture).abs().max() <= 1 / 255


def test_several_pictures_for_the_hole_of_one_make_a_stack_of_as_many(random):
    plates = torch.rand(3, 64, 64, 3, generator=random)
    layers = split_layer(as_layers(torch.rand(1, 64, 64, 3)), disc(soft=0.1), "disc", plates)
    inside = disc(radius=18, soft=0.1)[0] == 1
    assert all(len(layer.colour) == len(layer.alpha) == 3 for layer in layers.stack)
    assert torch.equal(layers.stack[0].colour[:, inside], plates[:, inside])


def test_a_hole_of_another_number_of_pictures_is_refused():
    with pytest.raises(ValueError, match="behind has 3 pictures and the layers has 2"):
        split_layer(as_layers(torch.rand(2, 64, 64, 3)), disc(), "disc", torch.rand(3, 64, 64, 3))


def test_a_changed_layer_changes_the_picture_only_where_it_is(random):
    picture = torch.rand(1, 64, 64, 3, generator=random)
    layers = split_layer(as_layers(picture), disc(), "disc")
    changed = compose(replace_layer(layers, "disc", torch.zeros(1, 64, 64, 3)))
    untouched = disc() == 0
    assert torch.equal(changed[untouched], compose(layers)[untouched])
    assert changed[disc() == 1].max() == 0


def test_a_new_background_leaves_the_person(random):
    picture = torch.rand(1, 64, 64, 3, generator=random)
    layers = split_layer(as_layers(picture), disc(), "person")
    changed = replace_layer(layers, "background", torch.ones(1, 64, 64, 4) * 0.5)
    inside = disc() == 1
    assert (compose(changed)[inside] - picture[inside]).abs().max() <= 1 / 255
    assert compose(changed)[disc() == 0].unique().tolist() == [0.5]


def test_transparency_and_a_mask_of_the_new_picture_count():
    layers = split_layer(as_layers(torch.zeros(1, 64, 64, 3)), disc(), "disc")
    glass = torch.cat([torch.ones(1, 64, 64, 3), torch.full((1, 64, 64, 1), 0.25)], dim=-1)
    assert compose(replace_layer(layers, "disc", glass))[disc() == 1].unique().tolist() == [0.25]
    everywhere = replace_layer(layers, "disc", torch.ones(1, 64, 64, 3), torch.ones(1, 64, 64))
    assert compose(everywhere).min() == 1


def test_layers_that_are_not_named_are_hidden():
    layers = split_layer(as_layers(torch.ones(1, 64, 64, 3)), disc(), "a")
    layers = replace_layer(split_layer(layers, disc(radius=5), "b"), "a", torch.zeros(1, 64, 64, 3))
    assert keep_layers(layers, ["b "]).names == ["background", "b"]


def test_one_picture_and_many_masks_give_a_stack_for_each(random):
    masks = torch.cat([disc(radius=10), disc(radius=20)])
    layers = split_layer(as_layers(torch.rand(1, 64, 64, 3, generator=random)), masks, "disc")
    assert len(compose(layers)) == 2 and pick_layer(layers, "disc").alpha.equal(masks)


def test_a_mask_that_covers_all_is_the_whole_picture_as_a_layer(random):
    picture = torch.rand(1, 64, 64, 3, generator=random)
    layers = split_layer(as_layers(picture), torch.ones(1, 64, 64), "all")
    assert (pick_layer(layers, "all").colour - picture).abs().max() <= 1 / 255
    assert (compose(layers) - picture).abs().max() <= 1 / 255
    assert layers.stack[0].colour.isfinite().all()


class TestRefuses:
    layers = as_layers(torch.zeros(1, 64, 64, 3))

    def test_an_empty_mask(self):
        with pytest.raises(ValueError, match="mask of the layer 'hat' is empty"):
            split_layer(self.layers, torch.zeros(1, 64, 64), "hat")

    def test_a_name_that_is_taken_or_empty(self):
        with pytest.raises(ValueError, match="a layer 'background' already"):
            split_layer(self.layers, disc(), "background ")
        with pytest.raises(ValueError, match="no name"):
            split_layer(self.layers, disc(), "  ")

    def test_an_unknown_layer(self):
        with pytest.raises(ValueError, match="no layer 'hat'. There are: background"):
            pick_layer(self.layers, "hat")

    def test_pictures_of_another_size(self):
        with pytest.raises(ValueError, match="32 x 32 px and the layers are 64 x\\s?64"):
            replace_layer(self.layers, "background", torch.zeros(1, 32, 32, 3))
        with pytest.raises(ValueError, match="aspect ratios differ"):
            split_layer(self.layers, torch.rand(1, 32, 64), "hat")

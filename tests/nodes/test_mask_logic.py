"""Combine Masks, run as ComfyUI runs it."""

import pytest
import torch

PICTURE = torch.zeros(1, 40, 80, 3)


def run(operation="union", grow=0.0, shape="as it is", box="", **masks):
    from visage.nodes.mask_logic import VisageCombineMasks

    with torch.inference_mode():
        return VisageCombineMasks.execute(PICTURE, operation, grow, shape, box, **masks).args


def test_a_box_alone_is_a_mask(comfy_nodes):
    mask, share = run(box="25, 50, 50, 50")
    assert mask[0, 20:, 20:60].all()
    assert share == pytest.approx(0.25)


def test_boxes_of_either_kind_join_the_other_mask(comfy_nodes):
    other = torch.zeros(1, 40, 80)
    other[:, 0, 0] = 1
    mask, _ = run("minus", box="50, 0, 50, 100", mask=torch.ones(1, 40, 80), other=other,
                  boxes=[[(0, 39, 1, 1)]])  # fmt: skip
    assert mask.sum() == 40 * 40 - 2
    assert (mask[0, 0, 0], mask[0, 39, 0], mask[0, 1, 0]) == (0, 0, 1)


def test_a_mask_that_nobody_painted_is_empty(comfy_nodes):
    mask, share = run(mask=torch.zeros(1, 64, 64))
    assert mask.shape == (1, 40, 80)
    assert share == 0


def test_a_mask_that_covers_all_minus_itself_is_empty(comfy_nodes):
    full = torch.ones(1, 40, 80)
    assert not run("minus", grow=20.0, mask=full, other=full)[0].any()


def test_nothing_to_combine_says_what_to_connect(comfy_nodes):
    with pytest.raises(ValueError, match="connect mask, other or boxes, or write a box"):
        run()


def test_a_bad_box_is_refused_before_anything_runs(comfy_nodes):
    from visage.nodes.mask_logic import VisageCombineMasks

    assert VisageCombineMasks.validate_inputs(box="1, 2, 3, 4") is True
    assert "is no box" in VisageCombineMasks.validate_inputs(box="here")


def test_a_box_becomes_the_object_in_it(comfy_nodes):
    from visage.nodes.mask_logic import OBJECT, VisageCombineMasks

    picture = torch.full((1, 40, 80, 3), 0.2)
    picture[:, 12:28, 30:50, 0] = 0.9
    with torch.inference_mode():
        mask, _ = VisageCombineMasks.execute(picture, "union", 0.0, OBJECT, "25, 10, 50, 80").args
    assert mask.sum() == 16 * 20

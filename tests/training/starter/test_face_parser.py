"""The stage of the face parser, on tiny data."""

import torch
import torch.nn.functional as F
from visage.models.face_classes import CLASSES, PRESETS, class_index
from visage.training.starter.face_parser import every_other, pixel_losses
from visage.training.starter.photo_labels import ANY_FACE, IGNORE, NOT_FACE


def test_kept_labels_lie_where_the_logits_of_half_the_size_do():
    # The columns' numbers, spread as the network spreads its logits, are each label's own place.
    coarse = torch.linspace(0, 255, 32).repeat(1, 1, 32, 1)
    half = F.interpolate(coarse, (128, 128), mode="bilinear", align_corners=True)[0, 0]
    columns = torch.arange(256).repeat(1, 256, 1)
    assert (every_other(columns)[0] - half).abs().max() <= 0.5
    assert (every_other(columns.mT)[0] - half.mT).abs().max() <= 0.5
    # Every second label, counted from the first, would end a whole pixel off.
    assert (columns[0, ::2, ::2] - half).abs().max() > 0.9


def test_a_partial_label_asks_for_the_sum_of_its_classes():
    logits = torch.randn(1, len(CLASSES), 2, 2)
    p = logits.softmax(1)[0]
    labels = torch.tensor([[[ANY_FACE, NOT_FACE], [IGNORE, 3]]])
    losses = pixel_losses(logits, labels, torch.ones(len(CLASSES)))[0]
    face = [class_index(name) for name in PRESETS["face"]]
    assert torch.allclose(losses[0, 0], -p[face, 0, 0].sum().log(), atol=1e-5)
    assert torch.allclose(losses[0, 1], -(1 - p[face, 0, 1].sum()).log(), atol=1e-5)
    assert losses[1, 0] == 0
    assert torch.allclose(losses[1, 1], -p[3, 1, 1].log(), atol=1e-5)

"""The stage of the face parser, on tiny data."""

import torch
import torch.nn.functional as F
from visage.training.starter.face_parser import every_other


def test_kept_labels_lie_where_the_logits_of_half_the_size_do():
    # The columns' numbers, spread as the network spreads its logits, are each label's own place.
    coarse = torch.linspace(0, 255, 32).repeat(1, 1, 32, 1)
    half = F.interpolate(coarse, (128, 128), mode="bilinear", align_corners=True)[0, 0]
    columns = torch.arange(256).repeat(1, 256, 1)
    assert (every_other(columns)[0] - half).abs().max() <= 0.5
    assert (every_other(columns.mT)[0] - half.mT).abs().max() <= 0.5
    # Every second label, counted from the first, would end a whole pixel off.
    assert (columns[0, ::2, ::2] - half).abs().max() > 0.9

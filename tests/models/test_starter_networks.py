"""A small sample of what the shipped face networks were measured at; it fails if one falls."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from visage.evaluation.detector import detector_figures
from visage.evaluation.embedder import embedder_figures
from visage.models.face_detector import load_face_detector
from visage.models.face_embedder import load_face_embedder
from visage.models.starter_files import STARTER, starter_file
from visage.world import STYLES, portrait
from visage.world.styles import stylise

# The shipped networks run on many drawn people.
pytestmark = pytest.mark.slow


def test_faces_in_unseen_scenes_are_found():
    figures = detector_figures(load_face_detector(starter_file("face_detector")), 8)
    assert figures["detector_recall"] > 0.75
    assert figures["detector_precision"] > 0.75


def test_people_are_told_apart():
    figures = embedder_figures(load_face_embedder(starter_file("face_embedder")), 12)
    assert figures["embedder_accuracy"] > 0.75
    assert figures["embedder_cross_style_accuracy"] > 0.7


def test_pictures_of_one_style_lie_together_whoever_they_show():
    from transformers import CLIPVisionModelWithProjection
    from visage.models.pixel_statistics import CLIP_MEAN, CLIP_STD

    folder = STARTER / "image_encoder"
    network = CLIPVisionModelWithProjection.from_pretrained(folder, dtype=torch.float32)

    def embedded(split: str, count: int) -> torch.Tensor:
        people = [portrait(index, 128, split, "photo").image for index in range(count)]
        shown = np.stack([[stylise(p, s, i) for s in STYLES] for i, p in enumerate(people)])
        pixels = (shown.astype(np.float32) / 255 - CLIP_MEAN) / CLIP_STD
        with torch.no_grad():
            found = network(pixel_values=torch.from_numpy(pixels).flatten(0, 1).movedim(-1, 1))
        return F.normalize(found.image_embeds, dim=1).view(count, len(STYLES), -1)

    centres = F.normalize(embedded("validation", 6).mean(0), dim=1)
    found = (embedded("test", 6) @ centres.T).argmax(-1)
    assert (found == torch.arange(len(STYLES))).float().mean() > 0.5

"""Faces painted in the legend's own colours, and a parser that reads those colours exactly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from visage.diffusion.taps import Attention
from visage.models.face_classes import CLASSES, COLOURS
from visage.models.face_detector import Detections
from visage.models.face_parser import FaceParser, load_face_parser
from visage.models.starter_files import starter_file
from visage.techniques import face_finding


class ColourNetwork(torch.nn.Module):
    """Gives each pixel the class whose legend colour is nearest."""

    def __init__(self):
        super().__init__()
        palette = torch.tensor([COLOURS[name] for name in CLASSES]) / 255
        self.palette = torch.nn.Parameter(palette, requires_grad=False)
        self.runs = 0

    def forward(self, x):
        self.runs += len(x)
        mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
        std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        pixels = (x * std + mean).movedim(1, -1)
        distance = torch.cdist(pixels.flatten(1, 2), self.palette.expand(len(x), -1, -1))
        return (-60 * distance).movedim(-1, 1).unflatten(2, x.shape[2:])


class BlindDetector:
    """Sees nobody, so that faces are found by what the parser says."""

    def find(self, images, score, smallest):
        return [Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 5, 2))]


@pytest.fixture
def parser(monkeypatch):
    monkeypatch.setattr(face_finding, "built_in_detector", BlindDetector)
    return FaceParser(ColourNetwork(), 160, "colours")


@pytest.fixture(scope="session")
def starter_parser():
    """The built-in parser with its real weights."""
    return load_face_parser(starter_file("face_parser"))


@pytest.fixture(scope="session")
def photograph():
    """One of scikit-image's photographs by name, as a picture [H, W, 3]."""
    return lambda name: torch.from_numpy(getattr(data, name)()).float() / 255


@pytest.fixture
def paint():
    """Paint faces (centre x, centre y, height of the face) on black: picture and class map."""

    def paint(height, width, faces):
        labels = np.zeros((height, width), np.uint8)

        def ellipse(name, cx, cy, rx, ry):
            centre, radii = (round(cx), round(cy)), (max(1, round(rx)), max(1, round(ry)))
            cv2.ellipse(labels, centre, radii, 0, 0, 360, CLASSES.index(name), -1)

        for x, y, size in faces:
            ellipse("clothes", x, y + 1.05 * size, 0.75 * size, 0.4 * size)
            ellipse("neck", x, y + 0.5 * size, 0.18 * size, 0.3 * size)
            ellipse("hair", x, y - 0.15 * size, 0.46 * size, 0.5 * size)
            ellipse("skin", x, y, 0.37 * size, 0.5 * size)
            for name, shift in (("left", -0.16 * size), ("right", 0.16 * size)):
                ellipse(f"{name}_brow", x + shift, y - 0.2 * size, 0.1 * size, 0.03 * size)
                ellipse(f"{name}_eye", x + shift, y - 0.1 * size, 0.08 * size, 0.045 * size)
            ellipse("nose", x, y + 0.06 * size, 0.06 * size, 0.1 * size)
            ellipse("upper_lip", x, y + 0.25 * size, 0.14 * size, 0.06 * size)
            ellipse("lower_lip", x, y + 0.29 * size, 0.12 * size, 0.06 * size)
            ellipse("mouth", x, y + 0.27 * size, 0.1 * size, 0.025 * size)
        palette = np.array([COLOURS[name] for name in CLASSES], np.float32) / 255
        return torch.from_numpy(palette[labels]), torch.from_numpy(labels.astype(np.int64))

    return paint


class ToyBranch:
    """A network of one self-attention, layer 9; it notes the timesteps and latents it is asked."""

    layers = (9,)
    alphas = torch.linspace(0.9991, 0.0047, 1000, dtype=torch.float64)

    heads = 2

    def __init__(self):
        generator = torch.Generator().manual_seed(7)
        self.weights = 0.5 * torch.randn(4, 8, 8, generator=generator)
        self.lift = torch.randn(4, 8, generator=generator)
        self.asked = []

    def __call__(self, latent, timestep, taps=None):
        self.asked.append((timestep, latent.detach().clone()))
        tokens = latent.flatten(2).transpose(1, 2) @ self.lift
        q, k, v = (tokens @ weight for weight in self.weights[:3])
        place = Attention(9, "self")
        if taps and place in taps.projections:
            q, k, v = taps.projections[place](0, q, k, v)
        if taps and place in taps.attentions:
            out = taps.attentions[place](0, q, k, v, ToyAttend(self.heads))
        else:
            out = ToyAttend(self.heads)(q, k, v)
        noise = (out @ self.weights[3] @ self.lift.T).transpose(1, 2).unflatten(2, latent.shape[2:])
        return (0.05 * noise + 0.1 * latent).unsqueeze(0)


class ToyAttend:
    def __init__(self, heads):
        self.heads = heads

    def __call__(self, q, k, v):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
        return (weights @ v).transpose(1, 2).flatten(2)


@pytest.fixture
def toy_branch():
    return ToyBranch()

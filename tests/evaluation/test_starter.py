"""The shipped starter models are at least as good as their card says, on a small sample."""

import pytest
import torch

pytest.importorskip("diffusers")

from visage.engines.diffusers import DiffusersEngine
from visage.evaluation.parsing import astronaut_iou, parser_figures
from visage.evaluation.reconstruction import vae_figures
from visage.evaluation.starter import size_in_mib
from visage.models.face_parser import load_face_parser
from visage.models.starter_files import starter_file


@torch.inference_mode()
def test_the_face_parser_parses_unseen_people():
    figures = parser_figures(load_face_parser(starter_file("face_parser")), 12)
    assert figures["parser_face_iou"] > 0.83
    assert figures["parser_miou"] > 0.38


@torch.inference_mode()
def test_the_face_of_the_astronaut_is_found():
    assert astronaut_iou(load_face_parser(starter_file("face_parser"))) > 0.9


@torch.inference_mode()
def test_the_autoencoder_keeps_unseen_pictures():
    figures = vae_figures(DiffusersEngine.load(), 8)
    assert figures["vae_psnr_faces"] > 22.5
    assert figures["vae_psnr_photos"] > 21


def test_all_files_together_stay_small():
    assert size_in_mib() < 32

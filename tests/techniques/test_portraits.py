"""Portraits from words."""

import pytest
import torch
from visage.models.face_parser import load_face_parser
from visage.models.starter_files import starter_file
from visage.techniques.face_finding import find_faces
from visage.techniques.portraits import paint_portrait

pytestmark = pytest.mark.slow

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def engine():
    from visage.engines.diffusers import DiffusersEngine

    return DiffusersEngine.load()


def paint(engine, seed: int, **settings) -> torch.Tensor:
    return paint_portrait("a photo of a woman, smiling", engine, seed, **settings)


def test_it_is_a_picture_of_a_face_at_the_models_own_size(engine):
    picture = paint(engine, seed=17)
    assert picture.shape == (1, engine.native_size, engine.native_size, 3)
    assert len(find_faces(picture[0], load_face_parser(starter_file("face_parser")))) == 1


def test_the_seed_decides_and_every_step_is_told(engine):
    told = []
    first = paint(engine, 1, steps=2, progress=lambda *step: told.append(step))
    assert told == [(1, 2), (2, 2)]
    assert torch.equal(first, paint(engine, 1, steps=2))
    assert not torch.equal(first, paint(engine, 2, steps=2))

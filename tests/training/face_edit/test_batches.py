"""A step's batch depends on the seed and the step alone, and flips picture and mask together."""

from dataclasses import replace

import pytest
import torch
from visage.models.checkpoints import write_weights
from visage.training.face_edit.batches import StepBatches
from visage.training.face_edit.cache import Cache, CachedExample
from visage.training.face_edit.config import FaceEditConfig

CONFIG = FaceEditConfig(size=32, batch=4, seed=7)
COUNT = 6


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Examples whose latents say who they are; the right half of each is its left half plus 100."""
    folder = tmp_path_factory.mktemp("cache")
    for text in range(3):
        write_weights(folder / f"text{text}.safetensors", {"text": torch.full((2, 5), text)}, {})
    texts = tuple(folder / f"text{text}.safetensors" for text in range(3))
    examples = []
    for index in range(COUNT):
        plain = torch.full((4, 4, 4), float(index))
        plain[..., 2:] += 100
        mask = (plain[:1] < 100).half()
        both = torch.stack((plain, plain.flip(-1))).half()
        path = folder / f"{index}.safetensors"
        write_weights(path, {"pictures": both, "masked": -both, "mask": mask}, {})
        examples.append(CachedExample(str(index), path, ("a", "b"), texts[1:]))
    return Cache(examples, texts[0], [])


def whole(cache, step, config=CONFIG):
    return StepBatches(cache, config, 1000)[step]


def who(batch):
    return batch.latents.amin(dim=(1, 2, 3)).int().tolist()


def test_same_step_same_batch(cache):
    first, again, other = whole(cache, 3), whole(cache, 3), whole(cache, 4)
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(again, name))
    assert not torch.equal(first.noise, other.noise)


def test_takes_every_seed_of_a_sampler(cache):
    """Also in the second epoch, whose order of examples has a number of its own."""
    first, last = (whole(cache, step, replace(CONFIG, seed=2**64 - 1)) for step in (0, 9))
    assert not torch.equal(first.noise, last.noise)


def test_processes_share_one_global_batch(cache):
    batch = whole(cache, 5)
    halves = [StepBatches(cache, CONFIG, 1000, process, 2)[5] for process in range(2)]
    for name, value in vars(batch).items():
        assert torch.equal(value, torch.cat([getattr(half, name) for half in halves]))


def test_every_example_once_an_epoch(cache):
    config = replace(CONFIG, batch=3)
    seen = [index for step in range(2) for index in who(whole(cache, step, config))]
    assert sorted(seen) == list(range(COUNT))
    later = [index for step in range(2, 4) for index in who(whole(cache, step, config))]
    assert sorted(later) == list(range(COUNT)) and later != seen


def test_flip_takes_picture_masked_picture_and_mask_together(cache):
    flipped = 0
    for step in range(6):
        batch = whole(cache, step)
        for latent, concat in zip(batch.latents, batch.concat, strict=True):
            left = latent[0, 0, 0] < 100
            flipped += not left
            assert torch.equal(concat[0] > 0.5, latent[0] < 100)
            assert torch.equal(concat[1:], -latent)
    assert 0 < flipped < 24
    assert all(
        (whole(cache, s, replace(CONFIG, flip=0.0)).latents[..., 0] < 100).all() for s in (0, 1)
    )


def test_a_caption_is_drawn_each_time(cache):
    drawn = {float(v) for step in range(6) for v in whole(cache, step).text[:, 0, 0]}
    assert drawn == {1.0, 2.0}
    silent = whole(cache, 0, replace(CONFIG, caption_dropout=1.0))
    assert not silent.text.any()

"""The Frechet distance, and the ratio that says how real painted faces look."""

import numpy as np
import pytest
from visage.evaluation.realism import frechet_distance, realism_ratio


def test_gaussians_along_the_axes_have_the_distance_of_the_closed_form():
    noise = np.random.default_rng(0).standard_normal((60_000, 3))
    first, second = noise[:30_000] * [1, 2, 3], noise[30_000:] * [2, 2, 1] + [1, 0, 0]
    expected = 1 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected, rel=0.02)


def test_it_is_the_textbook_formula():
    scipy_linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((40, 6)), rng.standard_normal((50, 6)) * np.arange(1, 7)
    covariances = np.cov(first.T), np.cov(second.T)
    root = scipy_linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.square(first.mean(0) - second.mean(0)).sum()
    expected += np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-5)


def test_a_set_has_no_distance_to_itself_even_with_fewer_pictures_than_features():
    features = np.random.default_rng(2).standard_normal((8, 128))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)


def test_sets_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 4\)"):
        frechet_distance(np.zeros((1, 4)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="equal length"):
        frechet_distance(np.zeros((3, 4)), np.zeros((3, 5)))


def _mean_colours(images, landmarks):
    assert all(points.shape == (5, 2) for points in landmarks)
    return np.stack([image.reshape(-1, 3).mean(0) / 255 for image in images])


def test_untouched_faces_are_as_real_as_held_out_ones_and_grey_ones_are_not():
    asked = []

    def leave(person, prompt, parts):
        asked.append((prompt, parts))
        return person.image

    untouched = realism_ratio(leave, _mean_colours, 12)
    grey = realism_ratio(lambda person, *_: np.full_like(person.image, 5), _mean_colours, 12)
    assert grey > 5 * untouched
    assert len(asked) == 12
    assert all(words and parts == ("face",) for words, parts in asked)

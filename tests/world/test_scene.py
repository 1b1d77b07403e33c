"""Scenes: several people, each with a box where their visible face is."""

import numpy as np
import pytest
from visage.world import scene
from visage.world.labels import FACE

# Scenes of several people are drawn.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scenes():
    return [scene(index, 160) for index in range(8)]


def test_a_scene_is_always_the_same_picture(scenes):
    again = scene(3, 160)
    assert np.array_equal(again.image, scenes[3].image)
    assert np.array_equal(again.labels, scenes[3].labels)
    assert not np.array_equal(again.image, scene(3, 160, "test").image)


def test_scenes_hold_one_to_five_different_people_at_several_distances(scenes):
    counts = [len(drawn.faces) for drawn in scenes]
    assert min(counts) >= 1 and max(counts) >= 3 and max(counts) <= 5
    people = [face.identity_id for drawn in scenes for face in drawn.faces]
    assert len(set(people)) == len(people)
    heights = [face.box[3] for drawn in scenes for face in drawn.faces if face.visible > 0.8]
    assert max(heights) > 2 * min(heights)


def test_boxes_hold_exactly_the_visible_face_of_their_owner(scenes):
    for drawn in scenes:
        for number, face in enumerate(drawn.faces, start=1):
            rows, columns = np.nonzero(np.isin(drawn.labels, FACE) & (drawn.owners == number))
            if not len(rows):
                assert face.box == (0, 0, 0, 0) and face.visible == 0
                continue
            x, y, w, h = face.box
            assert (columns.min(), rows.min()) == (x, y)
            assert (columns.max() + 1, rows.max() + 1) == (x + w, y + h)


def test_nearly_every_face_can_be_seen(scenes):
    visible = [face.visible for drawn in scenes for face in drawn.faces]
    assert np.mean(np.array(visible) > 0.8) > 0.7


def test_background_belongs_to_nobody(scenes):
    for drawn in scenes:
        assert ((drawn.owners == 0) == (drawn.labels == 0)).mean() > 0.995


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="64 to 2048"):
        scene(0, 32)
    with pytest.raises(ValueError, match="split"):
        scene(0, 128, "training")

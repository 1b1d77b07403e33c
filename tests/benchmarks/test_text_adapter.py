"""What the comparison with and without the text adapter looks at."""

import pytest
from visage.benchmarks.text_adapter import SCENE_SIZE, _compared, as_portrait, small_faces


def test_small_faces_are_those_of_people_far_away():
    (drawn,) = small_faces(1)
    assert drawn.image.shape == (SCENE_SIZE, SCENE_SIZE, 3)
    assert all(face.box[2] < SCENE_SIZE / 5 for face in drawn.faces)
    assert as_portrait(drawn).identity_id == drawn.faces[0].identity_id


def test_the_difference_is_taken_pair_by_pair():
    found = _compared("found", {"with": [1.0, 0.0, 1.0], "without": [0.5, -0.5, 0.5]})
    assert found["found_with"] == pytest.approx(2 / 3)
    assert found["found_delta_ci_low"] == found["found_delta"] == 0.5

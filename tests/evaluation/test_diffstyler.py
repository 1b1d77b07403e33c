"""Content kept and style taken: the figures that are made of the measured points."""

import pytest
from visage.evaluation.diffstyler import drawn
from visage.evaluation.diffstyler_figures import Point, gains


def test_the_parts_of_a_person_and_its_background_are_the_picture():
    person = drawn(20)
    both = person.mask("person") + person.mask("background")
    assert (both == 1).all()
    assert person.mask("whole") is None


def test_content_is_compared_where_the_style_is_the_same():
    off = {"injection off, LoRA at 0.5": 0.2, "injection off, LoRA at 1": 0.4}
    points = {name: [Point(0.7 - lost, 1, lost)] * 3 for name, lost in off.items()}
    points |= {"image to image from 20%": [Point(0.4, 1, lost) for lost in (0.1, 0.2, 0.3)]}
    points |= {"both injected": [Point(0.4, 0, 0.15)] * 3}
    figures = gains(points)
    assert figures["content_gain_at_equal_style"] == pytest.approx(0.5)
    assert figures["content_gain_at_equal_style_low"] == pytest.approx(0.5)
    assert figures["content_gain_over_image_to_image"] == pytest.approx(0.25)
    low, high = (figures[f"content_gain_over_image_to_image_{end}"] for end in ("low", "high"))
    assert low < 0.25 < high

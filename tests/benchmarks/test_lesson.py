"""The figures of `visage bench lesson` that need neither photographs nor a server."""

from visage.benchmarks.lesson import background, layers_roundtrip, targets


def test_layers_put_together_untouched_are_the_picture():
    assert layers_roundtrip() <= 1 / 255


def test_nothing_changes_outside_what_is_removed():
    assert background() == 0


def test_targets_are_found_in_eight_runs_within_two_hundredths():
    found = targets()
    assert found["target_runs"] <= 8
    assert found["target_error"] <= 0.02

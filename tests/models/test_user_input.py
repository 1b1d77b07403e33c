"""What a user chose or typed."""

from __future__ import annotations

import pytest
from visage.models.user_input import passes, read_numbers, require_choice


def test_a_choice_that_is_none_is_told_what_there_is():
    require_choice("mode", "soft", ("hard", "soft"))
    with pytest.raises(ValueError, match="mode is 'x'; it must be one of hard, soft."):
        require_choice("mode", "x", {"hard": 1, "soft": 2})


@pytest.mark.parametrize("text", ["1, 0.5,2", " 1;0.5; 2 ", "1 0.5\n2,"])
def test_numbers_are_separated_by_commas_semicolons_or_spaces(text):
    assert read_numbers(text, "mix") == [1, 0.5, 2]


def test_text_that_is_no_number_names_its_input():
    assert read_numbers("  ", "mix") == []
    with pytest.raises(ValueError, match="mix is '1, much'; write numbers"):
        read_numbers("1, much", "mix")


def test_a_check_passes_or_says_what_is_wrong():
    assert passes(require_choice, "mode", "soft", ["soft"]) is True
    assert passes(require_choice, "mode", "x", ["soft"]) == "mode is 'x'; it must be one of soft."

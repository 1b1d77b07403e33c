"""Captions from the forty attributes."""

from visage.training.face_edit.captions import CAPTIONS, write_captions
from visage.world.labels import ATTRIBUTES


def test_ten_captions_the_same_every_time():
    shown = {"Male", "Eyeglasses", "Smiling", "Black_Hair"}
    captions = write_captions(shown, "17")
    assert len(captions) == CAPTIONS == 10
    assert captions == write_captions(shown, "17")
    assert captions != write_captions(shown, "18")


def test_they_say_what_is_shown_and_nothing_else():
    text = " ".join(write_captions({"Male", "Eyeglasses", "Wearing_Hat"}, "0"))
    assert "glasses" in text and "hat" in text and " man" in text
    for absent in ("woman", "smiling", "mustache", "hair", "lipstick"):
        assert absent not in text


def test_every_picture_has_captions_whatever_it_shows():
    for shown in (set(), set(ATTRIBUTES)):
        for caption in write_captions(shown, "5"):
            assert 2 <= len(caption.split()) <= 40
            assert "  " not in caption and caption == caption.strip()


def test_beauty_is_not_judged():
    assert "ttractive" not in " ".join(write_captions({"Attractive"}, "1"))

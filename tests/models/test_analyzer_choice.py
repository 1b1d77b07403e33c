from __future__ import annotations

import pytest
from visage.models import analyzer_choice
from visage.models.analyzer_choice import DLIB, STARTER, best_analyzer, explain

PACKS = {
    "buffalo": {"scrfd", "arcface"},
    "zoo": {"yunet", "sface"},
    "dat": {"dlib"},
    "finds only": {"scrfd"},
    "no detector": {"arcface"},
}


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    """Packs are known by name, and dlib is not installed."""

    def pack_kinds(files):
        if files == ["broken"]:
            raise ValueError("broken")
        return PACKS[files[0]]

    monkeypatch.setattr(analyzer_choice, "pack_kinds", pack_kinds)
    monkeypatch.setattr(analyzer_choice, "dlib_files", lambda: None)


def best(*names):
    return best_analyzer({name: [name] for name in names})


def test_the_best_is_taken_whatever_comes_first():
    assert best("zoo", "dat", "buffalo") == "buffalo"
    assert best("zoo", "dat") == "dat"
    assert best("finds only", "zoo") == "zoo"


def test_what_cannot_tell_people_apart_or_be_read_is_passed_over():
    assert best("finds only", "no detector", "broken") == STARTER
    assert best() == STARTER


def test_dlib_comes_after_insightface_alone(monkeypatch):
    monkeypatch.setattr(analyzer_choice, "dlib_files", lambda: object())
    assert best("zoo", "dat") == DLIB
    assert best("zoo", "buffalo") == "buffalo"


def test_the_starter_comes_with_a_warning():
    assert "photographed ones poorly" in explain(STARTER)
    assert explain(DLIB) == "auto took dlib."

"""The figures of `visage bench classics` that need no photographs."""

import sys

import pytest
from visage.benchmarks import classics
from visage.evaluation.classics_memory import peak_mib


def test_the_formulae_hold():
    assert classics.gram_parity() < 1e-6
    assert classics.adain_parity() < 1e-6


def test_public_files_equal_a_plain_forward():
    assert classics.public_fast_style_parity() < 1e-5
    assert classics.public_adain_parity() < 1e-5


def test_without_photographs_the_table_is_left_out(monkeypatch, capsys):
    monkeypatch.delenv("VISAGE_PHOTOS", raising=False)
    assert classics.people(quick=True) == {}
    assert "left out" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's high water")
def test_a_larger_picture_takes_more_memory():
    # The features of 512 px alone are 16 channels in fp32, twice.
    assert peak_mib("fast", 512) > 2 * 16 * 512 * 512 * 4 / 2**20

"""What the ablation of the mosaic and the guard measures."""

import math
from types import SimpleNamespace

import pytest
from visage.benchmarks.identity import headline, table
from visage.engines.diffusers import DiffusersEngine
from visage.engines.image_encoder import ImageEncoder
from visage.evaluation import identity
from visage.evaluation.identity import (
    ROWS,
    Ablation,
    Measured,
    Parts,
    ablation,
    bucket,
    cases,
    paired_gain,
)
from visage.models.face_analyzer import Analyzer, FoundFace, starter_analyzer


def test_scenes_have_small_faces_and_styles_by_turns(monkeypatch):
    monkeypatch.setattr(identity, "SIZE", 128)
    first, second = cases(2)
    assert first.image.shape == (1, 128, 128, 3)
    assert min(first.sizes) < 0.08
    assert (first.name, second.name) == ("watercolour", "oil")
    x, y, width, height = first.faces[0].box
    for column, row in first.faces[0].landmarks.tolist():
        assert x - 2 < column < x + width + 2
        assert y - 2 < row < y + height + 2


def test_buckets_part_the_faces_by_size():
    sizes = [0.05, 0.08, 0.1, 0.2, 0.5]
    assert [bucket(sizes, name).tolist() for name in identity.BUCKETS] == [[0], [1, 2], [3, 4]]


def test_a_gain_is_judged_by_pairs():
    host = [0.1, 0.2, 0.3, 0.4] * 10
    gain, low, high = paired_gain(host, [1.5 * value for value in host])
    assert gain == pytest.approx(0.5)
    assert low == pytest.approx(high) == pytest.approx(0.5)
    gain, low, high = paired_gain(host, host[::-1])
    assert gain == pytest.approx(0)
    assert low < 0 < high


@pytest.fixture
def parts(random_starter, monkeypatch):
    """Random networks for small scenes, and an analyzer that finds one face in each."""
    for name, value in {"SIZE": 128, "MOSAIC": 64, "STEPS": 1}.items():
        monkeypatch.setattr(identity, name, value)
    (case,) = cases(1)
    starter = starter_analyzer()
    face = min(case.faces, key=lambda face: face.box[2])
    big = FoundFace((*face.box[:2], 14.0, 16.0), 1.0, face.landmarks)
    analyzer = Analyzer("sure", "none", lambda image: [big], SimpleNamespace(
        size=starter.embedding_size, thresholds=starter.thresholds, embed=starter._recognizer.embed
    ))  # fmt: skip
    return Parts(
        DiffusersEngine.load(random_starter),
        ImageEncoder.load(random_starter / "image_encoder"),
        analyzer,
    )


def test_single_parts_are_measured_on_fewer_scenes(parts):
    host, plain = ROWS[:2]
    measured = ablation(parts, 2, [host, plain], part_count=1)
    assert len(measured.rows["host"].seconds) == 2
    assert len(measured.rows["mosaic_plain"].seconds) == 1
    assert len(measured.rows["mosaic_plain"].likeness) < len(measured.sizes)


def test_every_row_measures_every_face(parts):
    measured = ablation(parts, 1)
    assert list(measured.rows) == [row.name for row in ROWS]
    for row in measured.rows.values():
        assert len(row.likeness) == len(row.found) == len(measured.sizes)
        assert len(row.style) == len(row.style_faces) == len(row.style_background) == 1
        assert all(map(math.isfinite, (*row.likeness, *row.style[0], *row.colours[0])))
        assert row.seconds[0] > 0
    rows = measured.rows
    assert rows["mosaic"].pixels[0] > rows["host"].pixels[0]
    # Each part of the guard does something of its own.
    likeness = {name: tuple(row.likeness) for name, row in rows.items()}
    parts = ("mosaic", "queries", "attention", "anchor", "full")
    assert len({likeness[name] for name in parts}) == len(parts)
    worse = zip(likeness["full"], likeness["full_best"], strict=True)
    assert all(best >= plain - 1e-5 for plain, best in worse)
    # Where nobody restyles it the mosaic comes back.
    assert measured.outside == 0
    assert min(measured.returned) > 20


def test_the_headline_and_the_table():
    def row(*likeness, style, seconds, pixels):
        # The second scene starts so near to the style that only its distance may count.
        way = [(1 - style, 1.0), (0.001, 0.0001)]
        return Measured(list(likeness), [], [1.0] * 3, way, way, way, way, [seconds], [pixels])

    made = Ablation(
        {
            "host": row(0.2, 0.5, 0.6, style=0.5, seconds=1.0, pixels=100),
            "mosaic": row(0.3, 0.5, 0.6, style=0.5, seconds=3.3, pixels=300),
            "full": row(0.4, 0.5, 0.6, style=0.6, seconds=4.0, pixels=300),
        },
        sizes=[0.05, 0.1, 0.3],
        returned=[41.0, 38.0],
    )
    figures = headline(made)
    assert figures["small_face_gain"] == pytest.approx(1.0)
    assert figures["small_face_gain_ci_low"] == pytest.approx(1.0)
    assert figures["style_change"] == pytest.approx(-0.2, abs=0.001)
    assert figures["pasteback_psnr"] == 38.0
    assert figures["canvas_cost_ratio"] == pytest.approx(1.1)
    assert "| full |" in table(made, {"full_small": 0.4})

"""One worker without a cluster: what it hands to its engine, and what it notes of errors."""

import io
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from visage.batch.job import Job
from visage.batch.rows import Row
from visage.batch.runner import Made
from visage.batch.store import Store
from visage.batch.worker import Ledger, Worker

from .test_sources import png


class Listening:
    """An engine that keeps what it was given and fails as it is told."""

    prompt: ClassVar[dict] = {"1": {"class_type": "KSampler", "inputs": {"seed": 5}}}

    def __init__(self) -> None:
        self.given, self.error = [], None

    def run(self, name, picture, settings):
        self.given.append((name, picture))
        if self.error:
            raise self.error
        return Made({"_Result.png": picture}, {"Score": '[{"a": 1}, {"a": 2, "b": true}]'})


class ListeningJob(Job):
    def start(self):
        return Listening()


@pytest.fixture
def worker(tmp_path):
    return Worker(ListeningJob({}), Store(str(tmp_path)), Store(str(tmp_path / "out")), None)


def test_notes_seeds_and_the_mean_of_figures(worker):
    record = worker.work_on(Row("a/b", "k1", data=png(), settings={"KSampler.seed": "9"}), 1)
    assert record.files == ["pictures/a/b_Result.png"]
    assert record.seeds == {"KSampler.seed": 9}
    assert record.numbers == {"Score.a": 1.5, "Score.b": 1.0}
    assert worker.records.find("k1").files == record.files


def test_deep_pictures_reach_the_engine_as_the_queue_sends_them(worker):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(file, "PNG")
    worker.work_on(Row("deep", "k2", data=file.getvalue()), 1)
    worker.work_on(Row("plain", "k3", data=png(7)), 1)
    (_, deep), (_, plain) = worker.runner.given
    image = np.asarray(Image.open(io.BytesIO(deep)))
    assert image.dtype == np.uint8
    assert (np.abs(image.astype(int) - 128) <= 1).all()
    assert plain == png(7)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Row("../x", "k"), "the id '../x' cannot be the name of a file"),
        (Row("x", "k", name="gone.png"), "gone.png cannot be read"),
        (Row("x", "k", error="s.tar cannot be read"), "s.tar cannot be read"),
    ],
)
def test_a_picture_that_cannot_be_run_has_a_reason(worker, row, words):
    record = worker.work_on(row, 1)
    assert words in record.error
    assert not record.files
    assert not worker.runner.given


def test_errors_of_the_engine_are_rows_and_those_of_the_place_are_not(worker):
    worker.runner.error = MemoryError("out of memory")
    record = worker.work_on(Row("x", "k", data=png()), 1)
    assert record.error == "MemoryError: out of memory"
    worker.runner.error = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        worker.work_on(Row("y", "k", data=png()), 1)


def test_the_ledger_counts_what_was_begun_and_forgets_what_is_done():
    ledger = Ledger()
    assert [ledger.begin("ab"), ledger.begin("ab"), ledger.begin("cd")] == [1, 2, 1]
    ledger.end("ab")
    assert ledger.begin("ab") == 0
    assert ledger.begin("cd") == 2

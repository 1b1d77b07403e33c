"""Peak memory, on this machine's CPU and on a graphics card that is only a stand-in."""

import subprocess
import sys

import pytest
import torch
from visage.benchmarks.face_edit import peak_memory

MIB = 2**20
# In a new process, because memory that earlier tests have freed would be used again.
FREED = """
import torch
from visage.benchmarks.face_edit import peak_memory
with peak_memory(torch.device("cpu")) as peak:
    before = peak()
    block = torch.ones(64 * 2**20 // 4)
    del block
    print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's high water")
def test_memory_that_was_freed_again_counts():
    ran = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True)  # noqa: S603
    assert int(ran.stdout) > 32 * MIB, ran.stderr


def test_a_graphics_card_is_asked_since_the_start(monkeypatch):
    card = StandInCard()
    # As strict as the real module: a name that torch.cuda has not is an error.
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", card.reset)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", card.peak)
    with peak_memory(torch.device("cuda", 1)) as peak:
        card.most = 5 * MIB
        assert peak() == 5 * MIB
    assert card.asked == [("reset", 1), ("peak", 1)]


class StandInCard:
    """What torch.cuda tells about one card."""

    def __init__(self) -> None:
        self.most, self.asked = 9 * MIB, []

    def reset(self, device: torch.device) -> None:
        self.asked.append(("reset", device.index))
        self.most = 0

    def peak(self, device: torch.device) -> int:
        self.asked.append(("peak", device.index))
        return self.most

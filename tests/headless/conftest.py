"""Stand-in ComfyUI servers as processes of their own, so that they can be killed."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

FAKE = Path(__file__).with_name("fake_comfyui.py")


class Fake:
    """One stand-in server; `start` again after `kill` is a restart on the same port and folder."""

    def __init__(self, folder: Path) -> None:
        from visage.headless.server import free_port

        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        from visage.headless.client import ComfyServer, ServerLost

        command = [sys.executable, str(FAKE), str(self.port), str(self.folder)]
        self.process = subprocess.Popen(command)  # noqa: S603
        for _ in range(1200):
            try:
                ComfyServer(self.url).get("/system_stats")
                return
            except ServerLost:
                time.sleep(0.1)
        raise TimeoutError("the stand-in server did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def runs(self) -> list[str]:
        """The picture of every workflow that was begun, in order."""
        log = self.folder / "runs.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line)["picture"] for line in lines]


@pytest.fixture
def start_fake(tmp_path):
    pytest.importorskip("aiohttp")
    started = []

    def start() -> Fake:
        started.append(Fake(tmp_path / f"server {len(started)}"))
        return started[-1]

    yield start
    for fake in started:
        fake.kill()


@pytest.fixture
def fake(start_fake) -> Fake:
    return start_fake()


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A stand-in server that nobody kills."""
    pytest.importorskip("aiohttp")
    fake = Fake(tmp_path_factory.mktemp("shared"))
    yield fake
    fake.kill()


def job(seconds: float = 0.0, conduct: str = "work") -> dict:
    """A workflow in API form: load, work, save, preview, show text."""
    nodes = {
        "1": ("LoadImage", "Picture", {"image": "cat.png"}),
        "2": ("Work", "Work", {"image": ["1", 0], "seconds": seconds, "conduct": conduct}),
        "3": ("SaveImage", "Result", {"images": ["2", 0]}),
        "4": ("PreviewImage", "Look", {"images": ["2", 0]}),
        "5": ("PreviewAny", "Report", {"source": ["2", 1]}),
    }
    return {
        key: {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}
        for key, (kind, title, inputs) in nodes.items()
    }


@pytest.fixture
def workflow(tmp_path):
    """Writes that workflow to a file, with a picture beside it."""

    def write(seconds: float = 0.0, conduct: str = "work") -> Path:
        path = tmp_path / "work.json"
        path.write_text(json.dumps(job(seconds, conduct)))
        (tmp_path / "cat.png").write_bytes(b"a cat")
        return path

    return write


@pytest.fixture
def pictures(tmp_path):
    """Makes a folder with so many pictures."""

    def make(count: int) -> Path:
        folder = tmp_path / "pictures"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:03}.png").write_bytes(b"picture %d" % number)
        return folder

    return make

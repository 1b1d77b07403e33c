"""A small workflow of the diffusers engine, its pictures, and an engine that starts quickly."""

import io
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image, ImageOps
from visage.batch.job import Job
from visage.batch.runner import Made


class LightRunner:
    """Stands for an engine where only the batch around it matters: turns the picture's colours.

    Its process ends without a word on a picture called crash, as a broken native library ends it.
    """

    prompt: ClassVar[dict] = {}

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def run(self, name, picture, settings) -> Made:
        if name == "crash.png":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            image = Image.open(io.BytesIO(picture))
        except OSError:
            raise ValueError(f"{name} is no picture") from None
        time.sleep(self.seconds)
        file = io.BytesIO()
        ImageOps.invert(image).save(file, "PNG")
        return Made({"_Result.png": file.getvalue()}, {"Report": '{"side": 7}'})


class LightJob(Job):
    """A job for that engine, which is quick to start: no torch."""

    def start(self) -> LightRunner:
        if "Sise.width=3" in self.settings:
            raise ValueError('0 nodes are titled "Sise"')
        return LightRunner(self.timeout or 0.0)


@pytest.fixture
def light(local_ray, monkeypatch):
    """Makes `visage batch` use the stand-in; `--timeout` is what it takes for a picture."""
    # Workers cannot import this module.
    local_ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr("visage.batch.job.Job", LightJob)


def node(kind: str, title: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


def shrinking(side: int = 24) -> dict:
    """A workflow in API form that resizes its picture and says how."""
    sizes = {"width": side, "height": side, "crop": "disabled"}
    return {
        "1": node("LoadImage", "Picture", image="visage_portrait.png"),
        "2": node("ImageScale", "Size", image=["1", 0], upscale_method="area", **sizes),
        "3": node("SaveImage", "Result", images=["2", 0], filename_prefix="x"),
        "4": node("PreviewAny", "Report", source='{"side": 7, "name": "x"}'),
        "5": node("PreviewImage", "Before", images=["1", 0]),
    }


@pytest.fixture
def workflow(tmp_path):
    """Writes that workflow to a file."""

    def write(side: int = 24) -> Path:
        path = tmp_path / f"shrink {side}.json"
        path.write_text(json.dumps(shrinking(side)))
        return path

    return write


@pytest.fixture
def pictures(tmp_path):
    """Makes a folder with so many pictures, each of its own colour."""

    def make(count: int, side: int = 32) -> Path:
        folder = tmp_path / "pictures"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            image = np.full((side, side, 3), number * 5 % 256, np.uint8)
            Image.fromarray(image).save(folder / f"{number:03}.png")
        return folder

    return make

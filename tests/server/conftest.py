"""One ComfyUI server with the pack for all tests that need a real one."""

import pytest
from visage.cli.comfy_server import comfy_server


@pytest.fixture(scope="session")
def server(comfyui_path):
    with comfy_server(comfyui_path) as running:
        yield running

"""One ComfyUI server with the pack for all tests that need a real one."""

import pytest


@pytest.fixture(scope="session")
def server(comfyui_path):
    from visage.headless.server import comfy_server

    with comfy_server(comfyui_path) as running:
        yield running

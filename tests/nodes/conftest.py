"""What the tests of nodes share."""

import pytest
import torch


@pytest.fixture
def as_in_a_node():
    """ComfyUI runs every node in inference mode."""
    with torch.inference_mode():
        yield


@pytest.fixture
def users_folder(comfy_nodes, tmp_path, monkeypatch):
    """Makes `tmp_path` the only folder of the user's for a kind of model files: f(key)."""
    import folder_paths
    from visage.models import registry

    def make(key: str) -> None:
        registry.register_folders(folder_paths)
        known = dict(folder_paths.folder_names_and_paths)
        known[key] = ([str(tmp_path)], known[key][1])
        monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
        monkeypatch.setattr(folder_paths, "filename_list_cache", {})
        monkeypatch.setattr(registry, "register_folders", lambda folders: None)

    return make

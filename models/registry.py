"""Which model files the nodes take: their folder, extensions, licence, and where to get them.

ComfyUI's `folder_paths` module is passed in, so that this also serves where there is no ComfyUI.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from .starter_files import starter_file

BUILT_IN = "starter (built in)"


@dataclass(frozen=True)
class ModelKind:
    """A kind of model file; `folder` is both ComfyUI's folder key and the folder's name."""

    key: str
    folder: str
    extensions: frozenset[str]
    what: str
    licence: str
    where_from: str


KINDS: dict[str, ModelKind] = {
    kind.key: kind
    for kind in (
        ModelKind(
            key="face_parser",
            folder="visage_face_parsers",
            extensions=frozenset({".safetensors", ".pth", ".pt", ".ckpt"}),
            what="a BiSeNet face parser with the 19 CelebAMask-HQ classes",
            licence="code MIT; trained on CelebAMask-HQ, which is for non-commercial research",
            where_from=(
                "https://github.com/zllrunning/face-parsing.PyTorch (79999_iter.pth), "
                "https://github.com/xinntao/facexlib/releases (parsing_bisenet.pth) or "
                "https://github.com/yakhyo/face-parsing/releases (resnet18.pt, resnet34.pt)"
            ),
        ),
        ModelKind(
            key="face_edit",
            folder="visage_face_edits",
            extensions=frozenset({".safetensors"}),
            what="face-edit weights for a 9-channel inpainting model",
            licence="that of the data it was trained on",
            where_from="your own fine-tuning, for the model that it is used with",
        ),
        ModelKind(
            key="ip_adapter",
            # Spelled as other packs spell it, so that all see one folder.
            folder="ipadapter",
            extensions=frozenset({".safetensors", ".bin"}),
            what="an IP-Adapter for the checkpoint's family (SD 1.5 or SDXL)",
            licence="Apache-2.0; FaceID files: non-commercial research",
            where_from="the links in https://github.com/tencent-ailab/IP-Adapter",
        ),
    )
}


def register_folders(folder_paths: ModuleType) -> None:
    """Make ComfyUI list our model folders, beside what its user has set; doing it again is safe."""
    for kind in KINDS.values():
        default = str(Path(folder_paths.models_dir) / kind.folder)
        folder_paths.add_model_folder_path(kind.folder, default)
        paths, extensions = folder_paths.folder_names_and_paths[kind.folder]
        # An empty set of extensions would list every file.
        folder_paths.folder_names_and_paths[kind.folder] = (paths, extensions | kind.extensions)


def options(key: str, folder_paths: ModuleType) -> list[str]:
    """Return the names that a file widget offers: the built-in starter, then the user's files."""
    register_folders(folder_paths)
    return [BUILT_IN, *folder_paths.get_filename_list(KINDS[key].folder)]


def locate(key: str, name: str, folder_paths: ModuleType) -> Path:
    """Return the path of a file that a widget offered.

    Raises FileNotFoundError that says which folders were searched, what they hold, and where such
    a file comes from.
    """
    if name == BUILT_IN:
        return starter_file(key)
    kind = KINDS[key]
    found = options(key, folder_paths)[1:]
    path = folder_paths.get_full_path(kind.folder, name)
    if path is None:
        raise FileNotFoundError(
            f"No file {name!r}, which should be {kind.what}. "
            f"Searched: {', '.join(folder_paths.get_folder_paths(kind.folder))}. "
            f"Found: {', '.join(found) or 'nothing'}. Get it at: {kind.where_from} "
            f"(licence: {kind.licence}); or choose {BUILT_IN!r}."
        )
    return Path(path)

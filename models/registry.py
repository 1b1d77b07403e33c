"""Which model files the nodes take: their folder, extensions, licence, and where to get them.

ComfyUI's `folder_paths` module is passed in, so that this also serves where there is no ComfyUI;
nor does it need torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

from .model_kinds import ALL_KINDS, KINDS
from .starter_files import FILES, STARTER, starter_file

NO_FILE = "none"
"""The choice of a file widget for no file."""
BUILT_IN = "starter (built in)"


def kind_of(
    file_name: str, tensors: Iterable[str] = (), metadata: Mapping[str, str] = MappingProxyType({})
) -> str | None:
    """The key of a file's kind, by what it contains or by its name; None if unknown."""
    if metadata.get("visage.kind") in ALL_KINDS:
        return metadata["visage.kind"]
    names = tuple(tensors)
    for key, kind in ALL_KINDS.items():
        if kind.marks and any(name.startswith(kind.marks) for name in names):
            return key
    return next((key for key, kind in ALL_KINDS.items() if file_name in kind.known_files), None)


def register_folders(folder_paths: ModuleType) -> None:
    """Make ComfyUI list our model folders, beside what its user has set; doing it again is safe."""
    for kind in KINDS.values():
        default = str(Path(folder_paths.models_dir) / kind.folder)
        folder_paths.add_model_folder_path(kind.folder, default)
        paths, extensions = folder_paths.folder_names_and_paths[kind.folder]
        # An empty set of extensions would list every file.
        folder_paths.folder_names_and_paths[kind.folder] = (paths, extensions | kind.extensions)


def options(key: str, folder_paths: ModuleType) -> list[str]:
    """Return the names that a file widget offers: the built-in starter where there is one, then
    the user's files.
    """
    register_folders(folder_paths)
    built_in = [BUILT_IN] if key in FILES and (STARTER / FILES[key]).is_file() else []
    return [*built_in, *folder_paths.get_filename_list(KINDS[key].folder)]


def analyzer_packs(folder_paths: ModuleType) -> dict[str, list[Path]]:
    """The folders of face-analysis files that the user has, by name, and the files in each.

    The name is the folder's path below the folder of its kind, or that folder's own name.
    """
    register_folders(folder_paths)
    packs: dict[str, list[Path]] = {}
    for key in ("face_analyzer", "insightface"):
        folder = KINDS[key].folder
        found: dict[str, list[Path]] = {}
        for name in folder_paths.get_filename_list(folder):
            parent = Path(name).parent
            pack = folder if parent == Path() else parent.as_posix()
            found.setdefault(pack, []).append(Path(folder_paths.get_full_path(folder, name)))
        # A name that both kinds have is that of the first.
        packs = found | packs
    return _insightface_packs() | packs


def _insightface_packs() -> dict[str, list[Path]]:
    """The packs that the package `insightface` has got for itself, by name."""
    folder = Path.home() / ".insightface" / "models"
    files = sorted(folder.glob("*/*.onnx")) if folder.is_dir() else []
    packs: dict[str, list[Path]] = {}
    for file in files:
        packs.setdefault(f"insightface package: {file.parent.name}", []).append(file)
    return packs


def locate(key: str, name: str, folder_paths: ModuleType) -> Path:
    """Return the path of a file that a widget offered.

    Raises FileNotFoundError that says which folders were searched, what they hold, and where such
    a file comes from.
    """
    if name == BUILT_IN:
        return starter_file(key)
    kind = KINDS[key]
    found = [option for option in options(key, folder_paths) if option != BUILT_IN]
    path = folder_paths.get_full_path(kind.folder, name)
    if path is None:
        raise FileNotFoundError(
            f"No file {name!r}, which should be {kind.what}. "
            f"Searched: {', '.join(folder_paths.get_folder_paths(kind.folder))}. "
            f"Found: {', '.join(found) or 'nothing'}. {kind.how_to_get()}"
            f"{f'; or choose {BUILT_IN!r}' if kind.built_in else ''}."
        )
    return Path(path)


def publish(file: Path, key: str, name: str, folder_paths: ModuleType) -> Path:
    """Copy a file to where ComfyUI lists its kind; a file of the same name is replaced at once."""
    target = _own_folder(key, folder_paths) / name
    temporary = target.with_suffix(".part")
    temporary.write_bytes(file.read_bytes())
    temporary.replace(target)
    return target


def new_path(key: str, name: str, folder_paths: ModuleType) -> Path:
    """A path of this name that is free, where ComfyUI lists files of the kind; where the name is
    taken, a number is added.

    Raises ValueError for an empty name and for one with folders in it.
    """
    if not name.strip() or Path(name).name != name:
        raise ValueError(f"name is {name!r}; write a file name without folders.")
    folder = _own_folder(key, folder_paths)
    number, path = 1, folder / f"{name}.safetensors"
    while path.exists():
        number += 1
        path = folder / f"{name}_{number}.safetensors"
    return path


def _own_folder(key: str, folder_paths: ModuleType) -> Path:
    """The first of the folders of a kind, made where it is missing."""
    register_folders(folder_paths)
    folder = Path(folder_paths.get_folder_paths(KINDS[key].folder)[0])
    folder.mkdir(parents=True, exist_ok=True)
    return folder

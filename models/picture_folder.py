"""The pictures that a path names: one file, or all in a folder and below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


def pictures_in(place: Path, out: Path) -> list[tuple[str, Path]]:
    """Name and path of a picture, or of every picture in a folder and those below, by name.

    The name is the path in the folder without suffix, or with it where two pictures share the
    rest. Linked folders are followed; hidden ones are left out, and so is the output folder.
    Raises FileNotFoundError, or ValueError for no pictures.
    """
    kinds = ", ".join(sorted(PICTURES))
    if place.is_file():
        if place.suffix.lower() not in PICTURES:
            raise ValueError(f"{place} is no picture ({kinds}).")
        return [(place.stem, place)]
    if not place.is_dir():
        raise FileNotFoundError(f"There is no picture and no folder {place}.")
    without = out.resolve() if out.resolve() != place.resolve() else None
    found = sorted(_below(place, without, ()))
    if not found:
        raise ValueError(f"There are no pictures in {place} ({kinds}).")
    names = {path: path.relative_to(place) for path in found}
    stems = Counter(name.with_suffix("") for name in names.values())
    return [
        ((name.with_suffix("") if stems[name.with_suffix("")] == 1 else name).as_posix(), path)
        for path, name in names.items()
    ]


def _below(folder: Path, without: Path | None, around: tuple[Path, ...]) -> Iterator[Path]:
    """The pictures below a folder; `around` are the real folders that it lies in."""
    here = folder.resolve()
    if here == without or here in around:  # the second: a link back to where it comes from
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _below(path, without, (*around, here))
        elif path.suffix.lower() in PICTURES and path.is_file():
            yield path

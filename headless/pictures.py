"""Pictures on their way to a server."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path


def as_uploaded(path: Path) -> tuple[bytes, str]:
    """Return the contents and the name under which a picture is uploaded to a server.

    This is the file itself, except for 16-bit and float pictures, which ComfyUI's Load Image reads
    as white or black: they are converted to 8-bit PNG. Raises BadPicture if that is impossible.
    """
    data = path.read_bytes()
    if importlib.util.find_spec("PIL") is None:
        return data, path.name
    from ..models.picture_files import is_deep, read_picture

    if not is_deep(path):
        return data, path.name
    file = io.BytesIO()
    read_picture(path).save(file, "PNG")
    return file.getvalue(), f"{path.stem}.png"

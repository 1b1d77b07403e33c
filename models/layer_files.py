"""Layered pictures as files: OpenRaster (Krita, GIMP, MyPaint) and PSD (Photoshop, Affinity).

Layers are (name, RGBA uint8 [H, W, 4]) from the bottom to the top, each as large as the picture.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from .new_files import write_new

RasterLayer = tuple[str, np.ndarray]
THUMBNAIL = 256
# A PSD file's sides end here; larger pictures are another format (PSB).
MAX_PSD_SIDE = 30_000


def write_openraster(path: Path, layers: Sequence[RasterLayer], merged: np.ndarray) -> None:
    """Write layers and the picture that they show, uint8 [H, W, 3], as an OpenRaster file.

    Layout: https://www.openraster.org/baseline/file-layout-spec.html. Raises FileExistsError where
    `path` is taken.
    """
    height, width = merged.shape[:2]
    image = ElementTree.Element("image", version="0.0.3", w=str(width), h=str(height))
    stack = ElementTree.SubElement(image, "stack")
    # The file lists the highest layer first.
    for number, (name, _) in reversed(list(enumerate(layers))):
        ElementTree.SubElement(
            stack, "layer", name=name, src=f"data/layer{number}.png", x="0", y="0"
        )
    shown = Image.fromarray(merged)
    thumbnail = shown.copy()
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            # Readers know the format by this entry: it comes first and is not compressed.
            archive.writestr(zipfile.ZipInfo("mimetype"), "image/openraster")
            for number, (_, pixels) in enumerate(layers):
                archive.writestr(f"data/layer{number}.png", _png(Image.fromarray(pixels)))
            archive.writestr("mergedimage.png", _png(shown))
            archive.writestr("Thumbnails/thumbnail.png", _png(thumbnail))
            archive.writestr(
                "stack.xml", ElementTree.tostring(image, "utf-8", xml_declaration=True)
            )

    write_new(path, write)


def write_psd(path: Path, layers: Sequence[RasterLayer], merged: np.ndarray) -> None:
    """Write layers as a PSD file.

    Raises ImportError without the package psd-tools, ValueError for a side over MAX_PSD_SIDE, and
    FileExistsError where `path` is taken.
    """
    try:
        from psd_tools import PSDImage
    except ImportError as error:
        raise ImportError(
            "A PSD file needs the package psd-tools: `pip install psd-tools` in the Python that "
            "runs this. OpenRaster (.ora) needs no package."
        ) from error
    height, width = merged.shape[:2]
    if max(height, width) > MAX_PSD_SIDE:
        raise ValueError(
            f"The picture is {width} x {height} px; a PSD file's sides end at {MAX_PSD_SIDE} px. "
            "Save it as OpenRaster (.ora)."
        )
    document = PSDImage.new("RGB", (width, height))
    for name, pixels in layers:
        # Only the property takes names that Mac OS Roman cannot write.
        document.create_pixel_layer(Image.fromarray(pixels)).name = name
    write_new(path, lambda temporary: document.save(temporary))


# The writer of each kind of file, by the ending of its name.
LAYER_FILES: dict[str, Callable[[Path, Sequence[RasterLayer], np.ndarray], None]] = {
    "ora": write_openraster,
    "psd": write_psd,
}


def _png(picture: Image.Image) -> bytes:
    target = io.BytesIO()
    picture.save(target, "PNG")
    return target.getvalue()

"""One reader for every picture that is opened from disk, whatever its file holds.

Eight bit, sixteen bit and float, gray, palette, alpha, CMYK and EXIF orientation all come out as
upright RGB. A file that can be read in more than one way is refused, with its name.
"""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from .new_files import write_new, write_numbered

log = logging.getLogger(__name__)

# What has been said of the masks of which folder.
_said: set[tuple[Path, str]] = set()

SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
# The key of a PNG's text that holds an edited picture's claim.
CLAIM = "visage_proof"
TIFF = (b"II*\0", b"MM\0*")
# What Pillow raises for files that are damaged, of no known kind, or too large.
UNREADABLE = (OSError, SyntaxError, ValueError, KeyError, Image.DecompressionBombError)


class BadPicture(ValueError):
    """A file that cannot be read as a picture; the text is one line that names it."""


def read_picture(path: Path) -> Image.Image:
    """The picture in a file: RGB, 8 bit, upright; what is transparent is white.

    Raises FileNotFoundError, and BadPicture for a file that cannot be read.
    """
    picture = _open_path(path)
    if picture.mode == "CMYK":
        return _from_cmyk(picture)
    if _has_alpha(picture):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(ground, picture).convert("RGB")
    return picture.convert("RGB")


def is_deep(path: Path) -> bool:
    """Whether a file holds a picture of more than 8 bits a channel that Pillow does not make 8."""
    try:
        with Image.open(path) as file:
            return file.mode in (*SIXTEEN_BIT, "I", "F")
    except UNREADABLE:
        # Colour TIFFs of such depth are unknown to it.
        data = path.read_bytes()
        return data.startswith(TIFF) and (
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) is not None
        )


def read_mask(path: Path) -> np.ndarray:
    """The mask in a file as float32 [H, W] in 0..1; its brightness, or its alpha where that varies.

    A file of zeros and ones is taken as black and white. Both are logged, once for each folder.
    Raises as `read_picture`.
    """
    picture = _open_path(path)
    if _has_alpha(picture):
        alpha = np.asarray(picture.convert("RGBA").getchannel("A"))
        if alpha.min() < alpha.max():
            _say_once(path, "the mask is what is opaque in it, its alpha")
            return alpha.astype(np.float32) / 255
        picture = picture.convert("RGB")
    values = np.asarray(picture.convert("L"), np.float32) / 255
    if 0 < values.max() <= 1.5 / 255:
        _say_once(path, "its values are 0 and 1, taken as 0 and 255")
        return (values > 0).astype(np.float32)
    return values


def _say_once(path: Path, what: str) -> None:
    if (path.parent, what) not in _said:
        _said.add((path.parent, what))
        log.warning("%s: %s; so are others in this folder", path, what)


def _open_path(path: Path) -> Image.Image:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no picture {path}.")
    with path.open("rb") as file:
        return read_upright(file, str(path))


def read_upright(file: BinaryIO, name: str) -> Image.Image:
    """The picture in an open file: 8 bit and upright, in whichever colours and alpha it has.

    Raises BadPicture, naming it, for a file that cannot be read.
    """
    try:
        with Image.open(file) as picture:
            # Pillow before 12 opens gray PNGs of 16 bits as 32-bit integers.
            sixteen = picture.mode == "I" and picture.format in ("PNG", "PPM")
            return _with_8_bits(ImageOps.exif_transpose(picture), name, sixteen)
    except BadPicture:
        raise
    except UNREADABLE as error:
        file.seek(0)
        return _open_with_opencv(file.read(), name, error)


def _with_8_bits(picture: Image.Image, path: str, sixteen: bool) -> Image.Image:
    mode = picture.mode
    sixteen = sixteen or mode in SIXTEEN_BIT
    if sixteen or mode in ("I", "F"):
        return Image.fromarray(_to_8_bits(np.asarray(picture), path, sixteen))
    if mode in ("La", "RGBa"):
        return picture.convert("LA" if mode == "La" else "RGBA")
    picture.load()
    return picture


def _to_8_bits(values: np.ndarray, path: str, sixteen: bool = False) -> np.ndarray:
    """Values of any depth as uint8, rounded. Raises BadPicture where white has no one value."""
    if values.dtype == np.uint8:
        return values
    if sixteen or values.dtype == np.uint16:
        # A mask of zeros and ones stays one.
        if values.max() <= 1:
            return values.astype(np.uint8)
        return np.round(values.astype(np.float64) / 257).astype(np.uint8)
    if values.dtype.kind != "f":
        raise BadPicture(f"{path}: {values.dtype} values have no agreed white; save it in 16 bits")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise BadPicture(
            f"{path}: its floats go from {low:.4g} to {high:.4g}, and a picture's from 0 to 1; "
            "scale it, or save it in 8 or 16 bits"
        )
    return np.round(values * 255).astype(np.uint8)


def _open_with_opencv(data: bytes, path: str, error: Exception) -> Image.Image:
    """Colour TIFFs of 16 and 32 bits, which Pillow does not know."""
    pixels = None
    if data.startswith(TIFF):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        reason = " ".join(str(error).split())
        raise BadPicture(f"{path}: not a readable picture ({reason})") from error
    pixels = _to_8_bits(pixels, path)
    if pixels.ndim == 3:
        swapped = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        pixels = cv2.cvtColor(pixels, swapped)
    return Image.fromarray(pixels)


def _has_alpha(picture: Image.Image) -> bool:
    return "A" in picture.getbands() or "transparency" in picture.info


def _from_cmyk(picture: Image.Image) -> Image.Image:
    """By the file's own profile where it has one."""
    profile = picture.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
        except ImageCms.PyCMSError:
            log.info("a CMYK picture's colour profile cannot be used; plain inks are assumed")
    return picture.convert("RGB")


def read_claim(path: Path) -> dict[str, Any] | None:
    """Read the claim of an edited picture (see `techniques.edit_claim`), or None without one.

    Raises FileNotFoundError, and BadPicture for a file or a claim that cannot be read.
    """
    text = _open_path(path).info.get(CLAIM)
    if text is None:
        return None
    try:
        claim = json.loads(text)
    except (TypeError, json.JSONDecodeError) as error:
        raise BadPicture(f"{path}: its claim is damaged: {error}.") from error
    if not isinstance(claim, dict):
        raise BadPicture(f"{path}: its claim is damaged: it is no object.")
    return claim


def save_new_png(
    picture: Image.Image, folder: Path, pattern: str, number: int, info: PngInfo
) -> Path:
    """Save a PNG under `pattern` with the first number from `number` on that no file has.

    The file is complete when it gets its name, and none is overwritten. Returns its path.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def write(temporary: Path) -> None:
        picture.save(temporary, "PNG", pnginfo=info, compress_level=4)

    return write_numbered(
        lambda number: folder / pattern.format(number), number, lambda path: write_new(path, write)
    )

"""A claim in an edited picture about what was changed, and its verification.

The claim names the original by a hash of its pixels and says by a mask where it may have been
changed. It travels in the edited file, so anyone who has both files can check it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

VERSION = 1


@dataclass(frozen=True)
class Verdict:
    """What differs between two pictures, and whether a claim covers it.

    changed: number of pixels that differ. box: (x, y, width, height) of them, None without any.
    largest: the largest difference of a channel, in steps of 8 bits. broken: the parts of the claim
    that do not hold, in words.
    """

    changed: int
    pixels: int
    box: tuple[int, int, int, int] | None
    largest: int
    broken: tuple[str, ...]


def make_claim(original: np.ndarray, mask: np.ndarray, **facts: Any) -> dict[str, Any]:
    """Return the claim, ready for JSON, that `original` was changed where `mask` is above 0 alone.

    original: uint8 [H, W, 3]. mask: [H, W]. facts: what else is said of the edit, such as scores.
    """
    allowed = (np.asarray(mask) > 0).astype(np.uint8) * 255
    coded = cv2.imencode(".png", allowed, [cv2.IMWRITE_PNG_BILEVEL, 1])[1]
    return {
        "version": VERSION,
        "original_sha256": hash_pixels(original),
        "size": [original.shape[1], original.shape[0]],
        "mask": base64.b64encode(coded.tobytes()).decode("ascii"),
        **facts,
    }


def hash_pixels(picture: np.ndarray) -> str:
    """Return the SHA-256 of a picture's size and its uint8 pixels [H, W, 3]."""
    digest = hashlib.sha256(np.array(picture.shape[:2], "<u4").tobytes())
    digest.update(np.ascontiguousarray(picture).tobytes())
    return digest.hexdigest()


def check_claim(edited: np.ndarray, original: np.ndarray, claim: dict[str, Any] | None) -> Verdict:
    """Compare two pictures uint8 [H, W, 3] of one size, and test the edited one's claim on them.

    Raises ValueError for pictures of two sizes and for a claim that cannot be read.
    """
    if edited.shape != original.shape:
        raise ValueError(
            f"The edited picture is {edited.shape[1]} x {edited.shape[0]} px and the original "
            f"{original.shape[1]} x {original.shape[0]} px; only pictures of one size are compared."
        )
    difference = np.abs(edited.astype(np.int16) - original).max(axis=2)
    changed = difference > 0
    broken = ("the file makes no claim",) if claim is None else _broken(changed, original, claim)
    return Verdict(
        changed=int(changed.sum()),
        pixels=changed.size,
        box=tuple(cv2.boundingRect(changed.astype(np.uint8))) if changed.any() else None,
        largest=int(difference.max()),
        broken=broken,
    )


def _broken(changed: np.ndarray, original: np.ndarray, claim: dict[str, Any]) -> tuple[str, ...]:
    allowed = _claimed_mask(claim)
    broken = []
    if claim["original_sha256"] != hash_pixels(original):
        broken.append("it was made from another original")
    if allowed.shape != changed.shape:
        broken.append(
            f"its mask is {allowed.shape[1]} x {allowed.shape[0]} px and the picture "
            f"{changed.shape[1]} x {changed.shape[0]} px"
        )
    elif (outside := int((changed & ~allowed).sum())) > 0:
        broken.append(f"{outside} pixels were changed outside its mask")
    return tuple(broken)


def _claimed_mask(claim: dict[str, Any]) -> np.ndarray:
    """The claim's mask, bool [H, W]."""
    try:
        if claim["version"] != VERSION or not isinstance(claim["original_sha256"], str):
            raise ValueError("another version")
        coded = np.frombuffer(base64.b64decode(claim["mask"], validate=True), np.uint8)
        mask = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    except (KeyError, TypeError, ValueError, cv2.error) as error:
        raise ValueError(f"The file's claim cannot be read: {error}.") from error
    if mask is None:
        raise ValueError("The file's claim cannot be read: its mask is no picture.")
    return mask > 0

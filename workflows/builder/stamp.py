"""The stamp of a picture of the project, a line of text in the file that says how it was made.

JPEG files carry it as a comment, PNG files as a tEXt chunk, so the picture itself is not touched.
The line has the commit that the picture was made at, the script or command, and for a workflow's
picture a digest of what that workflow ran.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import subprocess
import zlib
from pathlib import Path

from .graph import declared_inputs

FOLDER = Path(__file__).parents[1]
MARK = "visage:"
SHOWING = ("PreviewAny", "PreviewImage", "VisageCompare")  # they change no picture
_SOI, _COMMENT, _PNG = b"\xff\xd8", b"\xff\xfe", b"\x89PNG\r\n\x1a\n"


def stamp(picture: Path, by: str, workflow: str = "", commit: str = "") -> None:
    """Write into a JPEG or PNG file what made it; an older stamp is replaced.

    `by` is the script or command; `workflow` the name of a shipped one that was run; without
    `commit` it is the one that is checked out, with "+" where files have been changed since.
    """
    words = [f"commit={commit or current_commit()}", f"by={by}"]
    if workflow:
        words.append(
            f"workflow={workflow}",
        )
        words.append(f"digest={digest(workflow)}")
    text = f"{MARK} {' '.join(words)}\n".encode()
    content = _without_stamp(picture.read_bytes())
    if content.startswith(_SOI):
        made = _SOI + _COMMENT + struct.pack(">H", len(text) + 2) + text + content[2:]
    else:
        body = b"tEXt" + b"Comment\0" + text
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        end = 8 + 25  # the signature, and IHDR, which comes first
        made = content[:end] + chunk + content[end:]
    part = picture.with_name(f".{picture.name}.part")
    part.write_bytes(made)
    os.replace(part, picture)


def read_stamp(picture: Path) -> dict[str, str]:
    """What a file says about its making: commit, by, workflow and digest; empty without a stamp."""
    found = re.search(rb"visage: ([^\n]+)\n", picture.read_bytes()[:4096])
    return dict(word.split("=") for word in found[1].decode().split()) if found else {}


def digest(workflow: str) -> str:
    """A short digest of what a shipped workflow runs: classes, links and values, no titles.

    Values that are their class's defaults do not count: an input that is appended later, whose
    default leaves everything as it was, makes no picture older.
    """
    twin = json.loads((FOLDER / "api" / f"{workflow}.json").read_text(encoding="utf-8"))
    return digest_of(twin)


def digest_of(twin: dict) -> str:
    """The same for a workflow's API form."""
    runs = {}
    for name, node in twin.items():
        if node["class_type"] in SHOWING:
            continue
        declared = declared_inputs(node["class_type"])
        chosen = {
            put: value
            for put, value in node["inputs"].items()
            # What another version of a class knows counts once it is switched on.
            if (value != declared[put][1].get("default") if put in declared else value)
        }
        runs[name] = [node["class_type"], chosen]
    return hashlib.sha256(json.dumps(runs, sort_keys=True).encode()).hexdigest()[:16]


def current_commit() -> str:
    """The commit of the working tree, "unknown" where there is no git."""
    try:
        commit = _git("rev-parse", "--short=10", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    command = ["git", "-C", str(FOLDER), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def _without_stamp(content: bytes) -> bytes:
    if content.startswith(_SOI):
        at = 2
        while content[at : at + 2] != b"\xff\xda" and content[at : at + 1] == b"\xff":
            size = 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
            if content[at : at + 2] == _COMMENT and content[at + 4 :].startswith(MARK.encode()):
                return content[:at] + content[at + size :]
            at += size
        return content
    if not content.startswith(_PNG):
        raise ValueError("Only JPEG and PNG files can be stamped.")
    at = 8
    while at < len(content):
        size = 12 + struct.unpack(">I", content[at : at + 4])[0]
        if content[at + 4 : at + 8] == b"tEXt" and MARK.encode() in content[at : at + size]:
            return content[:at] + content[at + size :]
        at += size
    return content

"""A face analyzer from a folder of files: InsightFace's packs, OpenCV's YuNet and SFace, or dlib.

Which file is what is read from the graphs, whatever the names; files of other tasks that come with
a pack (age, dense landmarks) are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .dlib_faces import DlibFiles, dlib_analyzer, dlib_files
from .face_analyzer import Analyzer, FaceAnalyzer
from .insightface import LICENCE, ArcFace, Scrfd, is_arcface, is_scrfd, open_session
from .onnx_file import OnnxFile, read_onnx
from .opencv_faces import SFACE_LICENCE, YUNET_LICENCE, SFace, YuNet, is_sface, is_yunet

_WANTED = (
    "A face analyzer is a detector (SCRFD such as det_10g.onnx, or YuNet such as "
    "face_detection_yunet_2023mar.onnx) and, to tell people apart, a recognizer (ArcFace such as "
    "w600k_r50.onnx, or SFace such as face_recognition_sface_2021dec.onnx) in one folder"
)


def pack_kinds(files: Sequence[Path]) -> set[str]:
    """The models in the files: "scrfd", "yunet", "arcface", "sface", "dlib". Raises ValueError."""
    onnx = {_kind(read_onnx(file)) for file in files if file.suffix == ".onnx"} - {None}
    return onnx | ({"dlib"} if _dlib_in(files) else set())


def _dlib_in(files: Sequence[Path]) -> DlibFiles | None:
    folder = next((file.parent for file in files if file.suffix == ".dat"), None)
    return dlib_files(folder) if folder else None


def load_pack(files: Sequence[Path]) -> FaceAnalyzer:
    """The analyzer that a folder's files make, detection only where no recognizer is there.

    Raises FileNotFoundError or ValueError, naming the files and what they are, when there is no
    detector, more than one, more than one recognizer, or a file that cannot be run.
    """
    if files and all(file.suffix == ".dat" for file in files):
        return dlib_analyzer(_dlib_in(files))
    onnx = [file for file in files if file.suffix == ".onnx"]
    known = [(file, _kind(file)) for file in map(read_onnx, onnx)]
    detectors = [part for part in known if part[1] in ("scrfd", "yunet")]
    recognizers = [part for part in known if part[1] in ("arcface", "sface")]
    if not detectors:
        listed = "; ".join(f"{file.path.name} {file.describe()}" for file, _ in known)
        raise ValueError(f"No face detector among {listed or 'no files'}. {_WANTED}.")
    for parts, what in ((detectors, "detectors"), (recognizers, "recognizers")):
        if len(parts) > 1:
            names = ", ".join(file.path.name for file, _ in parts)
            raise ValueError(f"Several {what} in one folder: {names}. Give each its own folder.")
    name = "+".join(kind for _, kind in [*detectors, *recognizers])
    licences = {LICENCES[kind] for _, kind in [*detectors, *recognizers]}
    recognizer = _recognizer(*recognizers[0]) if recognizers else None
    return Analyzer(name, "; ".join(sorted(licences)), _detector(*detectors[0]).find, recognizer)


LICENCES = {
    "scrfd": LICENCE,
    "arcface": LICENCE,
    "yunet": YUNET_LICENCE,
    "sface": SFACE_LICENCE,
}


def _kind(file: OnnxFile) -> str | None:
    tests = {"scrfd": is_scrfd, "yunet": is_yunet, "arcface": is_arcface, "sface": is_sface}
    return next((kind for kind, test in tests.items() if test(file)), None)


def _detector(file: OnnxFile, kind: str) -> Scrfd | YuNet:
    return YuNet(file) if kind == "yunet" else Scrfd(file, open_session(file))


def _recognizer(file: OnnxFile, kind: str) -> ArcFace | SFace:
    return SFace(file) if kind == "sface" else ArcFace(file, open_session(file))

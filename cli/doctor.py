"""`visage doctor`: what Visage finds on this machine, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engines.comfyui.location import PACKAGE, comfyui_version, find_comfyui
from ..models.needed_files import missing_files, needed_files
from ..models.starter_files import FILES, starter_file
from ..models.survey import EXTRA_PATHS, folders_of, survey

OLDEST_COMFYUI = (0, 3, 64)
NEEDED = {
    "torch": "all models need it: see https://pytorch.org/get-started",
    "numpy": "pip install numpy",
    "opencv-python-headless": "pip install opencv-python-headless",
    "safetensors": "pip install safetensors",
    "scikit-image": "pip install scikit-image",
}
OPTIONAL = {
    "diffusers": "the engine without ComfyUI, training and evaluation: pip install diffusers",
    "transformers": "the engine without ComfyUI, training and evaluation: pip install transformers",
    "aiohttp": "`visage queue` and `visage tradeoff`: pip install aiohttp",
    "onnxruntime": "face analysis with InsightFace's files: pip install onnxruntime",
}
# Other distributions that install the same module.
ALIASES = {"opencv-python-headless": ("opencv-python", "opencv-contrib-python")}


@dataclass
class Report:
    """The findings: facts by topic, what `works`, what more files would add (`additions`),
    `problems` that keep something from working, and `hints` about optional things."""

    facts: dict[str, Any] = field(default_factory=dict)
    works: list[str] = field(default_factory=list)
    additions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def add_doctor_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="check this machine: packages, device, ComfyUI, model files",
        description="Check packages, device, ComfyUI and model files, and say what is missing and "
        "how to get it. Exit code 1 if something is wrong.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    report = examine()
    if options.json:
        lists = ("works", "additions", "problems", "hints")
        whole = {"ok": not report.problems, **report.facts}
        print(json.dumps(whole | {name: getattr(report, name) for name in lists}, indent=2))
    else:
        _print(report)
    return 1 if report.problems else 0


def examine() -> Report:
    """Make the report."""
    report = Report()
    _examine_packages(report)
    _examine_device(report)
    _examine_starter(report)
    comfyui = _examine_comfyui(report)
    report.facts["models"] = []
    if comfyui:
        _examine_models(report, comfyui)
    elif not report.facts["packages"]["diffusers"]:
        report.problems.append(
            "There is neither ComfyUI nor diffusers, so nothing can run a model: "
            "`make comfyui` installs the one, `pip install diffusers transformers` the other."
        )
    _say_what_works(report)
    return report


def _say_what_works(report: Report) -> None:
    facts = report.facts
    packages = facts["packages"]
    if not packages["torch"] or facts["starter"]["missing"]:
        return
    if facts["comfyui"]["pack"] and not facts["comfyui"]["too_old"]:
        report.works.append(
            "on ComfyUI's canvas: every template without a model beside its name, on the built-in "
            "starter"
        )
    if packages["diffusers"] and packages["transformers"]:
        report.works.append(
            "without ComfyUI: `visage demo`, `train` and `evaluate`, on the starter"
        )
    if packages["aiohttp"]:
        report.works.append("from outside: `visage queue`, on any running ComfyUI that has Visage")
    report.works += [
        f"with your files: {shelf['adds']}" for shelf in facts["models"] if shelf["files"]
    ]


def _version(package: str) -> str | None:
    for name in (package, *ALIASES.get(package, ())):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _examine_packages(report: Report) -> None:
    versions = {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    report.facts["environment"] = {
        "visage": _version("visage"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "folder": str(PACKAGE),
    }
    report.facts["packages"] = versions
    for name, advice in NEEDED.items():
        if versions[name] is None:
            report.problems.append(f"The Python package {name} is missing: {advice}")
    for name, advice in OPTIONAL.items():
        if versions[name] is None:
            report.hints.append(f"The Python package {name} is missing, needed for {advice}")


def _examine_device(report: Report) -> None:
    report.facts["device"] = device = {"kind": "none", "name": "", "memory_gib": 0.0}
    if not report.facts["packages"]["torch"]:
        return
    try:
        import torch
    except (ImportError, OSError) as error:
        report.problems.append(f"torch is installed and cannot be loaded ({error}): reinstall it.")
        return
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        memory = round(properties.total_memory / 2**30, 1)
        device.update(kind="cuda", name=properties.name, memory_gib=memory)
    elif torch.backends.mps.is_available():
        device.update(kind="mps", name="Apple GPU")
    else:
        device.update(kind="cpu", name=platform.processor() or platform.machine())
        report.hints.append(
            "There is no GPU that PyTorch can use: the starter models are quick all the same, "
            "Stable Diffusion's take minutes a picture."
        )


def _examine_starter(report: Report) -> None:
    missing = []
    for part in FILES:
        try:
            starter_file(part)
        except FileNotFoundError as error:
            missing.append(part)
            report.problems.append(str(error))
    report.facts["starter"] = {"parts": list(FILES), "missing": missing}


def _examine_comfyui(report: Report) -> Path | None:
    report.facts["comfyui"] = facts = {
        "path": None,
        "version": None,
        "pack": None,
        "too_old": False,
    }
    try:
        comfyui = find_comfyui()
    except FileNotFoundError as error:
        report.problems.append(str(error))
        return None
    if comfyui is None:
        report.hints.append(
            "No ComfyUI in COMFYUI_PATH, two folders up or ~/comfy/ComfyUI: `make comfyui` gets it."
        )
        return None
    version = comfyui_version(comfyui)
    packs = comfyui / "custom_nodes"
    pack = next((path for path in packs.glob("*") if path.resolve() == PACKAGE.resolve()), None)
    facts.update(path=str(comfyui), version=version, pack=str(pack) if pack else None)
    if not _is_new_enough(version):
        facts["too_old"] = True
        oldest = ".".join(map(str, OLDEST_COMFYUI))
        report.problems.append(f"ComfyUI {version} is too old: Visage needs {oldest} or newer.")
    if pack is None:
        report.hints.append(
            f"ComfyUI does not have this pack: `make comfy` links {PACKAGE} into {packs}."
        )
    return comfyui


def _is_new_enough(version: str) -> bool:
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    return not numbers or numbers >= OLDEST_COMFYUI


def _examine_models(report: Report, comfyui: Path) -> None:
    if (comfyui / EXTRA_PATHS).is_file() and importlib.util.find_spec("yaml") is None:
        report.hints.append(f"{EXTRA_PATHS} was not read: pip install pyyaml")
    try:
        shelves, misplaced = survey(comfyui)
    except ValueError as error:
        report.problems.append(str(error))
        return
    for shelf in shelves:
        kind = shelf.kind
        report.facts["models"].append(
            {
                "kind": kind.key,
                "what": kind.what,
                "adds": kind.adds,
                "folders": [str(folder) for folder in shelf.folders],
                "files": [str(path) for path in shelf.files],
                "known_files": list(kind.known_files),
                "licence": kind.licence,
                "get_it_at": kind.where_from,
            }
        )
        if not shelf.files:
            report.additions.append(
                f"{kind.adds}: {kind.what}, in {shelf.folders[0]}. {kind.how_to_get()}"
            )
    report.problems += [f"{file.reason} {file.advice}" for file in misplaced]
    report.facts["templates"] = _templates(comfyui)


def _templates(comfyui: Path) -> list[dict[str, Any]]:
    """For each template that names files: those files, and the missing ones."""
    found = []
    for path in sorted((PACKAGE / "workflows" / "api").glob("*.json")):
        prompt = json.loads(path.read_text(encoding="utf-8"))
        needed = needed_files(prompt)
        folders = {folder: folders_of(folder, comfyui) for folder, _ in needed}
        if needed:
            missing = missing_files(prompt, folders)
            found.append(
                {
                    "template": path.stem,
                    "files": ["/".join(file) for file in needed],
                    "missing": ["/".join(file) for file in missing],
                }
            )
    return found


def _print(report: Report) -> None:
    facts = report.facts
    environment, device, comfyui = facts["environment"], facts["device"], facts["comfyui"]
    print(f"Visage    {environment['visage'] or 'not installed by pip'} in {environment['folder']}")
    print(f"Python    {environment['python']} on {environment['platform']}")
    memory = f", {device['memory_gib']} GiB" if device["memory_gib"] else ""
    print(f"Device    {device['kind']} {device['name']}{memory}")
    print(f"ComfyUI   {comfyui['version'] or 'none'} {comfyui['path'] or ''}")
    print("Packages  " + ", ".join(f"{name} {v or '-'}" for name, v in facts["packages"].items()))
    for shelf in facts["models"]:
        if shelf["files"]:
            names = ", ".join(os.path.basename(path) for path in shelf["files"])
            print(f"Models    {shelf['kind']}: {names}")
    for template in facts.get("templates", []):
        lacks = f"needs models/{', models/'.join(template['missing'])}"
        print(f"Template  {template['template']} {lacks if template['missing'] else 'is ready'}")
    topics = {
        "Works": report.works or ["nothing yet"],
        "Adds": report.additions,
        "Optional": report.hints,
        "Wrong": report.problems,
    }
    for title, lines in topics.items():
        for line in lines:
            print(f"{title:9} {line}")
    print(_verdict(report))


def _verdict(report: Report) -> str:
    """The last line: whether something is wrong or missing."""
    if report.problems:
        return f"{len(report.problems)} to put right."
    if not report.works:
        return "Nothing is wrong, and nothing works yet."
    if report.additions:
        return f"Nothing is wrong. {len(report.additions)} kinds of files would add to it."
    return "Nothing is wrong, and nothing is missing."

"""Imports point one way: a folder imports only from those below it (docs/architecture.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Each folder, and those that it may import from.
BELOW = {
    "models": set(),
    "diffusion": set(),
    "techniques": {"diffusion", "models"},
    "engines": {"techniques", "diffusion", "models"},
    "world": {"models"},
    "training": {"world", "engines", "techniques", "diffusion", "models"},
    "evaluation": {"training", "world", "engines", "techniques", "diffusion", "models"},
    "headless": {"models"},
    "batch": {"headless", "engines", "techniques", "diffusion", "models"},
    "workflows": {"headless", "engines", "models"},
    "benchmarks": {
        "batch", "headless", "evaluation", "training", "world", "engines", "techniques",
        "diffusion", "models",
    },
    "nodes": {"training", "world", "engines", "techniques", "diffusion", "models"},
    "cli": {
        "workflows", "benchmarks", "batch", "headless", "evaluation", "training", "world",
        "engines", "techniques", "diffusion", "models",
    },
}  # fmt: skip
MAX_LINES = 350
ENGINE_LIBRARIES = {"comfy": "comfyui", "diffusers": "diffusers"}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> list[tuple[str, ...]]:
    """What a module imports, as (folder, ...) for our own and ("", library, ...) for others."""
    package = path.relative_to(ROOT).parent.parts
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [("", *alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(node.module.split(".")) if node.module else ()
            if not node.level:
                found.append(("", *names))
                continue
            above = package[: len(package) - node.level + 1]
            target = above + names
            found += [target] if target else [(alias.name,) for alias in node.names]
    return found


def test_every_folder_of_code_has_its_place():
    folders = {path.parent.relative_to(ROOT).parts[0] for path in ROOT.glob("*/__init__.py")}
    assert folders == set(BELOW)


@pytest.mark.parametrize("folder", BELOW)
def test_a_folder_imports_only_from_those_below_it(folder):
    upward = [
        f"{path.relative_to(ROOT)} imports {'.'.join(target)}"
        for path in modules(folder)
        for target in imports(path)
        if target[0] in BELOW.keys() - BELOW[folder] - {folder}
    ]
    assert upward == []


def test_workflows_ask_engines_for_comfyuis_folder_alone():
    known = {target for path in modules("workflows") for target in imports(path)}
    assert {target for target in known if target[0] == "engines"} <= {
        ("engines", "comfyui", "location")
    }


@pytest.mark.parametrize("folder", ["techniques", "diffusion", "models", "world", "headless"])
def test_only_engines_know_comfyui_and_diffusers(folder):
    known = [
        f"{path.relative_to(ROOT)} imports {'.'.join(target[1:])}"
        for path in modules(folder)
        for target in imports(path)
        if not target[0] and target[1] in ENGINE_LIBRARIES
    ]
    assert known == []


@pytest.mark.parametrize("folder", ["training", "evaluation", "cli"])
def test_the_insides_of_diffusers_are_left_to_its_engine(folder):
    """`from diffusers import X` is its public interface; its submodules move between versions."""
    inside = [
        f"{path.relative_to(ROOT)} imports {'.'.join(target[1:])}"
        for path in modules(folder)
        for target in imports(path)
        if target[:2] == ("", "diffusers") and len(target) > 2
    ]
    assert inside == []


def test_no_module_is_too_long_to_be_read_at_once():
    code = [path for folder in BELOW for path in modules(folder)] + list(ROOT.glob("docs/*.py"))
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in code
    }
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_nodes_leave_the_insides_of_comfyuis_models_to_the_engine():
    """`model.model` is ComfyUI's network, and nothing that a node should know its way around in."""
    inside = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules("nodes")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and (
            node.attr == "diffusion_model"
            or (isinstance(node.value, ast.Attribute) and node.value.attr == "model")
        )
    ]
    assert inside == []


@pytest.mark.parametrize(("library", "room"), ENGINE_LIBRARIES.items())
def test_an_engine_does_not_know_the_other(library, room):
    other = ROOT / "engines" / ("diffusers" if room == "comfyui" else "comfyui")
    known = [
        str(path.relative_to(ROOT))
        for path in other.rglob("*.py")
        if any(not target[0] and target[1] == library for target in imports(path))
    ]
    assert known == []

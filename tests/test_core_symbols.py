"""Every name of ComfyUI that the package uses is there, and takes the arguments it is called with.

Read from the sources, so that a line no other test runs is held to the ComfyUI at hand as well.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).parent.parent
FOLDERS = ("nodes", "engines", "models", "benchmarks", "training", "evaluation", "headless", "cli")
CORE = {
    "comfy", "comfy_api", "comfy_execution", "comfy_extras", "execution", "folder_paths",
    "latent_preview", "node_helpers", "nodes", "server",
}  # fmt: skip


def complaints(source: str) -> list[str]:
    """What a module asks of ComfyUI that it does not have: "line: name" and why."""
    tree = ast.parse(source)
    known, found = {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.partition(".")[0] in CORE:
                    module = _module(name.name, node.lineno, found)
                    if name.asname:
                        known[name.asname] = module
                    else:
                        root = name.name.partition(".")[0]
                        known[root] = importlib.import_module(root)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            if node.module.partition(".")[0] in CORE:
                module = _module(node.module, node.lineno, found)
                for name in node.names:
                    value = _attribute(module, name.name)
                    if value is None:
                        found.append(f"{node.lineno}: {node.module}.{name.name} is not there")
                    known[name.asname or name.name] = value
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            _named(node, known, found)
        elif isinstance(node, ast.Call):
            _called(node, known, found)
    return sorted(set(found))


def _module(name: str, line: int, found: list[str]):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{name}.".startswith(f"{error.name}."):
            return _listed(name)
        found.append(f"{line}: {error}")
        return None


def _listed(name: str) -> ModuleType:
    """A module that only ComfyUI's own process can import, with the names that its file defines."""
    module, place = ModuleType(name), importlib.util.find_spec(name)
    for node in ast.parse(Path(place.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            setattr(module, node.name, object())
    return module


def _attribute(module, name: str):
    if module is None or hasattr(module, name):
        return getattr(module, name, None)
    try:
        return importlib.import_module(f"{module.__name__}.{name}")
    except (ModuleNotFoundError, AttributeError):
        return None


def _named(node: ast.expr, known: dict, found: list[str]):
    """The value behind `module.name.name`, None where that is not known from the source."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    owner = _named(node.value, known, found)
    if not inspect.ismodule(owner) and not inspect.isclass(owner):
        return None
    if not hasattr(owner, node.attr):
        if not _sets(owner, node.attr):
            found.append(f"{node.lineno}: {owner.__name__}.{node.attr} is not there")
        return None
    return getattr(owner, node.attr)


def _sets(owner, name: str) -> bool:
    """Whether a class gives itself an attribute when it is made, as `PromptServer.instance`."""
    if not inspect.isclass(owner):
        return False
    return re.search(rf"\b{owner.__name__}\.{name} = ", inspect.getsource(owner)) is not None


def _called(node: ast.Call, known: dict, found: list[str]) -> None:
    target = _named(node.func, known, found)
    starred = any(isinstance(part, ast.Starred) for part in node.args)
    keywords = {word.arg: None for word in node.keywords if word.arg}
    if not callable(target) or starred or len(keywords) < len(node.keywords):
        return
    try:
        signature = inspect.signature(target)
    except ValueError:
        return
    try:
        signature.bind(*[None] * len(node.args), **keywords)
    except TypeError as error:
        name = getattr(target, "__name__", ast.unparse(node.func))
        found.append(f"{node.lineno}: {name}{signature}: {error}")


@pytest.mark.usefixtures("comfy_nodes")
def test_every_name_of_comfyui_is_there():
    sources = [path for folder in FOLDERS for path in (PACKAGE / folder).rglob("*.py")]
    missing = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in [PACKAGE / "__init__.py", *sources]
        for line in complaints(path.read_text(encoding="utf-8"))
    ]
    assert not missing, "\n".join(missing)


@pytest.mark.usefixtures("comfy_nodes")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import comfy.no_such_module", "No module named"),
        ("from comfy.utils import no_such_function", "comfy.utils.no_such_function"),
        ("import comfy.utils\ncomfy.utils.no_such_function()", "comfy.utils.no_such_function"),
        ("import folder_paths as paths\npaths.gone", "folder_paths.gone"),
        ("from comfy_api.latest import io\nio.Model.Inlet('model')", "Model.Inlet"),
        ("import comfy.utils\ncomfy.utils.ProgressBar(1, colour=2)", "colour"),
        ("import comfy.utils\ncomfy.utils.common_upscale(1, 2)", "missing a required argument"),
    ],
)
def test_what_is_not_there_is_found(line, said):
    (complaint,) = complaints(line)
    assert said in complaint


@pytest.mark.usefixtures("comfy_nodes")
def test_what_is_there_is_no_complaint():
    source = "from comfy.utils import ProgressBar as Bar\nBar(3).update(1)\nimport folder_paths\n"
    assert complaints(source + "folder_paths.get_output_directory()") == []

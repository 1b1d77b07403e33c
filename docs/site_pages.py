"""Pages of the documentation site that stand elsewhere or are made: README, nodes, gallery.

MkDocs calls the functions that begin with `on_` (see mkdocs.yml). Nothing here needs ComfyUI: what
a node takes is read from the files that tests and `visage locales` keep.
"""

from __future__ import annotations

import ast
import json
import os
import re
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# Pages of the repository by their place on the site.
ELSEWHERE = {
    "index.md": "README.md",
    "index.ko.md": "README.ko.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changes.md": "CHANGELOG.md",
    "starter.md": "models/starter/README.md",
}
RESULTS = "benchmarks/results"
CATEGORIES = ("Faces", "Masks", "Edit", "Style", "Identity", "Scores", "Training", "Models")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


class NodeClass(NamedTuple):
    """What the reference says about a node beside its help page."""

    id: str
    title: str
    category: str
    words: tuple[str, ...]
    description: str


def node_classes() -> list[NodeClass]:
    """Every node in the order of the menu, read from the schemas' source."""
    texts = json.loads((ROOT / "locales/en/nodeDefs.json").read_text(encoding="utf-8"))
    found = []
    for path in sorted((ROOT / "nodes").glob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "Schema":
                found.append(_node_class(call, texts))
    return sorted(found, key=lambda node: (CATEGORIES.index(node.category), node.title))


def _node_class(schema: ast.Call, texts: dict) -> NodeClass:
    given = {keyword.arg: keyword.value for keyword in schema.keywords}
    name = ast.literal_eval(given["node_id"])
    menu: Any = given[None]
    category, *words = map(ast.literal_eval, menu.args)
    title, description = texts[name]["display_name"], texts[name]["description"]
    return NodeClass(name, title, category, tuple(words), description)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the nodes into the navigation, a section for each category."""
    sections: dict[str, list] = {category: [] for category in CATEGORIES}
    for node in node_classes():
        sections[node.category].append({node.title: f"nodes/{node.id}.md"})
    for number, entry in enumerate(config.nav or []):
        if "Nodes" in entry:
            nodes = [{"All nodes": "nodes/index.md"}]
            nodes += [{category: pages} for category, pages in sections.items()]
            config.nav[number] = {"Nodes": nodes}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that do not lie in docs/."""
    places = {place: ROOT / source for place, source in ELSEWHERE.items()}
    for path in (ROOT / RESULTS).glob("*.md"):
        places[f"results/{path.name}"] = path
    for path in (ROOT / "workflows").glob("*.jpg"):
        places[f"gallery/{path.name}"] = path
    for place, path in places.items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    made = {"gallery.md": gallery(), "nodes/index.md": node_index()}
    made |= {f"nodes/{node.id}.md": node_page(node) for node in node_classes()}
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that are right in the repository into links of the site."""
    place = page.file.src_uri
    source = ELSEWHERE.get(place, f"docs/{place}")
    if place.startswith("results/"):
        source = f"benchmarks/{place}"
    elif place.startswith("nodes/Visage"):
        source = f"web/docs/{PurePosixPath(place).name}"
    elif place in ("gallery.md", "nodes/index.md"):
        return markdown
    return _LINK.sub(lambda link: _relinked(link, source, place, files), markdown)


def _relinked(link: re.Match, source: str, place: str, files: Files) -> str:
    mark, text, target = link.groups()
    if target.startswith(("http:", "https:", "mailto:", "#")):
        return link[0]
    text = _LINK.sub(lambda inner: _relinked(inner, source, place, files), text)
    path, _, anchor = target.partition("#")
    repository = os.path.normpath(PurePosixPath(source).parent / path)
    wanted = site_place(repository)
    if wanted is None or files.get_file_from_path(wanted) is None:
        return text  # what only the repository has
    relative = os.path.relpath(wanted, PurePosixPath(place).parent)
    return f"{mark}[{text}]({relative}{'#' if anchor else ''}{anchor})"


def site_place(repository: str) -> str | None:
    """Where the site has a file of the repository, None where it has not."""
    for place, source in ELSEWHERE.items():
        if source == repository:
            return place
    for folder, place in (
        ("docs/", ""),
        ("web/docs/", "nodes/"),
        (f"{RESULTS}/", "results/"),
        ("workflows/", "gallery/"),
    ):
        if repository.startswith(folder):
            return place + repository.removeprefix(folder)
    return None


def node_index() -> str:
    """The page that lists every node."""
    lines = ["# Nodes", "", "As they stand on ComfyUI's menu under *Visage*."]
    category = ""
    for node in node_classes():
        if node.category != category:
            category = node.category
            lines += ["", f"## {category}", "", "| node | what it does |", "|---|---|"]
        lines.append(f"| [{node.title}]({node.id}.md) | {_cell(node.description)} |")
    return "\n".join(lines) + "\n"


def node_page(node: NodeClass) -> str:
    """A node's help page, where it stands on the menu, and its sockets' exact ranges."""
    text = (ROOT / "web/docs" / f"{node.id}.md").read_text(encoding="utf-8")
    title, _, rest = text.partition("\n")
    place = f"*Menu: Visage → {node.category}. Also found by: {', '.join(node.words)}.*"
    return f"{title}\n\n{place}\n{rest}\n{_values(node.id)}{_users(node.id)}"


def _values(name: str) -> str:
    """A table of what each input takes, from the snapshot of the schemas that the tests keep."""
    snapshot = json.loads((ROOT / "tests/nodes/schema_snapshot.json").read_text(encoding="utf-8"))
    rows = []
    for put, kind, settings in snapshot.get(name, {}).get("inputs", []):
        if "default" not in settings or isinstance(settings["default"], list):
            continue
        default = f"`{_cell(str(settings['default']))}`" if settings["default"] != "" else "empty"
        reach = f"{settings['min']} to {settings['max']}" if "min" in settings else ""
        rows.append(f"| {put} | {kind} | {default} | {reach} |")
    if not rows:
        return ""
    table = "\n".join(rows)
    return f"\n## Defaults\n\n| input | type | default | range |\n|---|---|---|---|\n{table}\n"


def _users(name: str) -> str:
    """The workflows that hold the node."""
    users = [
        path.stem
        for path in sorted((ROOT / "workflows/api").glob("*.json"))
        if f'"{name}"' in path.read_text(encoding="utf-8")
    ]
    if not users:
        return ""
    links = ", ".join(f"[{user}](../gallery.md#{user})" for user in users)
    return f"\n## Workflows\n\n{links}\n"


def gallery() -> str:
    """Every workflow with its picture and what its note says."""
    from visage.workflows.builder.write import described

    lines = [
        "# Gallery",
        "",
        "Every picture was made by the workflow as it is shipped. Those for a checkpoint of your "
        "own show what the built-in starter makes of the same job.",
    ]
    workflows = sorted(described().values(), key=lambda workflow: (workflow.needs, workflow.name))
    for workflow in workflows:
        summary = workflow.note.partition("\n\n")[0]
        needs = f"needs {workflow.needs}" if workflow.needs else "needs nothing but Visage"
        lines += ["", f"## {workflow.name}", ""]
        if (ROOT / "workflows" / f"{workflow.name}.jpg").is_file():
            lines += [f"![What {workflow.name} makes](gallery/{workflow.name}.jpg)", ""]
        lines += [escape(summary, quote=False), "", f"*{needs}*"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

"""A workflow as its source describes it: columns of nodes, their values, and what feeds them.

    flow = Workflow("face_edit", note="Edits the face by prompt ...")
    with flow.column("1 · Picture"):
        picture = flow.add("LoadImage", "Picture", image="visage_astronaut.png")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
    with flow.column("2 · Face mask"):
        mask = flow.add("VisageFaceMask", "Face mask", image=picture["IMAGE"], parser=parser)

A node passed as an input stands for its first output. Inputs that are not named keep the defaults
of their class.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .classes import known_classes

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
# There is nothing to set on these, and nothing to see.
FOLDED = ("InvertMask", "VAEDecode", "VAEEncode")
COLOURS = ("#3f789e", "#88A", "#8A8", "#b58b2a")


@dataclass(frozen=True)
class Output:
    """One output of a node."""

    node: Node
    number: int


@dataclass(frozen=True, eq=False)
class Node:
    """A node of the graph; `inputs` maps names to values or outputs of other nodes."""

    id: int
    kind: str
    title: str
    column: int
    inputs: dict[str, Any]
    bypass: bool
    folded: bool = False

    def __getitem__(self, name: str) -> Output:
        names = known_classes()[self.kind]["output_name"]
        if name not in names:
            raise ValueError(f'{self.title} has no output "{name}"; it has: {", ".join(names)}')
        return Output(self, names.index(name))


@dataclass
class Workflow:
    """A graph under construction. `name` is that of its files, `note` the text of "Read me".

    `needs` says in a few words which model files a user must have, "" for none.
    """

    name: str
    note: str
    needs: str = ""
    nodes: list[Node] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    current: int = -1

    def __post_init__(self) -> None:
        self.note = reflowed(self.note)

    @contextmanager
    def column(self, title: str) -> Iterator[None]:
        """The nodes that are added inside stand in the column with this title, in the next one
        when there is none yet.
        """
        if title not in self.columns:
            self.columns.append(title)
        outside, self.current = self.current, self.columns.index(title)
        yield
        self.current = outside

    def add(
        self,
        kind: str,
        title: str,
        *,
        id: int | None = None,
        bypass: bool = False,
        folded: bool | None = None,
        **inputs: Any,
    ) -> Node:
        """A node in the current column. Without `id` it is one more than the last node's. A folded
        one shows its title alone until it is clicked; without `folded` it is one of `FOLDED`.

        Raises ValueError for a class, an input or an output that there is not, a title that is
        taken, or a value that is missing.
        """
        if kind not in known_classes():
            raise ValueError(
                f"{self.name}: the builder does not know the class {kind}. "
                "`visage workflows --measure` asks ComfyUI for it."
            )
        if title in {node.title for node in self.nodes}:
            raise ValueError(f'{self.name}: two nodes are titled "{title}"')
        number = id or (self.nodes[-1].id + 1 if self.nodes else 2)  # the note is 1
        if number in {node.id for node in self.nodes}:
            raise ValueError(f"{self.name}: two nodes have the id {number}")
        if self.current < 0:
            raise ValueError(f"{self.name}: {title} stands in no column")
        given = {name: _output(value) for name, value in inputs.items()}
        complete = self._complete(kind, title, given)
        if folded is None:
            folded = kind in FOLDED
        node = Node(number, kind, title, self.current, complete, bypass, folded)
        self.nodes.append(node)
        return node

    def _complete(self, kind: str, title: str, given: dict[str, Any]) -> dict[str, Any]:
        """Every input that has a value or a link, in the order of the class."""
        declared = declared_inputs(kind)
        if unknown := given.keys() - declared.keys():
            raise ValueError(
                f"{self.name}: {title} ({kind}) has no input {', '.join(sorted(unknown))}; "
                f"it has: {', '.join(declared)}"
            )
        complete = {}
        for name, (input_kind, settings, optional) in declared.items():
            if name in given:
                complete[name] = given[name]
            elif input_kind in WIDGETS and not settings.get("forceInput"):
                if "default" not in settings:
                    raise ValueError(f"{self.name}: {title} ({kind}) needs a value for {name}")
                complete[name] = settings["default"]
            elif not optional:
                raise ValueError(f"{self.name}: {title} ({kind}) needs a link for {name}")
        return complete


def declared_inputs(kind: str) -> dict[str, tuple[str, dict, bool]]:
    """Type, settings and whether it may be missing, of every input of a class by name.

    The type of one that takes several is that of its widget.
    """
    groups = known_classes()[kind]["input"]
    return {
        name: (settings.get("widgetType", own), settings, group == "optional")
        for group in ("required", "optional")
        for name, (own, settings) in groups.get(group, {}).items()
    }


def _output(value: Any) -> Any:
    return Output(value, 0) if isinstance(value, Node) else value


def reflowed(text: str) -> str:
    """The text without the line breaks inside its paragraphs and its points, which begin with "·"
    or are indented.
    """
    lines = []
    for line in text.strip().splitlines():
        begins = not line.strip() or line.startswith(("·", " "))
        if lines and lines[-1] and not begins and not lines[-1].startswith("   "):
            lines[-1] += " " + line
        else:
            lines.append(line)
    return "\n".join(lines)

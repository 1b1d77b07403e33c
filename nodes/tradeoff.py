"""The style-identity curve: runs collected, drawn, and turned into one dial."""

from __future__ import annotations

import re
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ..techniques.tradeoff import (
    Run,
    add_run,
    as_csv,
    as_json,
    describe_dial,
    fit_dial,
    from_json,
    make_run,
    turn,
)
from ..techniques.tradeoff_plot import draw_tradeoff
from .sockets import RunsSocket

FOLDER = "visage_tradeoff"
SETTINGS = 4
_NAME = re.compile(r"\w[\w .-]*")


def _check_name(name: str) -> None:
    if name and not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of a curve: take letters, digits, spaces, . - and _."
        )


def _kept_file(name: str) -> Path:
    return Path(folder_paths.get_output_directory()) / FOLDER / f"{name}.json"


def _read(name: str) -> list[Run]:
    path = _kept_file(name)
    return from_json(path.read_text(encoding="utf-8")) if path.is_file() else []


def _keep(name: str, runs: list[Run]) -> None:
    path = _kept_file(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    for text, suffix in ((as_json(runs), ".json"), (as_csv(runs), ".csv")):
        part = path.with_name(f".{name}{suffix}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path.with_suffix(suffix))


class VisageTradeoff(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageTradeoff",
            display_name="Trade-off",
            category="Visage",
            description="Collects runs with their style and identity scores and draws the curve: "
            "which settings give the most style for the least of the person lost.",
            is_output_node=True,
            inputs=[
                io.Float.Input("style", force_input=True, tooltip="From Style Score."),
                io.Float.Input("identity", force_input=True, tooltip="From Identity Score."),
                io.String.Input(
                    "label",
                    default="denoise=0.5",
                    tooltip="What was different in this run, as name=number with commas between, "
                    "such as denoise=0.5, weight=0.8. A run of the same label is replaced.",
                ),
                io.String.Input(
                    "keep",
                    default="",
                    tooltip="A name under which runs are kept between queued runs, in "
                    "output/visage_tradeoff. Empty: only the connected runs count.",
                ),
                RunsSocket.Input(
                    "runs", optional=True, tooltip="Other runs, from another Trade-off."
                ),
            ],
            outputs=[
                io.Image.Output(
                    "plot",
                    display_name="plot",
                    tooltip="The curve: style to the right, identity upwards. Runs that no other "
                    "beats (the Pareto front) are in colour and joined.",
                ),
                io.String.Output(
                    "table", display_name="table", tooltip="All runs as CSV, also on the node."
                ),
                io.String.Output("curve", display_name="curve", tooltip="All runs as JSON."),
                RunsSocket.Output(
                    "runs_out", display_name="runs", tooltip="All runs, for another Trade-off."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, keep: str = "") -> bool | str:
        try:
            _check_name(keep)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls, style: float, identity: float, label: str, keep: str, runs: list[Run] | None = None
    ) -> io.NodeOutput:
        _check_name(keep)
        collected = _read(keep) if keep else []
        for run in [*(runs or []), make_run(label, style, identity)]:
            collected = add_run(collected, run)
        if keep:
            _keep(keep, collected)
        table = as_csv(collected)
        return io.NodeOutput(
            draw_tradeoff(collected)[None],
            table,
            as_json(collected),
            collected,
            ui=ui.PreviewText(table),
        )


class VisageDial(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageDial",
            display_name="Dial",
            category="Visage",
            description="One number from all style to all person. The settings for it are read "
            "from a measured curve and go to the inputs of other nodes.",
            inputs=[
                io.Float.Input(
                    "dial",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="0 is the curve's most style, 1 the most of the person, 0.5 half of "
                    "the identity between them.",
                ),
                io.String.Input(
                    "curve",
                    default="",
                    multiline=True,
                    tooltip="The curve: the JSON of Trade-off or of `visage tradeoff`, or the name "
                    "under which Trade-off keeps its runs.",
                ),
                io.String.Input(
                    "settings",
                    default="",
                    tooltip="Which setting goes to which output: their names with commas between. "
                    "Empty: as in the curve.",
                ),
            ],
            outputs=[
                *(
                    io.Float.Output(
                        f"setting_{number}",
                        display_name=f"setting {number}",
                        tooltip=f"The value of setting number {number}, for an input of another "
                        "node that was turned into a socket.",
                    )
                    for number in range(1, SETTINGS + 1)
                ),
                io.String.Output(
                    "table",
                    display_name="table",
                    tooltip="The curve's front with the dial's place marked: settings, and the "
                    "scores to expect. Also on the node.",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, dial=None, curve: str | None = None, settings=None) -> str:
        kept = _kept_file(curve.strip()) if curve and _NAME.fullmatch(curve.strip()) else None
        return str(kept.stat().st_mtime_ns) if kept and kept.is_file() else ""

    @classmethod
    def execute(cls, dial: float, curve: str, settings: str) -> io.NodeOutput:
        points = fit_dial(_curve(curve))
        now = turn(points, dial)
        wanted = [name.strip() for name in settings.split(",") if name.strip()] or list(
            now.settings
        )
        unknown = [name for name in wanted if name not in now.settings]
        if unknown:
            raise ValueError(
                f"The curve has no setting {', '.join(map(repr, unknown))}; it has: "
                f"{', '.join(now.settings)}."
            )
        values = [now.settings[name] for name in wanted[:SETTINGS]]
        missing = ExecutionBlocker(f"The curve gives {len(values)} settings: {', '.join(wanted)}.")
        table = describe_dial(points, now)
        return io.NodeOutput(
            *values, *[missing] * (SETTINGS - len(values)), table, ui=ui.PreviewText(table)
        )


def _curve(text: str) -> list[Run]:
    """The runs of a curve, which is JSON or the name of a kept one."""
    text = text.strip()
    if not _NAME.fullmatch(text):
        return from_json(text)
    if not _kept_file(text).is_file():
        folder = _kept_file(text).parent
        kept = ", ".join(sorted(path.stem for path in folder.glob("*.json"))) or "none"
        raise FileNotFoundError(
            f"No curve {text!r} is kept in {folder}; there are: {kept}. Give it this name in "
            "Trade-off's keep, or connect its curve."
        )
    return _read(text)


NODES: list[type[io.ComfyNode]] = [VisageTradeoff, VisageDial]

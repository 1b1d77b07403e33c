"""The style-identity curve: runs collected, drawn, and turned into one dial."""

from __future__ import annotations

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ..engines.comfyui.kept_curves import (
    collect_runs,
    curve_fingerprint,
    find_curve,
    require_curve_name,
)
from ..models.user_input import passes
from ..techniques.tradeoff import (
    Run,
    as_csv,
    as_json,
    as_rows,
    choose_settings,
    describe_dial,
    fit_dial,
    make_run,
    turn,
)
from ..techniques.tradeoff_plot import draw_tradeoff
from .menu import menu
from .sockets import RunsSocket

SETTINGS = 4


class VisageTradeoff(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageTradeoff",
            display_name="Trade-off",
            **menu("Scores", "Pareto", "curve", "plot", "grid search"),
            description="Collects runs with their style and identity scores and draws the curve, "
            "which shows the settings that give the most style for the smallest loss of identity.",
            is_output_node=True,
            inputs=[
                io.Float.Input("style", force_input=True, tooltip="From Style Score."),
                io.Float.Input("identity", force_input=True, tooltip="From Identity Score."),
                io.String.Input(
                    "label",
                    default="denoise=0.5",
                    tooltip="What was different in this run, as name=number with commas between, "
                    "such as denoise=0.5, weight=0.8. A run with the same label is replaced.",
                ),
                io.String.Input(
                    "keep",
                    default="",
                    tooltip="The name under which runs are saved in output/visage_tradeoff, so "
                    "that later runs are added to them. Empty: only the connected runs are used.",
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
        return passes(require_curve_name, keep)

    @classmethod
    def execute(
        cls, style: float, identity: float, label: str, keep: str, runs: list[Run] | None = None
    ) -> io.NodeOutput:
        collected = collect_runs(keep, [*(runs or []), make_run(label, style, identity)])
        table = as_csv(collected)
        return io.NodeOutput(
            draw_tradeoff(collected)[None],
            table,
            as_json(collected),
            collected,
            ui={"text": (table,), "runs": as_rows(collected)},
        )


class VisageDial(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageDial",
            display_name="Dial",
            **menu("Scores", "balance", "slider", "strength"),
            description="One number between the most style and the most identity. The matching "
            "settings are read from a measured curve and go to the inputs of other nodes.",
            inputs=[
                io.Float.Input(
                    "dial",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="0 is the run of the curve with the most style, 1 the one with the "
                    "most identity, and 0.5 halfway between their identity scores.",
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
                        tooltip=f"The value of setting number {number}: connect it to the input of "
                        "another node that it should set.",
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
        return curve_fingerprint(curve or "")

    @classmethod
    def execute(cls, dial: float, curve: str, settings: str) -> io.NodeOutput:
        points = fit_dial(find_curve(curve))
        now = turn(points, dial)
        names, values = zip(*choose_settings(now, settings), strict=True)
        values = values[:SETTINGS]
        missing = ExecutionBlocker(f"The curve gives {len(values)} settings: {', '.join(names)}.")
        table = describe_dial(points, now)
        return io.NodeOutput(
            *values, *[missing] * (SETTINGS - len(values)), table, ui=ui.PreviewText(table)
        )


NODES: list[type[io.ComfyNode]] = [VisageTradeoff, VisageDial]

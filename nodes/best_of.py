"""The best pictures of a batch."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from ..techniques.best_of import contact_sheet, rank, read_scores
from ..techniques.shapes import as_image, split_alpha
from .menu import menu

KINDS = ("person", "style", "prompt")


class VisageBestOf(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageBestOf",
            display_name="Best Of",
            **menu("Scores", "rank", "pick best", "contact sheet", "select best image"),
            description="Sorts a batch by its scores for person, style and prompt, keeps the best, "
            "and shows all on a contact sheet with their numbers.",
            inputs=[
                io.Image.Input("images", tooltip="The pictures to choose from, as one batch."),
                io.Int.Input("count", default=1, min=1, max=4096, tooltip="How many to keep."),
                *(
                    io.Float.Input(
                        f"{kind}_weight",
                        default=0.0 if kind == "prompt" else 1.0,
                        min=-10.0,
                        max=10.0,
                        step=0.05,
                        tooltip=f"How much the score for {kind} counts; 0 leaves it out, below 0 "
                        "prefers less of it.",
                    )
                    for kind in KINDS
                ),
                io.String.Input(
                    "person",
                    optional=True,
                    force_input=True,
                    tooltip="`scores` of Identity Score, or a number for each picture.",
                ),
                io.String.Input(
                    "style",
                    optional=True,
                    force_input=True,
                    tooltip="`report` of Style Score, or a number for each picture.",
                ),
                io.String.Input(
                    "prompt",
                    optional=True,
                    force_input=True,
                    tooltip="A number for each picture: how well it shows the prompt.",
                ),
                io.Int.Input(
                    "seed",
                    optional=True,
                    force_input=True,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    tooltip="The seed that the batch was made with; the report shows it.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "best", display_name="best", tooltip="The best pictures, best first."
                ),
                io.Image.Output(
                    "sheet",
                    display_name="contact sheet",
                    tooltip="All pictures, best first, with their numbers; those kept are framed.",
                ),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="A line for each picture, best first: its number in the batch, its "
                    "scores and its total.",
                ),
                io.Int.Output(
                    "index", display_name="index", tooltip="The best picture's number in the batch."
                ),
            ],
        )

    @classmethod
    def execute(cls, images, count: int, seed: int | None = None, **inputs) -> io.NodeOutput:
        pictures, _ = split_alpha(as_image(images, "images"))
        scores = {
            kind: read_scores(inputs[kind], kind) for kind in KINDS if inputs.get(kind) is not None
        }
        weights = {kind: inputs[f"{kind}_weight"] for kind in KINDS}
        order, totals = rank(scores, weights, len(pictures))
        facts = [
            [f"picture {k}", *(f"{kind} {values[k]:.3f}" for kind, values in scores.items())]
            for k in order
        ]
        kept = min(count, len(order))
        sheet = contact_sheet(pictures[torch.tensor(order)], ["\n".join(f) for f in facts], kept)
        made = "" if seed is None else f", of the batch with seed {seed}"
        report = "\n".join(
            f"{', '.join(fact)}, total {totals[k]:.3f}{made}"
            for fact, k in zip(facts, order, strict=True)
        )
        return io.NodeOutput(
            as_image(images, "images")[torch.tensor(order[:kept])],
            sheet,
            report,
            order[0],
            ui=ui.PreviewText(report),
        )


NODES: list[type[io.ComfyNode]] = [VisageBestOf]

"""`visage train`: the recipes that make weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from .train_style_lora import add_style_lora_command


def add_train_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage train starter`."""
    parser = subparsers.add_parser("train", help="train models")
    kinds = parser.add_subparsers(dest="what", required=True)
    starter = kinds.add_parser("starter", help="make the built-in starter models again")
    starter.add_argument("--recipe", type=Path, help="settings (default: the shipped recipe.json)")
    starter.add_argument("--work", type=Path, default=Path("runs/starter"), help="checkpoints")
    starter.add_argument("--stage", default="all", help="one stage only (default: all, and export)")
    starter.add_argument("--out", type=Path, help="export folder (default: WORK/export)")
    starter.add_argument("--threads", type=int, help="CPU threads to use")
    starter.add_argument(
        "--resume", action="store_true", help="go on with the checkpoints found in --work"
    )
    starter.set_defaults(run=run_starter)
    add_style_lora_command(kinds)


def run_starter(args: argparse.Namespace) -> int:
    """Train the starter models, stage by stage."""
    from ..training.starter.recipe import RECIPE, STAGES, read_recipe, run

    if args.stage not in ("all", *STAGES):
        raise ValueError(f"There is no stage {args.stage!r}; the stages are {', '.join(STAGES)}.")
    if args.work.exists() and any(args.work.iterdir()) and not args.resume:
        raise ValueError(
            f"{args.work} already holds a run. Add --resume to go on with it, or name another "
            "folder with --work."
        )
    settings = read_recipe(args.recipe or RECIPE)
    if args.stage != "all":
        run(settings, args.work, args.stage, args.threads)
        return 0
    from ..training.starter.export import export

    for stage in STAGES:
        run(settings, args.work, stage, args.threads)
    print(export(settings, args.work, args.out or args.work / "export"))
    return 0

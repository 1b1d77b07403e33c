"""`visage train`: the training of weights."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from .train_fast_style import add_fast_style_command
from .train_style_adapter import add_style_adapter_command
from .train_style_lora import add_style_lora_command


def add_train_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage train` and its kinds of training."""
    parser = subparsers.add_parser("train", help="train models")
    kinds = parser.add_subparsers(dest="what", required=True)
    starter = kinds.add_parser("starter", help="train the built-in starter models")
    starter.add_argument("--recipe", type=Path, help="settings (default: the shipped recipe.json)")
    starter.add_argument("--work", type=Path, default=Path("runs/starter"), help="checkpoints")
    starter.add_argument("--stage", default="all", help="one stage (default: all, then export)")
    starter.add_argument("--out", type=Path, help="export folder (default: WORK/export)")
    starter.add_argument("--threads", type=int, help="CPU threads to use")
    starter.add_argument(
        "--resume", action="store_true", help="continue from the checkpoints in --work"
    )
    starter.add_argument(
        "--photos",
        type=Path,
        help="labelled photographs of people who do not exist, to train autoencoder and UNet "
        "further (default: drawings only)",
    )
    starter.add_argument(
        "--paintings", type=Path, help="with --photos: paintings for the autoencoder"
    )
    starter.add_argument(
        "--start",
        type=Path,
        help="with --photos: begin with this exported starter (default: train one on drawings)",
    )
    starter.add_argument("--device", help="with --photos: device, such as cuda (default: cpu)")
    starter.set_defaults(run=run_starter)
    add_style_lora_command(kinds)
    add_fast_style_command(kinds)
    add_style_adapter_command(kinds)
    _add_face_edit(kinds)


def _add_face_edit(kinds: argparse._SubParsersAction) -> None:
    from ..training.face_edit.config import FaceEditConfig

    command = kinds.add_parser(
        "face-edit",
        help="fine-tune the face editor: K/V projections and text adapter",
        description="Fine-tune an inpainting model's cross-attention K/V projections and the "
        "face-aware text adapter with a mask-weighted loss, on several devices under `accelerate "
        "launch`. The settings' defaults are the paper's.",
    )
    command.add_argument(
        "dataset", type=Path, help="CelebAMask-HQ, `visage data render`, or pictures with captions"
    )
    command.add_argument(
        "--base",
        type=Path,
        help="SD 1.x inpainting model: a diffusers folder or one file (default: the starter)",
    )
    command.add_argument("--tokenizer", type=Path, help="CLIP's tokenizer, for a single file")
    command.add_argument(
        "--parser", type=Path, help="face parser for pictures without masks (default: built in)"
    )
    command.add_argument(
        "--out", type=Path, default=Path("runs/face_edit"), help="the run's folder (%(default)s)"
    )
    command.add_argument("--cache", type=Path, help="latents and embeddings (default: OUT/cache)")
    command.add_argument("--config", type=Path, help="settings as JSON; options below override it")
    command.add_argument("--resume", action="store_true", help="continue the run in --out")
    command.add_argument("--cpu", action="store_true", help="use no GPU")
    command.add_argument("--threads", type=int, help="CPU threads to use")
    command.add_argument(
        "--ray", type=int, metavar="N", help="train in N processes of a Ray cluster, a GPU each"
    )
    command.add_argument(
        "--address", default="local", help="with --ray: the cluster (default: this machine)"
    )
    settings = command.add_argument_group("settings")
    for field in dataclasses.fields(FaceEditConfig):
        _add_setting(settings, field)
    command.set_defaults(run=run_face_edit)


def _add_setting(group: argparse._ArgumentGroup, field: dataclasses.Field) -> None:
    """Add an option for a field of the settings; without it the namespace lacks the field."""
    default, choices = field.default, field.metadata["choices"]
    shown = " ".join(default) if isinstance(default, tuple) else default
    text = (
        f"{field.metadata['help']} ({shown:.4g})"
        if isinstance(default, float)
        else (f"{field.metadata['help']} ({shown})")
    )
    options: dict = {"help": text, "default": argparse.SUPPRESS}
    if isinstance(default, bool):
        options["action"] = argparse.BooleanOptionalAction
    elif isinstance(default, tuple):
        options |= {"nargs": "+", "metavar": "PART"}
    else:
        options |= {"type": type(default), "choices": choices}
    group.add_argument(f"--{field.name.replace('_', '-')}", **options)


def run_face_edit(args: argparse.Namespace) -> int:
    """Fine-tune the face editor."""
    if args.ray:
        return _run_on_cluster(args)
    import logging

    import torch

    from ..engines.diffusers.training import load_trainable
    from ..models.face_parser import load_face_parser
    from ..models.starter_files import STARTER, starter_file
    from ..training.face_edit.config import FaceEditConfig
    from ..training.face_edit.trainer import make_accelerator, train_face_edit

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    settings = FaceEditConfig.read(args.config) if args.config else {}
    settings |= _given(args, (field.name for field in dataclasses.fields(FaceEditConfig)))
    config = FaceEditConfig.from_dict(settings)
    if args.threads:
        torch.set_num_threads(args.threads)
    accelerator = make_accelerator(args.cpu)
    result, losses = train_face_edit(
        load_trainable(args.base or STARTER, args.tokenizer),
        args.dataset,
        config,
        args.out,
        args.cache,
        load_face_parser(args.parser or starter_file("face_parser")),
        accelerator,
        args.resume,
    )
    if accelerator.is_main_process:
        print(f"{result}: {len(losses)} steps, last loss {losses[-1]:.5f}")
    return 0


def _run_on_cluster(args: argparse.Namespace) -> int:
    """Fine-tune in several processes of a Ray cluster, whose machines share the files."""
    from ..batch.cluster import here_or
    from ..batch.train import run_together

    paths = {name: value.resolve() for name, value in vars(args).items() if isinstance(value, Path)}
    # The parser's function cannot be sent to other machines.
    alone = argparse.Namespace(**{**vars(args), **paths, "run": None, "ray": None})
    run_together(partial(run_face_edit, alone), args.ray, here_or(args.address), args.out / "ray")
    print(f"{args.out}: trained in {args.ray} processes")
    return 0


def _given(args: argparse.Namespace, names: Iterable[str]) -> dict:
    return {name: getattr(args, name) for name in names if hasattr(args, name)}


def run_starter(args: argparse.Namespace) -> int:
    """Train the starter models, stage by stage."""
    from ..training.starter.photo_recipe import PHOTO_STAGES
    from ..training.starter.recipe import RECIPE, STAGES, read_recipe, run

    _require_stage(args)
    given = [f"--{name}" for name in ("start", "paintings", "device") if getattr(args, name)]
    if given and not args.photos:
        raise ValueError(f"{', '.join(given)} needs --photos, a folder of labelled photographs.")
    if args.work.exists() and any(args.work.iterdir()) and not args.resume:
        raise ValueError(
            f"{args.work} already holds a run. Add --resume to continue it, or name another "
            "folder with --work."
        )
    settings = read_recipe(args.recipe or RECIPE)
    if args.photos and (args.start or args.stage in PHOTO_STAGES):
        return _run_photo_stages(args, settings, args.start or args.work / "drawn")
    if args.stage != "all":
        run(settings, args.work, args.stage, args.threads)
        return 0
    from ..training.starter.export import export

    for stage in STAGES:
        run(settings, args.work, stage, args.threads)
    drawn = args.work / "drawn"
    if not args.photos:
        print(export(settings, args.work, args.out or args.work / "export"))
        return 0
    if not drawn.exists():
        export(settings, args.work, drawn)
    return _run_photo_stages(args, settings, drawn)


def _require_stage(args: argparse.Namespace) -> None:
    """Raise ValueError for a stage that this training does not have."""
    from ..training.starter.photo_recipe import PHOTO_STAGES
    from ..training.starter.recipe import STAGES

    stages, hint = STAGES, " --photos adds more." if args.stage in PHOTO_STAGES else ""
    if args.photos and args.start:
        stages, hint = PHOTO_STAGES, " --start takes the place of those on drawings."
    elif args.photos:
        stages, hint = (*STAGES, *PHOTO_STAGES), ""
    if args.stage not in ("all", *stages):
        raise ValueError(
            f"There is no stage {args.stage!r}; the stages are {', '.join(stages)}.{hint}"
        )


def _run_photo_stages(args: argparse.Namespace, settings: dict, start: Path) -> int:
    import torch

    from ..training.precision import pick_device
    from ..training.starter.photo_recipe import PhotoRecipe

    device = pick_device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    recipe = PhotoRecipe(settings, args.work, start, args.photos, args.paintings, device)
    if args.stage == "all":
        print(recipe.export(args.out or args.work / "export"))
    else:
        recipe.run(args.stage)
    return 0

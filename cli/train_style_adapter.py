"""`visage train style-adapter`: train an IP-Adapter on pictures with captions."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path


def add_style_adapter_command(kinds: argparse._SubParsersAction) -> None:
    """Add `visage train style-adapter`."""
    from ..training.style_adapter_settings import StyleAdapterSettings

    command = kinds.add_parser(
        "style-adapter",
        help="train an IP-Adapter: image projection and K/V projections",
        description="Train an IP-Adapter for a diffusers pipeline folder on pictures with "
        "captions. If a run was stopped, start it again to continue.",
    )
    command.add_argument("pictures", type=Path, help="NAME.png or .jpg, each with NAME.txt")
    command.add_argument("--base", type=Path, help="diffusers folder (default: the starter)")
    command.add_argument(
        "--image-encoder",
        type=Path,
        help="CLIPVisionModelWithProjection folder (default: the starter's)",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("runs/style_adapter"),
        help="the run's folder (%(default)s)",
    )
    command.add_argument("--cpu", action="store_true", help="use no GPU")
    command.add_argument("--precision", choices=("no", "fp16", "bf16"), help="mixed precision")
    command.add_argument("--threads", type=int, help="CPU threads to use")
    settings = command.add_argument_group("settings")
    for field in dataclasses.fields(StyleAdapterSettings):
        settings.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            help=f"{field.metadata['help']} (%(default)s)",
        )
    command.set_defaults(run=run_style_adapter)


def run_style_adapter(args: argparse.Namespace) -> int:
    """Train a style adapter and write it beside its checkpoint."""
    import logging

    import torch
    from accelerate import Accelerator

    from ..engines.diffusers import DiffusersEngine
    from ..engines.image_encoder import ImageEncoder
    from ..models.starter_files import STARTER
    from ..training.face_edit.dataset import read_dataset
    from ..training.style_adapter import (
        StyleAdapterSettings,
        encode_examples,
        train_style_adapter,
        write_adapter,
    )

    path = args.out / "ip_adapter.safetensors"
    if path.exists():
        raise ValueError(f"{path} exists already and is kept. Name another folder with --out.")
    pictures = read_dataset(args.pictures)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    names = [field.name for field in dataclasses.fields(StyleAdapterSettings)]
    settings = StyleAdapterSettings(**{name: getattr(args, name) for name in names})
    if args.threads:
        torch.set_num_threads(args.threads)
    accelerator = Accelerator(cpu=args.cpu, mixed_precision=args.precision)
    engine = DiffusersEngine.load(args.base or STARTER, device=accelerator.device)
    if not settings.size:
        settings = dataclasses.replace(settings, size=engine.native_size)
    encoder = ImageEncoder.load(args.image_encoder or STARTER / "image_encoder")
    encoder.to(accelerator.device)
    examples = encode_examples(
        pictures,
        engine,
        lambda picture: encoder.features(picture)["image_embeds"],
        settings.size,
    )
    adapter = train_style_adapter(engine, examples, settings, args.out, accelerator)
    write_adapter(path, adapter, settings)
    print(path)
    return 0

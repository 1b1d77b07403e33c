"""`visage train style-lora PICTURE`: a style LoRA learned from one picture."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_style_lora_command(kinds: argparse._SubParsersAction) -> None:
    """Add `visage train style-lora`."""
    command = kinds.add_parser(
        "style-lora",
        help="learn the style of one picture as a LoRA",
        description="Learn the style of one picture as a LoRA for ComfyUI, diffusers and kohya's "
        "tools: the first step of DiffStyler. The defaults are the paper's.",
    )
    command.add_argument("picture", type=Path, help="a picture in the style to learn")
    command.add_argument(
        "--model", type=Path, help="diffusers folder of the base model (default: the starter)"
    )
    command.add_argument("--out", type=Path, help="file to write (default: PICTURE.safetensors)")
    command.add_argument(
        "--prompt",
        default="painting of <sss>",
        help="caption of the picture, with <sss> for its style (%(default)s)",
    )
    command.add_argument("--rank", type=int, default=16, help="size of the LoRA (%(default)s)")
    command.add_argument("--steps", type=int, default=200, help="training steps (%(default)s)")
    command.add_argument(
        "--learning-rate",
        type=float,
        help="learning rate (default: the paper's 0.0002, or 0.001 for the starter)",
    )
    command.add_argument(
        "--size", type=int, help="shorter side in pixels (default: the base model's own size)"
    )
    command.add_argument(
        "--crops",
        action="store_true",
        help="see a random square of the picture at every step",
    )
    command.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        default="fp32",
        help="precision of the frozen model (%(default)s)",
    )
    command.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    command.add_argument("--device", help="cpu, cuda, mps (default: cuda if there is one)")
    command.set_defaults(run=run_style_lora)


def run_style_lora(args: argparse.Namespace) -> None:
    """Train the LoRA and write it."""
    from ..models.checkpoints import require_new_weights

    out = args.out or args.picture.with_suffix(".safetensors")
    require_new_weights(out, advice="Name another file with --out.")
    if not args.picture.is_file():
        raise FileNotFoundError(f"There is no picture {args.picture}.")
    if args.rank < 1 or args.steps < 1:
        raise ValueError(f"Rank and steps must be at least 1, not {args.rank} and {args.steps}.")

    import numpy as np
    import torch
    from tqdm import tqdm

    from ..engines.diffusers import DiffusersEngine
    from ..engines.diffusers.lora import trainable_lora
    from ..models.picture_files import read_picture
    from ..models.starter_files import STARTER
    from ..models.style_lora import write_style_lora
    from ..training.style_lora import (
        STARTER_LEARNING_RATE,
        StyleLoraSettings,
        style_latents,
        train_style_lora,
        window_shape,
    )

    pixels = np.array(read_picture(args.picture))
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
    model = args.model or STARTER
    engine = DiffusersEngine.load(model, dtype=dtype, device=device)
    size = args.size or engine.native_size
    rate = args.learning_rate
    if rate is None:
        starter = model.resolve() == STARTER.resolve()
        rate = STARTER_LEARNING_RATE if starter else StyleLoraSettings.learning_rate
    settings = StyleLoraSettings(
        args.prompt, args.rank, args.steps, rate, size, args.crops, args.seed
    )
    picture = torch.from_numpy(pixels).unsqueeze(0) / 255
    latents = style_latents(picture, engine.encode, engine.latent_scale, size)
    shape = window_shape(latents, settings.crops)
    trainable = trainable_lora(engine, settings.prompt, shape, settings.rank, settings.seed)
    with tqdm(total=settings.steps, desc="style LoRA") as bar:

        def report(_step: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            bar.update()

        lora, _ = train_style_lora(latents, trainable, settings, report)
    write_style_lora(out, lora)
    print(out)

"""A diffusers UNet, ready to learn: from a pipeline folder or a single checkpoint file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ...diffusion.noise_schedule import NoiseSchedule
from ...models.starter_files import FILES, read_config
from ..single_file import SD1_SCHEDULER, load_single_file
from ..trainable import KV_PROJECTIONS, TrainableModel, hash_weights
from . import DiffusersEngine


class _Network(nn.Module):
    """The UNet with plain arguments and a plain result."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        return self.unet(x, timesteps, text, return_dict=False)[0]


def load_trainable(base: Path, tokenizer: Path | None = None) -> TrainableModel:
    """The inpainting model in a diffusers folder or a single SD 1.x checkpoint file.

    tokenizer is CLIP's, for single files, which hold none. Raises FileNotFoundError or ValueError
    when a file is missing, damaged, or no inpainting model.
    """
    base = Path(base)
    if base.is_dir():
        engine, scheduler = DiffusersEngine.load(base), read_config("scheduler", base)
        file = base / FILES["unet"]
    else:
        engine, scheduler = load_single_file(base, tokenizer), SD1_SCHEDULER
        file = base
    return make_trainable(engine, scheduler, _file_key(file))


def make_trainable(engine: DiffusersEngine, scheduler: dict, unet_key: str) -> TrainableModel:
    """An engine's parts as a TrainableModel; scheduler is its diffusers configuration.

    Raises ValueError when the UNet does not take an inpainting model's nine channels.
    """
    channels = engine.unet.config.in_channels
    if channels != 9:
        raise ValueError(
            f"The face editor is trained on an inpainting model, whose UNet takes 9 channels; this "
            f"one takes {channels}. Choose an inpainting checkpoint."
        )
    network = _Network(engine.unet.requires_grad_(False))
    # Convolutions are faster in this layout on CPUs and on tensor cores.
    network.to(memory_format=torch.channels_last)
    projections = {
        name: parameter
        for name, parameter in engine.unet.named_parameters()
        if name.endswith(KV_PROJECTIONS)
    }
    for parameter in projections.values():
        parameter.data = parameter.data.float()
        parameter.requires_grad_(True)

    @contextmanager
    def encoders(device: torch.device) -> Iterator[None]:
        parts = (engine.vae, engine.text_encoder)
        for part in parts:
            nn.Module.to(part, device)
        try:
            yield
        finally:
            for part in parts:
                nn.Module.to(part, "cpu")

    return TrainableModel(
        network=network,
        projections=projections,
        encode=engine.encode,
        decode=engine.decode,
        encode_text=engine.encode_text,
        encoders=encoders,
        use_checkpointing=engine.unet.enable_gradient_checkpointing,
        width=engine.width,
        latent_scale=engine.latent_scale,
        schedule=NoiseSchedule.from_config(scheduler),
        prediction=scheduler.get("prediction_type", "epsilon"),
        unet_key=unet_key,
        vae_key=hash_weights(engine.vae.state_dict()),
        text_key=hash_weights(engine.text_encoder.state_dict()),
    )


def _file_key(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()

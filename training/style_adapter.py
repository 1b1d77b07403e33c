"""Training of an IP-Adapter: the image projection and the K/V projections, all else frozen.

Ye et al., "IP-Adapter: Text Compatible Image Prompt Adapter for Text-to-Image Diffusion Models",
section 3.3: the noise of each picture is predicted from its caption and its image embedding,
L = E || eps - eps_theta(x_t, t, text, image) ||^2. Either prompt is dropped at random, so that both
can be used with guidance. Pictures are encoded once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from PIL import Image, ImageOps
from torch import Tensor, nn
from tqdm import tqdm

from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers.adapter import cross_attention, styled_unet
from ..models.checkpoints import write_weights
from ..models.ip_adapter import IPAdapter
from ..models.picture_files import BadPicture, read_picture
from ..techniques.soft_inpaint import inpaint_condition
from ..techniques.style_adapter import StyleAttention
from .face_edit.dataset import BadExample, Example
from .loop import AveragedWeights, Run, cosine_rate, step_generator, train
from .style_adapter_settings import StyleAdapterSettings

SAVE_EVERY = 250
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Examples:
    """The encoded training pictures.

    latents [N, 4, h, w], scaled; embeds [N, D] of the image encoder; captions of each picture;
    concat [1, 5, h, w] for inpainting models: a mask that covers everything.
    """

    latents: Tensor
    embeds: Tensor
    captions: list[tuple[str, ...]]
    concat: Tensor | None


def new_adapter(
    engine: DiffusersEngine, input_width: int, settings: StyleAdapterSettings
) -> IPAdapter:
    """Make an untrained adapter for the engine's UNet.

    If its tokens are as wide as the text's it starts from the UNet's own K/V projections. Otherwise
    its values start at zero, so that it adds nothing.
    """
    layers = [engine.unet.get_submodule(name) for name, _ in cross_attention(engine.unet)]
    width = settings.token_width or engine.unet.config.cross_attention_dim
    shapes = {
        "image_proj.proj.weight": (settings.tokens * width, input_width),
        "image_proj.norm.weight": (width,),
    }
    for index, layer in enumerate(layers):
        for name in ("to_k_ip", "to_v_ip"):
            shapes[f"ip_adapter.{2 * index + 1}.{name}.weight"] = (layer.to_k.out_features, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed % 2**64)
        adapter = IPAdapter(shapes)
    fits = width == engine.unet.config.cross_attention_dim
    with torch.no_grad():
        for layer, own in zip(layers, adapter.ip_adapter.values(), strict=True):
            if fits:
                own["to_k_ip"].weight.copy_(layer.to_k.weight)
                own["to_v_ip"].weight.copy_(layer.to_v.weight)
            else:
                own["to_v_ip"].weight.zero_()
    return adapter


@torch.no_grad()
def encode_examples(
    examples: Sequence[Example],
    engine: DiffusersEngine,
    encode_image: Callable[[Tensor], Tensor],
    size: int,
) -> Examples:
    """Encode the pictures; a bad example is left out with one logged line.

    encode_image maps a picture [1, H, W, 3] in 0..1 to its embedding [1, D]. Raises ValueError when
    no example can be used.
    """
    latents, embeds, captions = [], [], []
    for example in tqdm(examples, desc="encode", mininterval=2):
        try:
            if example.problem:
                raise BadExample(example.problem)
            picture = _middle_square(example.image, size)
        except BadExample as error:
            log.warning("left out: %s", error)
            continue
        latents.append(engine.encode(picture).cpu() * engine.latent_scale)
        embeds.append(encode_image(picture).float().cpu())
        captions.append(example.captions)
    if not latents:
        raise ValueError(f"None of the {len(examples)} pictures can be used; see the lines above.")
    concat = None
    if engine.unet.config.in_channels == 9:
        everywhere = torch.ones(1, size, size)
        concat = inpaint_condition(
            torch.zeros(1, size, size, 3), everywhere, engine.encode, engine.latent_scale
        ).concat.cpu()
    return Examples(torch.cat(latents), torch.cat(embeds), captions, concat)


def train_style_adapter(
    engine: DiffusersEngine,
    examples: Examples,
    settings: StyleAdapterSettings,
    folder: Path,
    accelerator: Accelerator,
) -> IPAdapter:
    """Train an adapter with checkpoint and curve in `folder`, and return its averaged weights.

    A run that was stopped is resumed. Raises ValueError when the folder holds a run with other
    settings or pictures.
    """
    _require_same_run(folder, settings, examples)
    device = accelerator.device
    unet = nn.Module.to(engine.unet.requires_grad_(False), device)
    adapter = new_adapter(engine, examples.embeds.shape[1], settings).to(device)
    # Made before accelerate wraps the adapter, so that weights have the same names as in the file.
    average = AveragedWeights(adapter, settings.average)
    optimizer = torch.optim.AdamW(
        adapter.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    optimizer = accelerator.prepare(optimizer)
    # The model was trained on one window of the text encoder.
    length = engine.encode_text([""]).shape[1]
    alphas = (1 / (engine.noise_schedule.sigmas**2 + 1)).to(device)

    def take_step(step: int) -> dict[str, float]:
        batch = _draw(examples, settings, len(alphas), step, device)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * cosine_rate(step, settings.steps)
        alpha = alphas[batch.timesteps].view(-1, 1, 1, 1)
        shown = alpha.sqrt() * batch.latents + (1 - alpha).sqrt() * batch.noise
        if examples.concat is not None:
            concat = examples.concat.to(device).expand(len(shown), -1, -1, -1)
            shown = torch.cat((shown, concat), dim=1)
        with torch.no_grad():
            texts = engine.encode_text(batch.prompts)[:, :length].to(device)
        keys_values = adapter.keys_values(adapter.tokens(batch.embeds))
        attention = StyleAttention(keys_values, keys_values, [1.0] * len(keys_values))
        with accelerator.autocast(), styled_unet(unet, [attention], (0,), shown.shape[-2:]):
            predicted = unet(shown, batch.timesteps, texts, return_dict=False)[0]
        aim = batch.noise
        if engine.prediction == "v_prediction":
            aim = alpha.sqrt() * batch.noise - (1 - alpha).sqrt() * batch.latents
        loss = F.mse_loss(predicted.float(), aim)
        optimizer.zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(adapter.parameters(), 1.0)
        optimizer.step()
        average.update(adapter)
        return {"loss": loss.item()}

    parts = {"adapter": adapter, "average": average, "optimizer": optimizer}
    train(Run(folder, "style_adapter", settings.steps, SAVE_EVERY), parts, take_step)
    adapter.load_state_dict(average.weights)
    return adapter.eval().requires_grad_(False)


def write_adapter(path: Path, adapter: IPAdapter, settings: StyleAdapterSettings) -> None:
    """Write the adapter in the public layout, in fp16. Raises what `write_weights` raises."""
    weights = {name: value.half() for name, value in adapter.state_dict().items()}
    metadata = {"visage.kind": "ip_adapter", "visage.config": json.dumps(asdict(settings))}
    write_weights(path, weights, metadata)


@dataclass(frozen=True)
class _Batch:
    latents: Tensor
    noise: Tensor
    embeds: Tensor
    timesteps: Tensor
    prompts: list[str]


def _draw(
    examples: Examples, settings: StyleAdapterSettings, levels: int, step: int, device
) -> _Batch:
    """The batch of a step, which does not depend on the steps before it."""
    random = step_generator(settings.seed, step)
    chosen = torch.randint(len(examples.latents), (settings.batch,), generator=random)
    latents = examples.latents[chosen]
    noise = torch.randn(latents.shape, generator=random)
    timesteps = torch.randint(levels, (settings.batch,), generator=random)
    words, dropped = torch.rand(2, settings.batch, generator=random)
    # One draw decides all three: each has a part of the unit interval.
    without_text = dropped < settings.text_drop + settings.both_drop
    last = settings.text_drop + settings.both_drop + settings.image_drop
    without_image = (dropped >= settings.text_drop) & (dropped < last)
    embeds = examples.embeds[chosen].masked_fill(without_image[:, None], 0)
    prompts = [
        "" if silent else captions[int(word * len(captions))]
        for captions, word, silent in zip(
            (examples.captions[i] for i in chosen), words.tolist(), without_text, strict=True
        )
    ]
    tensors = (value.to(device) for value in (latents, noise, embeds, timesteps))
    return _Batch(*tensors, prompts)


def _middle_square(path: Path, size: int) -> Tensor:
    """Read the middle square [1, size, size, 3] of a picture, in 0..1. Raises BadExample."""
    try:
        picture = read_picture(path)
    except (BadPicture, OSError) as error:
        raise BadExample(str(error)) from error
    picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture)).float().unsqueeze(0) / 255


def _require_same_run(folder: Path, settings: StyleAdapterSettings, examples: Examples) -> None:
    """Raise ValueError if the folder's run has other settings or pictures."""
    content = hashlib.sha256()
    for part in (examples.latents, examples.embeds):
        content.update(part.contiguous().numpy())
    content.update(json.dumps(examples.captions).encode())
    own = {**asdict(settings), "examples": content.hexdigest()}
    begun = folder / "style_adapter.json"
    if not begun.exists():
        folder.mkdir(parents=True, exist_ok=True)
        begun.write_text(json.dumps(own, indent=2))
        return
    before = json.loads(begun.read_text())
    differing = [name for name in own if own[name] != before.get(name)]
    if differing:
        raise ValueError(
            f"{folder} holds a run with other {', '.join(differing)}. Use the same ones, or "
            "name another folder with --out."
        )

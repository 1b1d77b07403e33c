"""Face editing: whether both engines agree and the background stays, and the cost of an edit.

Parity, the soft mask and the background are measured with the built-in models. Time and memory are
measured at Stable Diffusion 1.5's size with random weights: those of the whole edit over those of
plain inpainting with the same networks, steps and guidance.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTokenizer

from ..diffusion.latent import to_latent_size
from ..diffusion.sampling import sample
from ..engines.comfyui.location import find_comfyui
from ..engines.diffusers import DiffusersEngine
from ..models.bisenet import BiSeNet
from ..models.face_parser import PUBLIC_INPUT_SIZE, FaceParser, load_face_parser
from ..models.starter_files import read_config, starter_file
from ..techniques.face_edit import FaceEditSettings, edit_faces
from ..techniques.soft_inpaint import inpaint_condition
from ..techniques.soft_mask import soften
from ..techniques.text_adapter import FaceAwareTextAdapter
from ..training.starter.networks import LATENT_SCALE, build_text_encoder, build_unet, build_vae
from . import say

PROMPT = "a face of a woman with glasses, smiling"
SEED = 42
STEPS = 20
GUIDANCE = 5.0

SD15_UNET = {"block_out_channels": (320, 640, 1280, 1280), "heads": (8, 8, 8, 8)}
SD15_VAE = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
SD15_TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}


def run(quick: bool) -> dict[str, float]:
    """Measure all figures, by name; without ComfyUI some are left out."""
    figures, steps = {}, 3 if quick else STEPS
    with torch.inference_mode():
        comfyui = find_comfyui()
        if comfyui is None:
            say("no ComfyUI: engine_parity_max_abs and soft_mask_values_seen are left out")
        else:
            figures |= _compare_engines(comfyui, steps)
        figures["outside_max_abs_diff"] = _outside_max_abs_diff(steps)
        figures |= _cost(quick)
    return figures


def _astronaut(size: int) -> Tensor:
    """The photograph [1, size, size, 3], scaled from 512 px."""
    picture = torch.from_numpy(skimage.data.astronaut()).float().movedim(-1, 0)[None] / 255
    return F.interpolate(picture, size, mode="area").movedim(1, -1)


def _sample(
    engine: DiffusersEngine, picture: Tensor, mask: Tensor, steps: int, soft: bool = True
) -> Tensor:
    """Inpaint pictures [B, H, W, 3]; return the latent [B, 4, h, w], scaled for the VAE.

    Without `soft` this is plain inpainting: the mask is rounded and the whole latent is sampled.
    """
    text = engine.encode_text([PROMPT, ""])
    condition = inpaint_condition(picture, mask, engine.encode, engine.latent_scale, soft)
    latent = condition.latent * engine.latent_scale
    sigmas = engine.sigmas("normal", steps)
    denoiser = engine.denoiser(text[:1], text[1:], GUIDANCE, condition.concat)
    cells = to_latent_size(condition.mask) if soft else None
    return sample(denoiser, latent, SEED, sigmas, engine.sigma_max, cells) / engine.latent_scale


# Both engines, the built-in models.


def _compare_engines(comfyui: Path, steps: int) -> dict[str, float]:
    """The same edit through ComfyUI's KSampler and through our sampler on diffusers."""
    nodes = _import_comfyui(comfyui)
    from ..engines.comfyui.inpaint_conditioning import attach_inpaint
    from ..engines.comfyui.starter import load_starter

    picture = _astronaut(256)
    mask = torch.zeros(1, 256, 256)
    mask[:, 30:130, 70:150] = 1
    mask = soften(mask, sigma=10)

    model, clip, vae = load_starter()
    encode = nodes.CLIPTextEncode().encode
    condition = inpaint_condition(picture, mask, vae.encode, LATENT_SCALE)
    prompts = encode(clip, PROMPT)[0], encode(clip, "")[0]
    positive, negative = attach_inpaint(prompts, condition)
    latent = {"samples": condition.latent, "noise_mask": to_latent_size(condition.mask)}
    shown = []
    hook = model.model.diffusion_model.register_forward_pre_hook(
        lambda _, inputs: shown.append(inputs[0][:, 4].unique())
    )
    say(f"ComfyUI: {steps} steps at 256 px")
    sampled = nodes.KSampler().sample(
        model, SEED, steps, GUIDANCE, "euler", "normal", positive, negative, latent, 1.0
    )
    hook.remove()

    say(f"diffusers: {steps} steps at 256 px")
    ours = _sample(DiffusersEngine.load(), picture, mask, steps)
    difference = (ours - sampled[0]["samples"]).abs().max() * LATENT_SCALE
    return {
        "engine_parity_max_abs": float(difference),
        "soft_mask_values_seen": float(min(len(values) for values in shown)),
    }


def _import_comfyui(folder: Path):
    """ComfyUI's `nodes` module, in this process."""
    sys.path.insert(0, str(folder))
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    import nodes

    return nodes


def _outside_max_abs_diff(steps: int) -> float:
    """The largest difference outside the mask after a whole edit of the photograph."""
    say(f"the whole edit of a 512 px photograph, {steps} steps")
    parser = load_face_parser(starter_file("face_parser"))
    settings = FaceEditSettings(steps=steps, guidance=GUIDANCE, seed=SEED)
    edited = edit_faces(_astronaut(512), PROMPT, DiffusersEngine.load(), parser, settings)
    return edited.proof.outside_max_abs_diff


# Time and memory, at SD 1.5's size.


class _FullSizeParsing(nn.Module):
    """Returns the built-in parser's result at the cost of the public one with random weights."""

    def __init__(self, starter: FaceParser) -> None:
        super().__init__()
        self.public, self.starter = BiSeNet().eval(), starter.network

    def forward(self, pixels: Tensor) -> Tensor:
        self.public(pixels)
        return self.starter(pixels)[0]


@dataclass(frozen=True)
class _Measured:
    """Seconds of a run, seconds of each of its UNet calls, peak memory in bytes (0: unknown)."""

    seconds: float
    unet: list[float]
    peak: int


def _cost(quick: bool) -> dict[str, float]:
    """overhead_ratio and memory_ratio of the whole edit over plain inpainting."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # On a CPU a step of this UNet takes half a minute, so one step is run and counted as twenty.
    steps = 1 if device.type == "cpu" else STEPS
    size, repeats = (256, 1) if quick else (512, 3)
    say(f"SD 1.5's size with random weights on {device}: {repeats} x {steps} steps at {size} px")
    engine = sd15_engine(device)
    starter = load_face_parser(starter_file("face_parser"))
    picture = _astronaut(size)
    mask = torch.zeros(1, size, size)
    mask[:, size // 8 : size // 2, size // 3 : size // 2] = 1

    def plain() -> None:
        engine.decode(_sample(engine, picture, mask, steps, soft=False))

    def edit() -> None:
        settings = FaceEditSettings(size=size, steps=steps, guidance=GUIDANCE, seed=SEED)
        parser = FaceParser(_FullSizeParsing(starter).to(device), PUBLIC_INPUT_SIZE, "full size")
        adapter = FaceAwareTextAdapter(engine.width).to(device)
        edit_faces(picture, PROMPT, engine, parser, settings, adapter)

    runs: dict[str, list[_Measured]] = {"plain": [], "edit": []}
    for repeat in range(repeats):
        for name, work in (("plain", plain), ("edit", edit)):
            runs[name].append(_measure(engine.unet, work, device))
            say(f"  {name} {repeat + 1}/{repeats}: {runs[name][-1].seconds:.1f} s")
    everything = [*runs["plain"], *runs["edit"]]
    step = statistics.median(seconds for run in everything for seconds in run.unet)

    def seconds(name: str) -> float:
        around = statistics.median(run.seconds - sum(run.unet) for run in runs[name])
        return around + STEPS * step

    figures = {"overhead_ratio": seconds("edit") / seconds("plain")}
    peaks = {name: max(run.peak for run in measured) for name, measured in runs.items()}
    if peaks["plain"]:
        figures["memory_ratio"] = peaks["edit"] / peaks["plain"]
    return figures


def sd15_engine(device: torch.device) -> DiffusersEngine:
    """Stable Diffusion 1.5 inpainting with random weights and a smaller tokenizer."""
    tokenizer = CLIPTokenizer.from_pretrained(starter_file("tokenizer").parent)
    with torch.device("meta"):
        unet = build_unet(SD15_UNET, SD15_TEXT["hidden_size"], 64)
    # Drawing 860 million weights takes longer than a step, so a million are drawn and repeated.
    unet.to_empty(device=device)
    drawn = torch.empty(2**20, device=device).uniform_(-0.03, 0.03)
    for weights in unet.parameters():
        for part in weights.view(-1).split(len(drawn)):
            part.copy_(drawn[: len(part)])
    vae = build_vae(SD15_VAE, 512).to(device)
    text_encoder = build_text_encoder(SD15_TEXT, tokenizer).to(device)
    parts = [part.eval() for part in (unet, vae, text_encoder)]
    return DiffusersEngine(*parts, tokenizer, read_config("scheduler"))


def _measure(unet: nn.Module, work: Callable[[], None], device: torch.device) -> _Measured:
    with _timed_calls(unet, device) as calls, peak_memory(device) as peak:
        start = _now(device)
        work()
        seconds = _now(device) - start
    return _Measured(seconds, calls, peak())


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def _timed_calls(network: nn.Module, device: torch.device) -> Iterator[list[float]]:
    """Seconds of each call of a network, added to the list as they happen."""
    starts, seconds = [], []
    hooks = [
        network.register_forward_pre_hook(lambda *_: starts.append(_now(device))),
        network.register_forward_hook(lambda *_: seconds.append(_now(device) - starts[-1])),
    ]
    yield seconds
    for hook in hooks:
        hook.remove()


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Callable[[], int]]:
    """Yield a function for the peak memory since the start, in bytes; 0 if unknown."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device)
        return
    status = Path("/proc/self/status")
    if not status.exists():
        yield lambda: 0
        return
    Path("/proc/self/clear_refs").write_text("5")  # resets the process's high-water mark

    def high_water() -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    yield high_water

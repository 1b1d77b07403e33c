"""The diffusers engine: for training, evaluation, batch jobs and machines without ComfyUI.

The same files, seed and settings give the same latents as the ComfyUI engine, to 1e-4 in float32.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ...diffusion.interface import Denoiser
from ...diffusion.noise_schedule import NoiseSchedule
from ...models.checkpoints import read_weights
from ...models.face_edit import FaceEditWeights, require_matching_shapes
from ...models.starter_files import STARTER, read_config, read_text_encoder, starter_file


class SdxlText(NamedTuple):
    """A prompt for SDXL: embeddings [B, T, d] and the second encoder's pooled one [B, p]."""

    text: Tensor
    pooled: Tensor


class DiffusersEngine:
    """A pipeline's parts behind `diffusion.interface.Engine`.

    Latents live on the engine's device; pictures and text come from and go to the CPU.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        scheduler: dict[str, Any],
    ) -> None:
        self.unet = unet
        self.vae = vae
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.noise_schedule = NoiseSchedule.from_config(scheduler)
        self.prediction = scheduler.get("prediction_type", "epsilon")
        if self.prediction not in ("epsilon", "v_prediction"):
            raise ValueError(
                f"Unknown prediction type {self.prediction!r}; known are epsilon, v_prediction."
            )

    @classmethod
    def load(
        cls,
        folder: str | Path = STARTER,
        face_edit: FaceEditWeights | None = None,
        strength: float = 1.0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> DiffusersEngine:
        """An engine from a diffusers pipeline folder, with a face-edit file's K/V weights applied.

        Raises FileNotFoundError or ValueError when a file is missing, damaged or made for another
        model.
        """
        folder = Path(folder)
        unet = without_weights(UNet2DConditionModel, read_config("unet", folder))
        path = starter_file("unet", folder)
        _load(unet, read_weights(path), path)
        if face_edit is not None:
            add_face_edit(unet, face_edit, strength)
        vae = without_weights(AutoencoderKL, read_config("vae", folder))
        path = starter_file("vae", folder)
        _load(vae, read_weights(path), path)
        text_encoder = CLIPTextModel(CLIPTextConfig.from_dict(read_config("text_encoder", folder)))
        _load_text_encoder(text_encoder, folder)
        tokenizer = CLIPTokenizer.from_pretrained(starter_file("tokenizer", folder).parent)
        for part in (unet, vae, text_encoder):
            # diffusers' part.to would warn of float32 layers, of which there are none.
            nn.Module.to(part.eval().requires_grad_(False), device, dtype)
        return cls(unet, vae, text_encoder, tokenizer, read_config("scheduler", folder))

    @property
    def width(self) -> int:
        return self.text_encoder.config.hidden_size

    @property
    def native_size(self) -> int:
        return 8 * self.unet.config.sample_size

    @property
    def latent_scale(self) -> float:
        return self.vae.config.scaling_factor

    @property
    def sigma_max(self) -> float:
        return self.noise_schedule.sigma_max

    def sigmas(self, scheduler: str, steps: int, denoise: float = 1.0) -> Tensor:
        """See `Engine.sigmas`; schedulers "normal" and "simple"."""
        return self.noise_schedule.schedule(scheduler, steps, denoise)

    def encode_text(self, prompts: list[str]) -> Tensor:
        """Embeddings [B, T, d]; T is a multiple of CLIP's 77, so that long prompts are read whole.

        Prompts of unlike length meet at a common multiple: one that is repeated is the same to
        cross-attention.
        """
        embeddings = [self._encode_prompt(prompt) for prompt in prompts]
        return torch.cat(_at_one_length(embeddings))

    def _encode_prompt(self, prompt: str) -> Tensor:
        """Embedding [1, T, d] of a prompt, in windows of as many words as the encoder takes."""
        length = self.text_encoder.config.max_position_embeddings
        # Not verbose: it would warn of what the windows below see to.
        start, *words, end = self.tokenizer(prompt, verbose=False)["input_ids"]
        windows = [words[i : i + length - 2] for i in range(0, len(words), length - 2)] or [[]]
        rows = [[start, *part] + [end] * (length - 1 - len(part)) for part in windows]
        rows = torch.tensor(rows, device=self.text_encoder.device)
        embedding = self.text_encoder(rows).last_hidden_state.float()
        return embedding.reshape(1, -1, self.width)

    def encode(self, image: Tensor) -> Tensor:
        """See `Engine.encode`: the mean of the posterior, not a sample."""
        pixels = (image.movedim(-1, 1) * 2 - 1).to(self.vae.device, self.vae.dtype)
        return self.vae.encode(pixels).latent_dist.mode().float()

    def decode(self, latent: Tensor) -> Tensor:
        """See `Engine.decode`."""
        pixels = self.vae.decode(latent.to(self.vae.device, self.vae.dtype)).sample
        return ((pixels.float() + 1) / 2).clamp(0, 1).movedim(1, -1).cpu()

    def denoiser(
        self,
        positive: Tensor | SdxlText,
        negative: Tensor | SdxlText,
        guidance: float,
        concat: Tensor | None,
    ) -> Denoiser:
        """See `Engine.denoiser`: one UNet call for both prompts, or for the positive one alone
        where guidance is 1.

        Prompts of an SDXL UNet come with their pooled embeddings; it is told that the picture is
        uncropped and of the latent's size. Raises ValueError when the UNet takes another number of
        channels than 4 and concat's.
        """
        channels, extra = self.unet.config.in_channels, 0 if concat is None else concat.shape[1]
        if channels != 4 + extra:
            raise ValueError(
                f"The UNet takes {channels} channels, and the latent and the inpainting condition "
                f"have 4 + {extra}. Use an inpainting model (9 channels) with a condition."
            )
        given = [positive] if guidance == 1 else [positive, negative]
        pooled = [prompt.pooled for prompt in given if isinstance(prompt, SdxlText)]
        prompts = _at_one_length([p.text if isinstance(p, SdxlText) else p for p in given])
        # Asking diffusers for these walks over every module, so once a run.
        device, dtype = self.unet.device, self.unet.dtype

        def denoise(x: Tensor, sigma: Tensor, **_: Any) -> Tensor:
            level = sigma.view(-1, 1, 1, 1)
            shown = x / (level**2 + 1).sqrt()
            if concat is not None:
                shown = torch.cat((shown, concat.to(x.device).expand(len(x), -1, -1, -1)), dim=1)
            text = torch.cat([prompt.expand(len(x), -1, -1) for prompt in prompts])
            output = self.unet(
                shown.repeat(len(prompts), 1, 1, 1).to(dtype),
                self.noise_schedule.timestep(sigma).repeat(len(prompts)),
                encoder_hidden_states=text.to(device, dtype),
                added_cond_kwargs=_picture_facts(pooled, x) if pooled else None,
            ).sample.float()
            denoised = [self._denoised(x, level, part) for part in output.chunk(len(prompts))]
            if len(denoised) == 1:
                return denoised[0]
            return denoised[1] + (denoised[0] - denoised[1]) * guidance

        return denoise

    def _denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        if self.prediction == "epsilon":
            return x - output * sigma
        return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1).sqrt()


def _picture_facts(pooled: list[Tensor], x: Tensor) -> dict[str, Tensor]:
    """What SDXL is told beside the prompt: original size, corner of the crop and target size."""
    height, width = (8 * cells for cells in x.shape[-2:])
    facts = x.new_tensor([height, width, 0, 0, height, width])
    texts = torch.cat([part.to(x).expand(len(x), -1) for part in pooled])
    return {"text_embeds": texts, "time_ids": facts.expand(len(texts), -1)}


def _at_one_length(embeddings: list[Tensor]) -> list[Tensor]:
    """Embeddings [B, T, d], each repeated along T to the smallest common multiple."""
    length = math.lcm(*(embedding.shape[1] for embedding in embeddings))
    return [embedding.repeat(1, length // embedding.shape[1], 1) for embedding in embeddings]


def without_weights(kind: type, config: dict[str, Any]) -> nn.Module:
    """A network of diffusers' class `kind` whose weights are still to be assigned."""
    # Filling 860 million weights with random numbers first would take half a minute.
    with torch.device("meta"):
        return kind.from_config(config)


def _load(module: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(
            {name: value.float() for name, value in weights.items()}, assign=True
        )
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not fit the config.json beside it; get the whole folder again. {error}"
        ) from error


def _load_text_encoder(text_encoder: CLIPTextModel, folder: Path) -> None:
    # transformers 4 puts the prefix before every name and transformers 5 does not.
    prefix = "text_model." if hasattr(text_encoder, "text_model") else ""
    weights = {prefix + name: value for name, value in read_text_encoder(folder).items()}
    _load(text_encoder, weights, starter_file("text_encoder", folder))


def add_face_edit(unet: UNet2DConditionModel, weights: FaceEditWeights, strength: float) -> None:
    """Move a UNet's K and V projections towards a face-edit file's; ValueError if it fits not."""
    parameters = dict(unet.named_parameters())
    require_matching_shapes(weights, {name: value.shape for name, value in parameters.items()})
    with torch.no_grad():
        for name, delta in weights.kv.items():
            parameters[name] += strength * delta.float()

"""DiffStyler's two code releases, written a second time on a diffusers UNet, against the node's.

The releases run three rows at once, the content's latent of the level under the empty prompt and
twice the painted latent, once in the base UNet and once in each style's. Rows 1 and 2 take over the
first row's feature, queries and keys. LoRAs do not act in attentions that are taken over.
"""

import copy

import pytest
import torch
from visage.engines.diffusers.branches import DiffusersRun, blank_condition
from visage.models.style_lora import Factors, StyleLora
from visage.techniques.diffstyler import DiffStylerSettings, cell_weights
from visage.techniques.restyling import RegionStyle, invert_picture, paint_styles

SHAPE = (1, 4, 12, 14)
STEPS, INVERSION_STEPS, GUIDANCE = 4, 8, 2.0
NEGATIVE, PROMPTS = "blue background", ["a face of a woman", "red hair"]
# Decoder layers by block and place: the feature's, and those whose attentions are taken over.
FEATURE = (1, 1)
TAKEN_OVER = [(1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)]


class Release:
    """A UNet whose rows 1 and 2 take over what the first row makes, as the releases hook it."""

    def __init__(self, unet, feature_steps, attention_steps, adaptive, cross) -> None:
        self.unet, self.ratio, self.step = unet, 1.0, 0
        self.feature_steps, self.attention_steps = feature_steps, attention_steps
        self.adaptive = adaptive
        block, place = FEATURE
        unet.up_blocks[block].resnets[place].conv2.register_forward_hook(self.feature)
        for name in attention_names(cross):
            attention = unet.get_submodule(name)
            attention.to_q.register_forward_hook(self.attention)
            attention.to_k.register_forward_hook(self.attention)

    def feature(self, module, inputs, out):
        return self.mixed(out, 1.0) if self.step < self.feature_steps else out

    def attention(self, module, inputs, out):
        return self.mixed(out, self.ratio) if self.step < self.attention_steps else out

    @staticmethod
    def mixed(rows, ratio):
        return torch.cat([rows[:1], ratio * rows[:1] + (1 - ratio) * rows[1:]])

    def __call__(self, step, timestep, rows, texts, shown):
        self.step = step
        self.ratio = min(1.0, 2 * timestep / 1000) if self.adaptive else 1.0
        seen = torch.cat([rows, shown.expand(len(rows), -1, -1, -1)], dim=1)
        return self.unet(seen, timestep, texts).sample


def attention_names(cross):
    kinds = ("attn1", "attn2") if cross else ("attn1",)
    return [
        f"up_blocks.{block}.attentions.{place}.transformer_blocks.0.{kind}"
        for block, place in TAKEN_OVER
        for kind in kinds
    ]


def with_lora(unet, lora, bypassed):
    """A copy of the UNet with the LoRA merged everywhere but in some modules."""
    unet = copy.deepcopy(unet)
    for name, module in unet.named_modules():
        factors = lora.layers.get(name.replace(".", "_"))
        if factors is not None and not name.startswith(tuple(f"{part}." for part in bypassed)):
            module.weight.data += factors.up @ factors.down
    return unet


def ddim(latent, noise, alpha, next_alpha):
    clean = (latent - (1 - alpha).sqrt() * noise) / alpha.sqrt()
    return next_alpha.sqrt() * clean + (1 - next_alpha).sqrt() * noise


def cumulated_alphas():
    """Of Stable Diffusion's "scaled linear" schedule."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0).float()


@torch.no_grad()
def inverted_by_release(unet, latent, empty, shown):
    """Latents by timestep, upward in strides of 125, and the clean one at -1."""
    alphas, latents = cumulated_alphas(), {-1: latent}
    alpha = alphas[0]
    for timestep in range(1, 752, 125):
        seen = torch.cat([latent, shown], dim=1)
        noise = unet(seen, timestep, empty).sample
        latent, alpha = ddim(latent, noise, alpha, alphas[timestep]), alphas[timestep]
        latents[timestep] = latent
    return latents


@torch.no_grad()
def painted_by_release(unet, loras, latents, texts, masks, shown, year):
    alphas = cumulated_alphas()
    cross = year == 2024
    bypassed = attention_names(cross)
    networks = [Release(copy.deepcopy(unet), STEPS, STEPS, year == 2025, cross)] + [
        Release(with_lora(unet, lora, bypassed), 2, 2, year == 2025, cross) for lora in loras
    ]
    empty, negative, *prompts = texts
    latent = latents[751]
    for step, timestep in enumerate(range(751, 0, -250)):
        rows = torch.cat([latents[timestep], latent, latent])
        merged = None
        for place, (network, prompt) in enumerate(zip(networks, [empty, *prompts], strict=True)):
            words = torch.stack([empty, negative, prompt])
            noise = network(step, timestep, rows, words, shown)
            merged = noise if merged is None else torch.where(masks[place - 1], noise, merged)
        noise = merged[1] + GUIDANCE * (merged[2] - merged[1])
        alpha, below = alphas[timestep], alphas[max(timestep - 250, 0)]
        latent = ddim(latent, noise.unsqueeze(0), alpha, below)
    return latent


@pytest.fixture(scope="module")
def loras(diffusers_engine):
    generator = torch.Generator().manual_seed(1)

    def factors(module):
        out, width = module.weight.shape
        down, up = (torch.randn(*size, generator=generator) for size in ((2, width), (out, 2)))
        return Factors(0.1 * down, 0.1 * up, 2.0)

    ends = (".to_q", ".to_k", ".to_v", ".to_out.0")
    return [
        StyleLora(
            {
                name.replace(".", "_"): factors(module)
                for name, module in diffusers_engine.unet.named_modules()
                if name.endswith(ends)
            }
        )
        for _ in PROMPTS
    ]


@pytest.fixture(scope="module")
def masks():
    """Two overlapping regions of pixels, [2, 1, H, W]; the second wins."""
    masks = torch.zeros(2, 1, 96, 112)
    masks[0, :, :60, :70] = 1
    masks[1, :, 37:90, 44:] = 1
    return masks


@pytest.mark.parametrize("year", [2024, 2025])
def test_the_release_is_a_setting(year, diffusers_engine, loras, masks):
    engine = diffusers_engine
    texts = engine.encode_text(["", NEGATIVE, *PROMPTS])
    latent = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))
    settings = DiffStylerSettings(
        guidance=GUIDANCE,
        inject_source="self",
        inject_cross=year == 2024,
        background="base",
        background_attention="adaptive" if year == 2025 else "hard",
    )
    with torch.inference_mode():
        run = DiffusersRun(engine, SHAPE)
        inverted = invert_picture(run, latent, texts[0], STEPS, INVERSION_STEPS)
        styles = [
            RegionStyle(text, texts[1], lora) for text, lora in zip(texts[2:], loras, strict=True)
        ]
        weights = cell_weights(masks, torch.ones(2), "official")
        node = paint_styles(run, inverted, styles, weights, settings, lora_in_hooked=False)

    shown = blank_condition(engine, SHAPE)
    latents = inverted_by_release(
        engine.unet, latent * engine.latent_scale, texts[:1].clone(), shown
    )
    cells = masks.unfold(2, 8, 8).unfold(3, 8, 8)[..., 3:5, 3:5].amax(dim=(-2, -1)) > 0
    release = painted_by_release(
        engine.unet, loras, latents, texts.clone(), cells.unsqueeze(1), shown, year
    )
    difference = float((node * engine.latent_scale - release).abs().max())
    assert difference < 3e-5, f"largest difference {difference:.2e}"
    assert (release - latents[-1]).abs().max() > 0.5
    other = painted_by_release(
        engine.unet, loras, latents, texts.clone(), cells.unsqueeze(1), shown, 4049 - year
    )
    assert (release - other).abs().max() > 0.01, "the two releases differ"

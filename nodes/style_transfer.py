"""Style from a picture through what a diffusion model makes of it."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..engines.comfyui.style_transfer import restyle_latent
from ..techniques.attention_distillation import AttentionDistillation
from ..techniques.latent_adain import latent_adain
from ..techniques.latent_masks import cell_mask
from ..techniques.query_preserving import QueryPreserving
from ..techniques.shapes import as_mask
from .menu import menu
from .notes import note_empty_mask

HOSTS = ("query-preserving", "attention distillation")


class VisageLatentAdaIN(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLatentAdaIN",
            display_name="Latent AdaIN",
            **menu("Style", "adaptive instance normalization", "colour match", "color transfer"),
            description="Gives a latent the colours and contrast of another one: each channel "
            "takes the mean and spread of the style's (adaptive instance normalisation). A quick "
            "colour match before sampling, or after it.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Latent.Input("content", tooltip="The latent that changes."),
                io.Latent.Input(
                    "style",
                    tooltip="The latent whose statistics it takes, of any size: one for all, or "
                    "one for each content.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How strongly the content changes: 0 leaves it as it is, bit for bit.",
                ),
                io.Mask.Input(
                    "content_mask",
                    optional=True,
                    tooltip="The part of the content that is measured and changed, at the content "
                    "picture's size, soft or hard. Without a mask, all of it.",
                ),
                io.Mask.Input(
                    "style_mask",
                    optional=True,
                    tooltip="The part of the style that is measured, at the style picture's size. "
                    "Mask out a face to ignore its colours.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="The content in the style's colours, for a sampler or VAE Decode.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, content, style, strength: float, content_mask=None, style_mask=None
    ) -> io.NodeOutput:
        note_empty_mask(cls, content_mask, "content_mask")
        note_empty_mask(cls, style_mask, "style_mask")
        samples = latent_adain(
            content["samples"],
            style["samples"],
            strength,
            _cells(content_mask, content["samples"], "content_mask"),
            _cells(style_mask, style["samples"], "style_mask"),
        )
        return io.NodeOutput({**content, "samples": samples})


class VisageStyleTransfer(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageStyleTransfer",
            display_name="Style Transfer",
            **menu(
                "Style",
                "style injection",
                "attention style",
                "attention distillation",
                "training-free style",
            ),
            description="Paints the content in the style of a picture, without training: the "
            "model's self-attention attends to the style instead of the picture itself. Put an "
            "Identity Guard on the model to keep the person. Finish with VAE Decode.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model that paints; with an Identity Guard on it, faces are kept.",
                ),
                io.Conditioning.Input(
                    "positive",
                    tooltip="The prompt of all passes: usually the empty one, from CLIP Text "
                    "Encode.",
                ),
                io.Latent.Input("content", tooltip="The picture to restyle, from VAE Encode."),
                io.Latent.Input(
                    "style",
                    tooltip="The picture whose style it takes, from VAE Encode, of any size: one "
                    "for all, or one for each content.",
                ),
                io.Combo.Input(
                    "host",
                    options=list(HOSTS),
                    default=HOSTS[0],
                    tooltip="query-preserving (StyleID): inverts both pictures and samples once; "
                    "needs no gradients, so runs wherever sampling runs. attention distillation: "
                    "optimises the latent, takes more style, and needs about as much memory as "
                    "training.",
                ),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=500,
                    tooltip="Steps of sampling or of optimising. 50 is StyleID's, 200 attention "
                    "distillation's.",
                ),
                io.Int.Input(
                    "inversion_steps",
                    default=100,
                    min=10,
                    max=999,
                    tooltip="query-preserving: how finely both pictures are inverted, in steps for "
                    "the whole schedule; rounded up so that every step is among them.",
                ),
                io.Float.Input(
                    "gamma",
                    default=0.75,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="query-preserving: how much of the content's queries is kept. 0.75 is "
                    "the paper's, 0.3 takes much style and little layout.",
                ),
                io.Float.Input(
                    "temperature",
                    default=1.5,
                    min=0.5,
                    max=4.0,
                    step=0.1,
                    tooltip="query-preserving: sharpness of the attention to the style; 1.5 makes "
                    "up for the blur of mixed queries.",
                ),
                io.Float.Input(
                    "adain",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="query-preserving: how much the initial latent takes on the style's "
                    "colours and contrast.",
                ),
                io.Float.Input(
                    "content_weight",
                    default=0.25,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip="attention distillation: weight of the content against the style; 0.26 "
                    "for faces, 0.2 for sketches.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=0.05,
                    min=0.001,
                    max=1.0,
                    step=0.005,
                    tooltip="attention distillation: Adam's learning rate.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="The content in the style, for VAE Decode.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, model, positive, content, style, host: str, steps: int, inversion_steps: int,
        gamma: float, temperature: float, adain: float, content_weight: float,
        learning_rate: float,
    ) -> io.NodeOutput:  # fmt: skip
        if host == HOSTS[0]:
            settings = QueryPreserving(gamma, temperature, adain)
        else:
            settings = AttentionDistillation(steps, content_weight, learning_rate)
        samples = restyle_latent(
            model, positive, content["samples"], style["samples"], settings, steps, inversion_steps
        )
        return io.NodeOutput({**content, "samples": samples})


def _cells(mask: Tensor | None, latent: Tensor, name: str) -> Tensor | None:
    """A mask at the latent's size, [B, 1, h, w]."""
    return None if mask is None else cell_mask(as_mask(mask, name), *latent.shape[-2:], name)


NODES: list[type[io.ComfyNode]] = [VisageLatentAdaIN, VisageStyleTransfer]

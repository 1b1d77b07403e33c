"""DiffStyler: paint styles into an inverted picture, each in its own region."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.diffstyler import paint_regions
from ..techniques.diffstyler import CHOICES, DiffStylerSettings
from .menu import menu
from .sockets import RegionsSocket, TrajectorySocket


class VisageDiffStyler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageDiffStyler",
            display_name="DiffStyler",
            **menu("Style", "regional style", "feature injection", "local style transfer"),
            description="Paints styles into an inverted picture, each in its own region, and keeps "
            "the picture's layout by injecting the base model's features and attention. Finish "
            "with VAE Decode and Pixel Blend.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The base model that made the inversion; with an Identity Guard on it, "
                    "faces hold on to the content longer.",
                ),
                TrajectorySocket.Input("trajectory", tooltip="From Invert."),
                RegionsSocket.Input("regions", tooltip="From Style Region, one for each style."),
                io.Float.Input(
                    "guidance",
                    default=10.5,
                    min=1.0,
                    max=30.0,
                    step=0.5,
                    tooltip="Classifier-free guidance: higher values follow the prompts more "
                    "closely. At 1 the negative prompts have no effect, and sampling is twice as "
                    "fast.",
                ),
                io.Combo.Input(
                    "inject_source",
                    options=list(CHOICES["inject_source"]),
                    default="base",
                    tooltip="base: inject what the base model makes of the content, once for all "
                    "styles, as in the paper. self: what each style's own model makes of it, as "
                    "in the paper's released code; slower.",
                ),
                io.Combo.Input(
                    "attention",
                    options=list(CHOICES["attention"]),
                    default="hard",
                    tooltip="hard: replace queries and keys during each region's attention_steps. "
                    "adaptive: mix them in all steps, with a weight that falls.",
                ),
                io.Float.Input(
                    "kappa",
                    default=2.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    tooltip="How long adaptive attention holds on to the content: at 2 fully for "
                    "the first half of the run. Used when attention is adaptive.",
                ),
                io.Boolean.Input(
                    "inject_cross",
                    default=False,
                    tooltip="Inject into cross-attention as well, as the paper's first release "
                    "did. Keeps more content and takes less style.",
                ),
                io.Boolean.Input(
                    "lora_in_hooked",
                    default=True,
                    tooltip="Let LoRAs act in the self-attentions that are injected into, too. Off "
                    "is the paper's released code: less style.",
                ),
                io.Combo.Input(
                    "background",
                    options=list(CHOICES["background"]),
                    default="latent",
                    tooltip="Outside the regions. latent: the picture itself, exactly. base: "
                    "painted again by the base model, under guidance, as in the paper's released "
                    "code. base_cfg1: the same without guidance.",
                ),
                io.Float.Input(
                    "base_feature_steps",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="feature_steps of a background that the base model paints.",
                ),
                io.Float.Input(
                    "base_attention_steps",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="attention_steps of a background that the base model paints.",
                ),
                io.Combo.Input(
                    "mask_mode",
                    options=["soft", "half", "official"],
                    default="soft",
                    tooltip="How a mask becomes latent cells. soft: each cell's mean. half: that "
                    "mean, rounded. official: 1 where the middle of a cell is masked at all, as "
                    "in the paper's released code.",
                ),
                io.Combo.Input(
                    "style_blend",
                    options=list(CHOICES["style_blend"]),
                    default="mask",
                    tooltip="mask: each style in its own region. temporal: all styles in all "
                    "regions, one after the other: the first sets layout and colour, the last "
                    "texture.",
                ),
                io.Combo.Input(
                    "background_attention",
                    options=list(CHOICES["background_attention"]),
                    default="as the styles",
                    optional=True,
                    tooltip="attention of a background that the base model paints. adaptive, with "
                    "hard for the styles, is the paper's released code of 2025; hard for both that "
                    "of 2024.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="The painted picture, for VAE Decode.",
                ),
                io.Mask.Output(
                    "mask",
                    display_name="mask",
                    tooltip="All regions together, for Soft Mask and Pixel Blend.",
                ),
                io.Image.Output(
                    "overlay",
                    display_name="overlay",
                    tooltip="The picture with the regions in colour, under their names.",
                ),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="JSON: steps, and each region's name, fraction of the picture and "
                    "warnings.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, model, trajectory, regions, guidance: float, inject_source: str, attention: str,
        kappa: float, inject_cross: bool, lora_in_hooked: bool, background: str,
        base_feature_steps: float, base_attention_steps: float, mask_mode: str, style_blend: str,
        background_attention: str = "as the styles",
    ) -> io.NodeOutput:  # fmt: skip
        settings = DiffStylerSettings(
            guidance, inject_source, attention, kappa, inject_cross, background,
            base_feature_steps, base_attention_steps, style_blend, background_attention,
        )  # fmt: skip
        painted = paint_regions(model, trajectory, regions, settings, lora_in_hooked, mask_mode)
        return io.NodeOutput({"samples": painted.latent}, *painted[1:])


NODES: list[type[io.ComfyNode]] = [VisageDiffStyler]

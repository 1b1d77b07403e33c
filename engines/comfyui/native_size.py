"""The picture size that a model was trained at, for nodes whose size is 0."""

from __future__ import annotations

from comfy.model_patcher import ModelPatcher

ATTACHMENT = "visage_native_size"
# By the width of the text embeddings: SD 1.x, SD 2.x, SDXL. Newer models are made for 1024 px.
SIZES = {768: 512, 1024: 768, 2048: 1024}
NEWER = 1024


def native_size(model: ModelPatcher) -> int:
    """The model's own size in pixels: what its loader attached, else that of its family."""
    attached = model.get_attachment(ATTACHMENT)
    if attached:
        return attached
    config = getattr(model.model.model_config, "unet_config", None) or {}
    return SIZES.get(config.get("context_dim"), NEWER)


def chosen_size(size: int, model: ModelPatcher | None, smallest: int = 64) -> int:
    """`size`, or for 0 the model's own.

    Raises ValueError for 0 without a model, and for other sizes below `smallest`.
    """
    if size >= smallest:
        return size
    if size:
        raise ValueError(
            f"size is {size}; expected {smallest} pixels or more, or 0 for the model's own size."
        )
    if model is None:
        raise ValueError(
            "size is 0, which means the model's own size, and no model is connected. Connect the "
            "model that will paint, or choose a size in pixels."
        )
    return native_size(model)

"""A face-edit file's cross-attention weights as patches of a MODEL.

Importable only inside ComfyUI.
"""

from __future__ import annotations

import comfy.utils
from comfy.model_patcher import ModelPatcher

from ...models.face_edit import FaceEditWeights, require_matching_shapes


def apply_face_edit(model: ModelPatcher, weights: FaceEditWeights, strength: float) -> ModelPatcher:
    """A clone of the model with its cross-attention K/V projections moved by the file's weights.

    Strength 0 is the model as it was. Raises ValueError, naming both shapes, when the file was
    made for another model.
    """
    key_map = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    own = model.model.diffusion_model.state_dict()
    shapes = {name: own[key].shape for name, key in key_map.items() if key in own}
    require_matching_shapes(weights, shapes)
    patched = model.clone()
    if strength != 0:
        patches = {
            f"diffusion_model.{key_map[name]}": ("diff", (delta,))
            for name, delta in weights.kv.items()
        }
        patched.add_patches(patches, strength)
    return patched

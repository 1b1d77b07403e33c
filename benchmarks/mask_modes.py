"""Whether the inpainting UNet and the sampler should see a soft or a hard mask.

Every pair of VisageSoftInpaint's `mask_mode` and `noise_mask` edits the same held-out portraits of
the starter world with the same prompts and noise. Each pair has two figures: `ring_error`, the mean
absolute difference of the raw edit and the original where the soft mask is between 0 and 1,
weighted by 4 M (1 - M) (the larger it is, the less the blend can hide), and `found`, the fraction
of edits in which an independent classifier finds what the prompt named.
"""

from __future__ import annotations

import sys
from itertools import product
from statistics import fmean

from torch import Tensor

from ..evaluation.attributes import judge_with, people_without, prompt_for
from ..evaluation.editing import load_edit
from ..evaluation.held_out import as_batch, as_pictures
from ..models.attribute_classifier import ATTRIBUTES, load_attribute_classifier
from ..models.face_parser import load_face_parser
from ..models.starter_files import starter_file

PEOPLE_PER_ATTRIBUTE = 8
MODES = tuple(product(("soft", "hard"), ("soft", "hard", "none")))


def ring_error(edited: Tensor, original: Tensor, mask: Tensor) -> float:
    """Mean absolute difference of pictures [B, H, W, 3], weighted by 4 M (1 - M)."""
    weight = 4 * mask * (1 - mask)
    difference = (edited - original).abs().mean(dim=-1)
    return float((weight * difference).sum() / weight.sum())


def run(quick: bool) -> dict[str, float]:
    """Both figures by name and pair, such as `ring_error_soft_hard` (mask_mode, noise_mask)."""
    count = 1 if quick else PEOPLE_PER_ATTRIBUTE
    edit = load_edit(load_face_parser(starter_file("face_parser")))
    judge = judge_with(load_attribute_classifier())
    errors: dict[str, list[float]] = {"_".join(pair): [] for pair in MODES}
    found: dict[str, list[bool]] = {"_".join(pair): [] for pair in MODES}
    for name, attribute in list(ATTRIBUTES.items())[:: 3 if quick else 1]:
        print(f"{name}: {count} people, {len(MODES)} ways", file=sys.stderr, flush=True)
        for person in people_without(attribute, count):
            prompt = prompt_for(person, attribute)
            for mask_mode, noise_mask in MODES:
                choices = {"mask_mode": mask_mode, "noise_mask": noise_mask}
                result = edit(person, prompt, (attribute.parts,), **choices)
                key = f"{mask_mode}_{noise_mask}"
                error = ring_error(result.edited, as_batch([person.image]), result.soft_mask)
                errors[key].append(error)
                seen = judge(as_pictures(result.blended)[0], person.landmarks)
                found[key].append(seen[name])
    figures = {f"ring_error_{key}": fmean(values) for key, values in errors.items()}
    return figures | {f"found_{key}": fmean(values) for key, values in found.items()}

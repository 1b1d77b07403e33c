"""Segment Anything from local files: every segment of a picture, whatever it shows.

Kirillov et al., "Segment Anything" (ICCV 2023); any model that transformers' mask generation takes.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from .managed_network import ManagedNetwork
from .transformers_folder import Plain, read_network

POINTS_A_SIDE = 32
"""Rows and columns of the grid of points at which the network is asked for segments."""


class SegmentAnything(ManagedNetwork):
    """A SAM-family model with its image processor."""

    def __init__(self, network: nn.Module, processor, name: str) -> None:
        super().__init__(Plain(network), name)
        self.processor = processor

    @torch.inference_mode()
    def segments(self, image: Tensor) -> Tensor:
        """Every segment of a picture [H, W, 3] in 0..1, bool [N, H, W]; N may be 0."""
        from PIL import Image
        from transformers import pipeline

        device, dtype = self.prepare()
        generate = pipeline(
            "mask-generation",
            model=self.network.model,
            image_processor=self.processor,
            device=device,
            dtype=dtype,
        )
        pixels = (image.cpu().clamp(0, 1) * 255).round().byte().numpy()
        found = generate(
            Image.fromarray(pixels), points_per_batch=64, points_per_crop=POINTS_A_SIDE
        )["masks"]
        planes = [torch.as_tensor(mask).bool().cpu() for mask in found]
        return torch.stack([torch.zeros(image.shape[:2], dtype=torch.bool), *planes])[1:]


def load_segment_anything(path: str | Path) -> SegmentAnything:
    """Read a SAM-family model from the folder of its weights file, as transformers saves it.

    Raises ModuleNotFoundError without transformers, and what `read_network` raises.
    """
    from transformers import AutoImageProcessor, AutoModelForMaskGeneration

    files = ("config.json", "preprocessor_config.json")
    network = read_network(AutoModelForMaskGeneration, path, files, "facebook/sam-vit-base")
    folder = Path(path).parent
    return SegmentAnything(network, AutoImageProcessor.from_pretrained(folder), folder.name)

"""The diffusers engine: for training, evaluation, batches and machines without ComfyUI."""

from .engine import DiffusersEngine

__all__ = ["DiffusersEngine"]

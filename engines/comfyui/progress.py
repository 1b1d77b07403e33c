"""The progress of a running node: its bar, its preview, and the user's interrupt.

Importable only inside ComfyUI.
"""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management
import comfy.utils
from PIL import Image
from torch import Tensor

from .loss_report import LossReport

PREVIEW_SIDE = 512


class Progress:
    """A function (done, total) that moves the running node's bar.

    It raises ComfyUI's InterruptProcessingException once the user has interrupted the run.
    """

    def __init__(self) -> None:
        self.bar = comfy.utils.ProgressBar(1)

    def __call__(self, done: int, total: int, picture: Tensor | None = None) -> None:
        """Show `done` of `total`, and a picture [H, W, 3] in 0..1 where there is one."""
        stop_if_interrupted()
        show(self.bar, done, total, picture)


class LearningProgress:
    """The bar and the loss curve of something that learns or optimises, on its node.

    `node_id` is the running node's, or None where no canvas watches. It does not raise: ask
    `ended_by_user`, or call `stop_if_interrupted`.
    """

    def __init__(self, node_id: str | None, steps: int) -> None:
        self.losses: list[float] = []
        self.report = LossReport(node_id, steps)
        self.bar = comfy.utils.ProgressBar(steps)

    def add(self, loss: float, done: int, total: int, picture: Tensor | None = None) -> None:
        """Show the loss of one more step, and a picture [H, W, 3] in 0..1 where there is one."""
        self.losses.append(loss)
        self.update(done, total, picture)

    def update(self, done: int, total: int, picture: Tensor | None = None) -> None:
        """Show `losses` as they are now."""
        self.report.steps = total
        self.report.send(self.losses)
        try:
            show(self.bar, done, total, picture)
        except comfy.model_management.InterruptProcessingException:
            # A server's bar raises and forgets the interrupt; a node that keeps what it has must
            # still be told of it.
            comfy.model_management.interrupt_current_processing(True)

    def ui(self) -> dict:
        """The data that the node's panel shows after the run."""
        return self.report.ui(self.losses)


def loss_map(losses: Sequence[float]) -> dict[str, list[float]]:
    """A LOSS_MAP for ComfyUI's Loss Graph, which divides by the range of the losses.

    A run that was interrupted at its first step has one loss; it, or equal ones, are followed by
    one that differs by less than anyone can see.
    """
    shown = list(losses) or [0.0]
    if min(shown) == max(shown):
        shown.append(shown[-1] * (1 + 1e-6) + 1e-12)
    return {"loss": shown}


def show(
    bar: comfy.utils.ProgressBar, done: int, total: int, picture: Tensor | None = None
) -> None:
    """Move a bar; the picture [H, W, 3] in 0..1 is the node's preview."""
    preview = None if picture is None else ("JPEG", _thumbnail(picture), None)
    bar.update_absolute(done, total, preview)


def _thumbnail(picture: Tensor) -> Image.Image:
    small = Image.fromarray((picture[..., :3].clamp(0, 1) * 255).round().byte().cpu().numpy())
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return small


def stop_if_interrupted() -> None:
    """End the run, by an exception, where the user has interrupted it."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def ended_by_user() -> bool:
    """Whether the user has interrupted the run, for nodes that keep what they have so far.

    The interrupt is cleared: it ends this node only, and the graph continues with its result.
    """
    if not comfy.model_management.processing_interrupted():
        return False
    comfy.model_management.interrupt_current_processing(False)
    return True

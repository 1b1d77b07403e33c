"""The loss of a training for the curve on its node, which web/loss_curve.js draws."""

from __future__ import annotations

import time
from collections.abc import Sequence

EVENT = "visage.loss"
MAX_POINTS = 240
SECONDS_BETWEEN = 0.25


class LossReport:
    """Sends the losses so far to the canvas that queued the training, several times a second."""

    def __init__(self, node_id: str | None, steps: int) -> None:
        self.node_id = node_id
        self.steps = steps
        self.sent_at = -SECONDS_BETWEEN

    def send(self, losses: Sequence[float]) -> None:
        """Show the losses of all steps so far."""
        now = time.monotonic()
        if self.node_id is None or (
            now - self.sent_at < SECONDS_BETWEEN and len(losses) < self.steps
        ):
            return
        self.sent_at = now
        # A server is there whenever a node has an id.
        from server import PromptServer

        canvas = PromptServer.instance
        canvas.send_sync(
            EVENT, {"node": self.node_id, **loss_curve(losses, self.steps)}, canvas.client_id
        )

    def ui(self, losses: Sequence[float]) -> dict:
        """The data that the node's panel shows after the run."""
        return {"loss_curve": [loss_curve(losses, self.steps)]}


def loss_curve(losses: Sequence[float], steps: int) -> dict:
    """At most MAX_POINTS points [step, loss], each the mean of equally many steps."""
    width = -(-len(losses) // MAX_POINTS)
    points = []
    for first in range(0, len(losses), width or 1):
        part = losses[first : first + width]
        points.append([first + (len(part) + 1) / 2, sum(part) / len(part)])
    return {"steps": steps, "points": points}

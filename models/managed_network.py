"""Networks whose device somebody else may choose, such as an engine's memory manager."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


class ManagedNetwork:
    """A network with a name.

    `on_use`, where set, is called before each run: it brings the network to a device and returns
    that device. Without it the network runs where its weights are.
    """

    def __init__(self, network: nn.Module, name: str) -> None:
        self.network = network
        self.name = name
        self.on_use: Callable[[], torch.device] | None = None

    def prepare(self) -> tuple[torch.device, torch.dtype]:
        """Make the network ready for a run; return the device and type of its first weights."""
        device = self.on_use() if self.on_use else None
        weight = next(self.network.parameters())
        return device or weight.device, weight.dtype

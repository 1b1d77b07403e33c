"""What differs between the versions of ComfyUI that the pack runs on, 0.3.64 and later."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io


def later_fields(
    search_aliases: Sequence[str] = (),
    essentials_category: str | None = None,
    has_intermediate_output: bool = False,
) -> dict[str, Any]:
    """Fields of `io.Schema` that later versions of ComfyUI have; a version without them gets none.

    `io.Schema(node_id=..., **later_fields(search_aliases=["swap style"]))`. `search_aliases` are
    other words by which the search finds the node, `essentials_category` its group in the
    Essentials tab. With `has_intermediate_output` the page gets what the node shows also when its
    result comes from the cache.
    """
    known = {field.name for field in dataclasses.fields(io.Schema)}
    fields = {
        "search_aliases": list(search_aliases),
        "essentials_category": essentials_category,
        "has_intermediate_output": has_intermediate_output,
    }
    return {name: value for name, value in fields.items() if value and name in known}


def later_flux() -> dict[str, Any]:
    """What ComfyUI's network for FLUX.1 must be told besides, in versions that ask for it."""
    from comfy.ldm.flux.model import FluxParams

    known = {field.name for field in dataclasses.fields(FluxParams)}
    fields: dict[str, Any] = {"txt_ids_dims": []}
    return {name: value for name, value in fields.items() if name in known}

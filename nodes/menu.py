"""Where a node stands on ComfyUI's menu, and the words by which its search finds it."""

from __future__ import annotations

from typing import Any

from ..engines.comfyui.core import later_fields

ROOT = "Visage"


def menu(
    category: str, *words: str, essential: bool = False, has_panel: bool = False
) -> dict[str, Any]:
    """What io.Schema takes for a node in Visage/`category` that is also found by these words.

    An essential node stands on the tab of essentials as well, under Visage. A node that shows its
    result in a panel of its own needs it from the cache as well. A ComfyUI without search words and
    essentials is given the category alone.
    """
    later = later_fields(words, ROOT if essential else None, has_panel)
    return {"category": f"{ROOT}/{category}", **later}

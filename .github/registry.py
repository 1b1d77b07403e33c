"""Tells the registry where the pack lives: python .github/registry.py OWNER/NAME

A clone or fork can live anywhere, so pyproject.toml names no address. Before publishing, this adds
the repository's: its links, and icon and banner as the registry shows them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
ICON, BANNER = "docs/images/icon.png", "docs/images/banner.jpg"


def with_addresses(project: str, repository: str, branch: str = "main") -> str:
    """The text of pyproject.toml with the addresses of a repository on GitHub, OWNER/NAME.

    Raises ValueError for a name that is none.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"{repository!r} is no OWNER/NAME of a repository.")
    home = f"https://github.com/{repository}"
    raw = f"https://raw.githubusercontent.com/{repository}/{branch}"
    urls = {
        "Homepage": home,
        "Repository": home,
        "Documentation": f"{home}/tree/{branch}/docs",
        "Issues": f"{home}/issues",
        "Changelog": f"{home}/blob/{branch}/CHANGELOG.md",
    }
    lines = "\n".join(f'{name} = "{address}"' for name, address in urls.items())
    project = project.replace("[project.scripts]", f"[project.urls]\n{lines}\n\n[project.scripts]")
    pictures = f'Icon = "{raw}/{ICON}"\nBanner = "{raw}/{BANNER}"\n'
    return project.replace('DisplayName = "Visage"\n', f'DisplayName = "Visage"\n{pictures}')


if __name__ == "__main__":
    PROJECT.write_text(
        with_addresses(PROJECT.read_text(encoding="utf-8"), sys.argv[1]), encoding="utf-8"
    )

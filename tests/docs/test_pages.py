"""README, the pages of docs/ and the help pages: every link and picture leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "models/starter/*.md", "benchmarks/results/*.md")
    for path in ROOT.glob(pattern)
)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_readme_is_short_and_names_every_node():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [page.stem for page in (ROOT / "web/docs").glob("*.md") if page.name not in text]
    assert missing == []
    assert len(text.splitlines()) < 200


def test_readmes_of_both_languages_say_the_same():
    english, korean = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md")
    )
    for pattern in (r"!\[[^\]]*\]\(([^)]+)\)", r"`(\w+_\w+)`", r"^(make \w+)"):
        assert set(re.findall(pattern, english, re.M)) == set(re.findall(pattern, korean, re.M))


def test_readme_names_every_workflow():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    suffixed = {name.removesuffix("_sd15").removesuffix("_sdxl") for name in names}
    missing = [name for name in suffixed if f"`{name}`" not in text and f"`{name}_" not in text]
    assert missing == []

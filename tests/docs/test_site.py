"""The documentation site builds strictly, its links lead somewhere, and it needs no other site."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import visage

# The site is built.
pytestmark = pytest.mark.slow
ROOT = Path(visage.__file__).parent
HELP = sorted(path.stem for path in (ROOT / "web/docs").glob("*.md"))
WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[str, str]:
    return {
        str(path.relative_to(site)): path.read_text(encoding="utf-8")
        for path in site.rglob("*.html")
        if path.name != "404.html"
    }


def test_every_node_has_a_page_with_its_place_on_the_menu(pages):
    for name in HELP:
        assert "Menu: Visage → " in pages[f"nodes/{name}.html"], name
    assert "0.0 to 512.0" in pages["nodes/VisageSoftMask.html"], "ranges come from the schema"
    assert "face detailer" in pages["nodes/VisageEditFaces.html"]


def test_every_workflow_is_in_the_gallery(pages):
    gallery = pages["gallery.html"]
    shown = set(re.findall(r'<h2 id="(\w+)"', gallery))
    assert shown == set(WORKFLOWS)
    assert set(re.findall(r'src="gallery/(\w+)\.jpg"', gallery)) == set(WORKFLOWS)


def test_every_link_and_picture_of_the_site_is_there(site, pages):
    lost = []
    for name, text in pages.items():
        for target in re.findall(r'(?:href|src)="([^"#?]+)', text):
            if target.startswith(("http:", "https:", "mailto:", "data:")):
                continue
            file = (site / name).parent / unquote(target)
            if not file.is_file() and not (file / "index.html").is_file():
                lost.append(f"{name}: {target}")
    assert lost == []


def test_nothing_is_fetched_from_elsewhere(pages):
    for name, text in pages.items():
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="(https?:[^"]+)', text)
        loaded += re.findall(r'<link[^>]* href="(https?:[^"]+)"[^>]*rel="stylesheet"', text)
        assert loaded == [], name

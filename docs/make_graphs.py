"""Makes the README's pictures of the pipelines' graphs: python docs/make_graphs.py [WORKFLOW ...]

Each shipped workflow runs on a private ComfyUI server, from its own page in Chromium, and the page
is photographed with the results on its nodes, or with `--without-run` as it is opened. Needs
ComfyUI, Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from visage.engines.comfyui.location import find_comfyui
from visage.headless.server import comfy_server
from visage.workflows.builder.stamp import stamp

IMAGES = Path(__file__).parent / "images"
WORKFLOWS = Path(__file__).parents[1] / "workflows"
SHOWN = (
    "face_edit",
    "style_many",
    "style_adapter",
    "style_keep_identity",
    "tradeoff_curve",
    "train_face_edit",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1900  # pixels
MAX_BYTES = 200_000
MARGIN = 20
TITLE = 30
READY = "window.app?.graph && Object.keys(LiteGraph.registered_node_types).length > 100"
# A first visit opens the templates; menus and map would lie over the graph.
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasMenu": False,
    "Comfy.UseNewMenu": "Disabled",
}
MENUS = ".side-tool-bar-container, .comfy-menu, .comfy-menu-hamburger { display: none !important; }"
SETTLING = 3000  # milliseconds
TIMEOUT = 1_800_000  # milliseconds; a training takes minutes on a CPU


def main() -> None:
    """Make the pictures that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workflows", nargs="*", default=SHOWN, metavar="WORKFLOW")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder to write")
    parser.add_argument("--without-run", action="store_true", help="as they are opened")
    given = parser.parse_args()
    with empty_canvas() as page:
        for name in given.workflows:
            path = given.out / f"graph_{name}.jpg"
            save(photograph(page, name, not given.without_run), path)
            stamp(path, "docs/make_graphs.py", name)


@contextmanager
def empty_canvas() -> Iterator[Page]:
    """The page of a private ComfyUI server, with nothing but the canvas on it."""
    comfyui = find_comfyui()
    chromium = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if comfyui is None or chromium is None:
        raise SystemExit("This needs ComfyUI (`make comfyui`) and Chromium.")
    with comfy_server(comfyui) as server, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT)
        page.goto(server.url, wait_until="networkidle")
        page.wait_for_function(READY)
        prepare(page)
        yield page
        browser.close()


def prepare(page: Page) -> None:
    """Leave nothing but the canvas on the page."""
    page.evaluate(
        """async settings => {
            for (const [name, value] of Object.entries(settings))
                await app.extensionManager.setting.set(name, value);
            await app.extensionManager.command.execute('Workspace.ToggleFocusMode');
        }""",
        SETTINGS,
    )
    page.keyboard.press("Escape")
    page.add_style_tag(content=MENUS)


def photograph(page: Page, name: str, after_run: bool = True) -> Image.Image:
    """The graph of a shipped workflow, after its run or as it is opened."""
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    if after_run:
        run(page)
    left, top, right, bottom = bounds(workflow)
    width, height = (round(size + 2 * MARGIN) for size in (right - left, bottom - top))
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate(
        """([x, y]) => {
            app.canvas.show_info = false;
            app.canvas.deselectAll();
            app.canvas.ds.scale = 1;
            app.canvas.ds.offset = [x, y];
            app.canvas.setDirty(true, true);
        }""",
        [MARGIN - left, MARGIN - top],
    )
    page.wait_for_timeout(SETTLING)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    # The frontend leaves out small text: it draws at full size, and the picture is made smaller.
    return picture.resize((WIDTH, round(height * WIDTH / width)), Image.Resampling.LANCZOS)


def run(page: Page) -> None:
    """Queue the workflow on the page and wait for its end."""
    page.evaluate(
        """async () => {
            const { api } = await import('/scripts/api.js');
            const ended = new Promise((resolve, reject) => {
                api.addEventListener('execution_success', resolve, { once: true });
                api.addEventListener('execution_error', ({ detail }) =>
                    reject(detail.exception_message), { once: true });
            });
            await app.queuePrompt(0);
            await ended;
        }"""
    )


def bounds(workflow: dict) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of all that the workflow shows."""
    boxes = [group["bounding"] for group in workflow["groups"]]
    for node in workflow["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        boxes.append([x, y - TITLE, width, height + TITLE])
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[0] + box[2] for box in boxes),
        max(box[1] + box[3] for box in boxes),
    )


def save(picture: Image.Image, path: Path) -> None:
    """Write a JPEG as good as MAX_BYTES allows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in range(90, 30, -4):
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            return


if __name__ == "__main__":
    main()

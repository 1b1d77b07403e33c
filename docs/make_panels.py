"""Makes the pictures of the panels on nodes: python docs/make_panels.py [--out FOLDER]

A small graph runs on a private ComfyUI server, from its own page in Chromium, and each panel is
photographed in the dark and in the light theme, on nodes as small as they go, inside a subgraph,
and in Nodes 2.0 where VISAGE_NEWER_FRONTEND names a folder with a newer frontend. It fails where
text of a panel is cut off. Needs ComfyUI, Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
from pathlib import Path

from make_graphs import BROWSERS, IMAGES, READY, TIMEOUT, prepare, run
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, Page, sync_playwright
from visage.engines.comfyui.location import find_comfyui
from visage.headless.server import comfy_server
from visage.workflows.builder.stamp import stamp

SAMPLES = Path(__file__).parents[1] / "web" / "samples"
PANELS = {
    "Face Mask": ".visage-face-parts",
    "Pixel Blend": ".visage-compare",
    "Train Style LoRA": ".visage-loss",
    "Trade-off": ".visage-tradeoff",
    "Load Starter Models": ".visage-banner",
    "Style Region": ".visage-swatches",
}
SMALLEST = """() => {
    for (const node of app.graph.nodes) node.setSize(node.computeSize());
    app.canvas.setDirty(true, true);
}"""
INTO_SUBGRAPH = """async () => {
    const { subgraph } = app.graph.convertToSubgraph(new Set(app.graph.nodes));
    app.canvas.setGraph(subgraph);
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [40, 60];
}"""
# Elements with text of their own that is wider than they are; a caption ends in an ellipsis.
CUT = """panel => [...panel.querySelectorAll('*')]
    .filter(part => part.scrollWidth > part.clientWidth + 1 && part.clientWidth
        && getComputedStyle(part).overflowX === 'hidden'
        && [...part.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
    .map(part => part.textContent.trim())
"""
WIDTH, LINE, GAP = 300, 26, 12
SETTLING = 1200  # milliseconds
STEPS = 24
# Each panel by its node, all fed with pictures that come with the pack.
GRAPH = """
    async ([picture, painting, steps]) => {
        app.graph.clear();
        const put = (kind, pos, values = {}) => {
            const node = LiteGraph.createNode(kind);
            for (const widget of node.widgets ?? [])
                if (widget.name in values) widget.value = values[widget.name];
            node.pos = pos;
            app.graph.add(node);
            return node;
        };
        const original = put('LoadImage', [0, 0], { image: picture });
        const painted = put('LoadImage', [0, 420], { image: painting });
        const fitted = put('ImageScale', [0, 840], { width: 512, height: 512 });
        const parser = put('VisageLoadFaceParser', [0, 1040]);
        const mask = put('VisageFaceMask', [340, 0]);
        const outside = put('InvertMask', [340, 800]);
        const blend = put('VisagePixelBlend', [760, 0]);
        const starter = put('VisageLoadStarter', [340, 900]);
        const train = put('VisageTrainStyleLora', [760, 560], { steps, rank: 2, size: 64 });
        const region = put('VisageStyleRegion', [340, 1120]);
        const [first, second, third] = [0, 1, 2].map((i) =>
            put('VisageTradeoff', [1160 + 420 * i, 0], { label: `weight=${0.4 * (i + 1)}` }));
        painted.connect(0, fitted, 'image');
        original.connect(0, mask, 'image');
        parser.connect(0, mask, 'parser');
        mask.connect(0, outside, 0);
        fitted.connect(0, blend, 'edited');
        original.connect(0, blend, 'original');
        outside.connect(0, blend, 'mask');
        [0, 1, 2].forEach((slot) => starter.connect(slot, train, slot));
        fitted.connect(0, train, 'image');
        const numbers = [[0.22, 0.91], [0.47, 0.83], [0.71, 0.52]];
        [first, second, third].forEach((node, i) => {
            numbers[i].forEach((value, slot) =>
                put('PrimitiveFloat', [1160 + 420 * i, 900 + 120 * slot], { value })
                    .connect(0, node, slot));
        });
        const runs = (node) => node.outputs.findIndex((output) => output.type === 'VISAGE_RUNS');
        first.connect(runs(first), second, 'runs');
        second.connect(runs(second), third, 'runs');
        const save = put('PreviewImage', [760, 1100]);
        blend.connect(0, save, 0);
        train.connect(1, put('LossGraphNode', [760, 1500]), 0);
    }
"""


def main() -> None:
    """Make the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder to write")
    given = parser.parse_args()
    comfyui = find_comfyui()
    chromium = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if comfyui is None or chromium is None:
        raise SystemExit("This needs ComfyUI (`make comfyui`) and Chromium.")
    columns: dict[str, dict[str, Image.Image]] = {}
    cut_off: list[str] = []
    newer = os.environ.get("VISAGE_NEWER_FRONTEND")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with comfy_server(comfyui) as server:
            page = opened(browser, server)
            columns["dark theme"] = photographs(page, "dark", cut_off)
            columns["light theme"] = photographs(page, "light", cut_off)
            page.evaluate(SMALLEST)
            columns["small nodes"] = photographs(page, "light", cut_off)
            page.evaluate(INTO_SUBGRAPH)
            run(page)
            columns["in a subgraph"] = photographs(page, "dark", cut_off)
        if newer:
            root = Path(newer) / "comfyui_frontend_package" / "static"
            with comfy_server(comfyui, options=("--front-end-root", str(root))) as server:
                page = opened(browser, server, vue=True)
                columns["Nodes 2.0"] = photographs(page, "dark", cut_off)
        browser.close()
    path = given.out / "panels.jpg"
    sheet(columns).save(path, quality=88, optimize=True)
    stamp(path, "docs/make_panels.py")
    if cut_off:
        raise SystemExit("Cut off:\n" + "\n".join(cut_off))


def opened(browser: Browser, server, vue: bool = False) -> Page:
    """The page with the graph after its run."""
    page = browser.new_page(viewport={"width": 2600, "height": 1900})
    page.set_default_timeout(TIMEOUT)
    page.goto(server.url, wait_until="networkidle")
    page.wait_for_function(READY)
    prepare(page)
    setting = "vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)"
    page.evaluate(setting, vue)
    names = [
        server.upload(SAMPLES / name)
        for name in ("visage_astronaut.png", "visage_painting_night.jpg")
    ]
    page.evaluate("() => app.refreshComboInNodes()")
    page.evaluate(GRAPH, [*names, STEPS])
    page.evaluate("() => { app.canvas.ds.scale = 1; app.canvas.ds.offset = [40, 60]; }")
    run(page)
    return page


def photographs(page: Page, theme: str, cut_off: list[str]) -> dict[str, Image.Image]:
    """A picture of each panel, by its node's name; text that does not fit is added to cut_off."""
    page.evaluate("theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
    page.evaluate("() => app.canvas.setDirty(true, true)")
    page.wait_for_timeout(SETTLING)
    shots = {}
    for name, place in PANELS.items():
        panel = page.locator(place).last
        shots[name] = Image.open(io.BytesIO(panel.screenshot())).convert("RGB")
        cut_off.extend(f"{name}: {text}" for text in panel.evaluate(CUT))
    return shots


def sheet(columns: dict[str, dict[str, Image.Image]]) -> Image.Image:
    """The panels in rows, the themes in columns."""
    font = ImageFont.load_default(15)
    rows = {
        name: max(_height(shots[name]) for shots in columns.values() if name in shots)
        for name in PANELS
    }
    wide = GAP + (WIDTH + GAP) * len(columns)
    page = Image.new("RGB", (wide, LINE + sum(rows.values()) + (LINE + GAP) * len(rows)), "white")
    draw = ImageDraw.Draw(page)
    for number, (title, shots) in enumerate(columns.items()):
        left, top = GAP + number * (WIDTH + GAP), LINE
        draw.text((left + WIDTH // 2, LINE // 2), title, "black", font, anchor="mm")
        for name, height in rows.items():
            draw.text((left, top + LINE // 2), name, "#555", font, anchor="lm")
            shot = shots[name]
            shown = shot.resize((WIDTH, _height(shot)), Image.Resampling.LANCZOS)
            page.paste(shown, (left, top + LINE))
            top += LINE + height + GAP
    return page


def _height(shot: Image.Image) -> int:
    return round(shot.height * WIDTH / shot.width)


if __name__ == "__main__":
    main()

"""The page of results of `visage demo`, one file that needs no network."""

from __future__ import annotations

import base64
import io
import os
from html import escape
from pathlib import Path
from string import Template

TEMPLATE = Path(__file__).with_suffix(".html")
QUALITY = 92
STEPS = {"overlay": "the mask", "raw": "what the model painted"}
RECOLOURED = "The colours are the built-in starter's; the features stay the picture's own."
PAINTED_ANEW = "The built-in starter paints the face anew."
PAINTINGS = {
    "painted": (
        "The photograph painted, face and hair kept",
        "All of it is painted, without a model.",
    ),
    "background": ("A painted background", "The person is untouched."),
}


def write_page(report: dict, file: Path) -> None:
    """Write the page of a demo's report; the pictures that the report names are embedded."""
    edits = [_edit(entry) for entry in report["pictures"]]
    original = next(e["files"]["input"] for e in report["pictures"] if e["name"] == "astronaut")
    paintings = [_painting(entry, original) for entry in report["paintings"]]
    engine = "on diffusers"
    if report["comfyui_version"]:
        engine = f"by a workflow on a ComfyUI {report['comfyui_version']} server"
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        summary=f"Edited {engine}, painted without a model; {report['seconds']:.0f} s in all.",
        results="\n".join([*paintings, *edits]),
        folder=escape(str(file.parent)),
    )
    part = file.with_name(f".{file.name}.part")
    part.write_text(page, encoding="utf-8")
    os.replace(part, file)


def _edit(entry: dict) -> str:
    files = entry["files"]
    steps = "".join(
        f'<figure><img src="{_embedded(files[name])}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for name, caption in STEPS.items()
    )
    words = f"Painted from “{escape(entry['words'])}”. " if entry["words"] else ""
    painted = RECOLOURED if entry["blend"] == "tone" else PAINTED_ANEW
    return _article(
        f"{entry['name'].replace('_', ' ').capitalize()}, edited",
        f"{words}Prompt: “{escape(entry['prompt'])}”. {painted}",
        (files["input"], files["blended"]),
        entry,
        {"changed": f"{entry['changed_share']:.1%} of the pixels"},
        f'<details><summary>How it was made</summary><div class="steps">{steps}</div></details>',
    )


def _painting(entry: dict, original: str) -> str:
    title, text = PAINTINGS[entry["name"]]
    facts = {"steps": str(entry["steps"]), "time": f"{entry['seconds']:.0f} s"}
    return _article(title, text, (original, entry["file"]), entry, facts)


def _article(
    title: str, text: str, pair: tuple[str, str], entry: dict, facts: dict, more: str = ""
) -> str:
    facts = {"likeness": _likeness(entry), **facts}
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    return f"""<article>
{_slider(pair, title)}
<div class="words">
<h2>{escape(title)}</h2>
<p>{text}</p>
{_proof(entry.get("outside_max_abs_diff"))}
<dl>{rows}</dl>
{more}
</div>
</article>"""


def _slider(pair: tuple[str, str], title: str) -> str:
    from ..models.picture_files import read_picture

    picture = read_picture(Path(pair[0]))
    ratio = f"{picture.width} / {picture.height}"
    before, after = map(_embedded, pair)
    return f"""<div class="stage" style="--ratio: {ratio}">
<img src="{after}" alt="{escape(title)}: the result">
<img class="before" src="{before}" alt="{escape(title)}: the original">
<div class="edge"></div><span>original</span><span class="after-name">result</span>
<input type="range" min="0" max="100" value="50"
  aria-label="{escape(title)}: percent of the original that is shown">
</div>"""


def _proof(difference: float | None) -> str:
    if difference is None:
        return '<p class="proof none">No proof: nothing was meant to stay unchanged.</p>'
    if difference == 0:
        return '<p class="proof kept">Outside the mask every pixel equals the original.</p>'
    return (
        f'<p class="proof">Outside the mask pixels CHANGED, by up to {difference:.6f} of 1, '
        "and should not have.</p>"
    )


def _likeness(entry: dict) -> str:
    if entry["identity"] is None:
        return "no face found"
    return f"{entry['identity']:.2f}"


def _embedded(file: str) -> str:
    """A picture as a data URL."""
    from ..models.picture_files import read_picture

    content = io.BytesIO()
    read_picture(Path(file)).convert("RGB").save(content, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"

"""The widget values of a node of the canvas form, by the names of their inputs.

The frontend saves a node's values in a list without names, in the order of its widgets: one for
each input of a plain type that the server declares, after some of them a companion of its own (what
a seed does after a run, a refresh button), and at the end the upload button. Newer frontends save
the names, too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .page_nodes import name_of

KINDS = frozenset(
    "INT FLOAT STRING BOOLEAN COMBO MARKDOWN TEXTAREA COLOR COLORS CURVE RANGE CHART GALLERIA "
    "BOUNDING_BOX BOUNDING_BOXES VIDEO_EDIT PAINTER COMPOSITOR LOAD_3D LOAD_3D_ANIMATION "
    "LOAD_3D_ADVANCED PREVIEW_3D PREVIEW_3D_ANIMATION WEBCAM AUDIO_RECORD".split()
)
"""The types of inputs that have a widget in the frontend."""

DRAWN = {
    "WEBCAM": "takes its picture with the browser's camera",
    "AUDIO_RECORD": "records its sound in the browser",
    "COMPOSITOR": "composes its picture in the browser",
    "PAINTER": "is painted in the browser",
    "LOAD_3D": "renders its picture in the browser",
    "LOAD_3D_ANIMATION": "renders its picture in the browser",
    "LOAD_3D_ADVANCED": "renders its picture in the browser",
}
"""Types whose value the browser makes when a workflow is queued."""

UNSAVED = {"IMAGECOMPARE": ["", ""]}
"""Values that the page sends for widgets that only show something."""

CHOICE = "COMFY_DYNAMICCOMBO_V3"
UPLOADS = ("image_upload", "video_upload", "animated_image_upload")
BUTTONS_3D = ("upload 3d model", "upload extra resources", "clear")
BOX = ("x", "y", "width", "height")
NOTHING: dict[str, Any] = {"INT": 0, "FLOAT": 0, "BOOLEAN": False, "STRING": ""}
# Widgets of the page that no server declares.
COMPANIONS = re.compile(r"control_|upload|audioUI$|videopreview$|refresh$|Auto-refresh")


@dataclass(frozen=True)
class _Widget:
    """A widget with a value, of an input or (if `kind` is "") of the page itself."""

    name: str
    kind: str
    settings: dict
    forced: bool = False


def widget_values(node: dict, info: dict) -> dict[str, Any]:
    """The value of every widget of a node: the saved one, or the default that the class declares.

    Raises ValueError when the saved values cannot be those of the class `info`.
    """
    names = node.get("widgets_values_named")
    saved = names if isinstance(names, dict) else node.get("widgets_values") or []
    if isinstance(saved, dict):
        values = _by_name(saved, info)
    else:
        values = _by_order(saved, node, info)
    for name, kind, _ in _inputs(info["input"], info):
        if kind in UNSAVED:
            values[name] = UNSAVED[kind]
    for widget in _persisted(info, values):
        if widget.kind and widget.name not in values:
            default = _default(widget)
            if default is not None:
                values[widget.name] = default
        _check(values.get(widget.name), widget, node)
    return values


def widget_names(info: dict) -> set[str]:
    """The inputs of a class that have a widget with any of its choices."""
    return {
        name for name, kind, settings in _inputs(info["input"], info) if _has_widget(kind, settings)
    }


def page_order(info: dict) -> list[tuple[str, str]]:
    """Names and types of a node's inputs in the page's order: sockets first, then widgets."""
    inputs = list(_inputs(info["input"], info))
    sockets = [(name, kind) for name, kind, settings in inputs if not _has_widget(kind, settings)]
    widgets = [(name, kind) for name, kind, settings in inputs if _has_widget(kind, settings)]
    return sockets + widgets


def is_of_a_pack(info: dict) -> bool:
    """Whether a class comes from a node pack, whose page extension may add widgets."""
    return info.get("python_module", "custom_nodes").startswith("custom_nodes")


def drawn_in_the_page(info: dict) -> Iterator[tuple[str, str]]:
    """Yield the inputs whose value the browser makes, and how."""
    for name, kind, settings in _inputs(info["input"], info):
        how = DRAWN.get(settings.get("widgetType", kind))
        if how:
            yield name, how


def fill_in(text: str, seed: str) -> str:
    """A prompt without comments and with one of each `{a|b}` chosen, as the page would queue it.

    The same `seed` makes the same choices, so that a batch can be continued."""
    choose = random.Random(seed)  # noqa: S311
    text = re.sub(r"/\*[\s\S]*?\*/|//.*", "", text)
    chosen, end = _choose(text, 0, choose, inside=False)
    return re.sub(r"\\([{}|])", r"\1", chosen)


def _choose(text: str, start: int, choose: random.Random, inside: bool) -> tuple[str, int]:
    """The result of a text or of the inside of a brace, and the position of its end."""
    options, position = [""], start
    while position < len(text):
        sign = text[position]
        position += 1
        if sign == "\\":
            options[-1] += sign + text[position : position + 1]
            position += 1
        elif sign == "{":
            inner, position = _choose(text, position, choose, inside=True)
            options[-1] += inner
        elif inside and sign == "}":
            break
        elif inside and sign == "|":
            options.append("")
        else:
            options[-1] += sign
    return (choose.choice(options) if len(options) > 1 else options[0]), position


def _by_name(saved: dict, info: dict) -> dict[str, Any]:
    declared = widget_names(info)
    own = is_of_a_pack(info)
    values = {}
    for name, value in saved.items():
        inner = name.split(".")[0] in declared
        # A pack's page extension may add inputs that its class does not declare.
        if inner or (own and not isinstance(value, dict) and not COMPANIONS.match(name)):
            values[name] = value
    return values


def _by_order(saved: list, node: dict, info: dict) -> dict[str, Any]:
    saved = _without_forced(saved, info)
    values: dict[str, Any] = {}
    for widget in _persisted(info, values):
        if len(values) >= len(saved):
            break
        values[widget.name if widget.kind else f" {len(values)}"] = saved[len(values)]
    more = [value for value in saved[len(values) :] if value not in ("", None)]
    if more and is_of_a_pack(info):
        names = ", ".join(name for name in values if not name.startswith(" "))
        raise ValueError(
            f"{name_of(node)} has {len(saved)} widget values, and the server's {node['type']} "
            f"takes {len(values)} ({names}). It was saved with another version of that node, or "
            "its pack adds inputs in the browser: open it in ComfyUI and export the API form."
        )
    return {name: value for name, value in values.items() if not name.startswith(" ")}


def _without_forced(saved: list, info: dict) -> list:
    """The values without those of inputs that had a widget once and are sockets now."""
    flags = []
    for _, kind, settings in _inputs(info["input"], info):
        forced = bool(settings.get("forceInput"))
        if forced or _has_widget(kind, settings):
            flags += [forced, False] if settings.get("control_after_generate") else [forced]
    flags += [False] * _has_upload(info)
    if len(flags) != len(saved):
        return saved
    return [value for value, forced in zip(saved, flags, strict=True) if not forced]


def _persisted(info: dict, values: dict[str, Any]) -> Iterator[_Widget]:
    """Yield the widgets whose values are saved, in order.

    The widgets that a choice adds depend on its value, which is looked up in `values` after the
    choice itself was yielded."""
    yield from _widgets(info["input"], info, values)
    if _has_upload(info):
        yield _Widget("upload", "", {})


def _widgets(groups: dict, info: dict | None, values: dict, prefix: str = "") -> Iterator[_Widget]:
    for name, declared, settings in _inputs(groups, info):
        if not _has_widget(declared, settings):
            continue
        full, kind = prefix + name, settings.get("widgetType", declared)
        if kind.startswith("LOAD_3D") and "model_file" in groups.get("required", {}):
            yield from (_Widget(button, "", {}) for button in BUTTONS_3D)
        yield _Widget(full, kind, settings)
        if kind == CHOICE:
            options = {option["key"]: option["inputs"] for option in settings["options"]}
            chosen = values.get(full, next(iter(options), None))
            yield from _widgets(options.get(chosen, {}), None, values, f"{full}.")
        for companion in _companions(full, kind, settings):
            yield _Widget(companion, "", {})


def _companions(name: str, kind: str, settings: dict) -> list[str]:
    """The page's own widgets after an input of this name and type."""
    control = settings.get("control_after_generate")
    if kind == "INT" and (control or (control is None and name in ("seed", "noise_seed"))):
        return ["control_after_generate"]
    if kind == "FLOAT" and control:
        return ["control_after_generate"]
    if kind == "COMBO" and control:
        multiple = settings.get("multi_select") or settings.get("multiselect")
        return ["control_after_generate"] + ([] if multiple else ["control_filter_list"])
    if kind == "BOUNDING_BOX":
        return list(BOX)
    if kind == "COMBO" and settings.get("remote"):
        button = ["refresh"] if settings["remote"].get("refresh_button") else []
        return ["auto-refresh", *button]
    return []


def _inputs(groups: dict, info: dict | None) -> Iterator[tuple[str, str, dict]]:
    """Name, type and settings of every declared input, in the order that the server gives."""
    for group in ("required", "optional"):
        inputs = groups.get(group) or {}
        order = ((info or {}).get("input_order") or {}).get(group) or inputs
        for name in order:
            declared = inputs[name]
            settings = declared[1] if len(declared) > 1 else {}
            if isinstance(declared[0], list):
                yield name, "COMBO", {"options": declared[0], **settings}
            else:
                yield name, declared[0], settings


def _has_widget(kind: str, settings: dict) -> bool:
    kind = settings.get("widgetType", kind)
    return (kind in KINDS or kind == CHOICE) and not settings.get("forceInput")


def _has_upload(info: dict) -> bool:
    required = info["input"].get("required") or {}
    return any(
        len(declared) > 1 and any(declared[1].get(upload) for upload in UPLOADS)
        for declared in required.values()
    )


def _default(widget: _Widget) -> Any:
    settings = widget.settings
    if settings.get("default") is not None:
        return settings["default"]
    if widget.kind == CHOICE:
        return next((option["key"] for option in settings["options"]), None)
    if widget.kind == "COMBO":
        if settings.get("multi_select"):
            return []
        return next(iter(settings.get("options") or []), None)
    return NOTHING.get(widget.kind)


def _check(value: Any, widget: _Widget, node: dict) -> None:
    """Raise ValueError for a value of the wrong type, which is a sign of a shifted list."""
    if widget.kind not in ("INT", "FLOAT") or value is None:
        return
    try:
        float(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name_of(node)}: {widget.name} takes {widget.kind}, and {value!r} was saved for it. "
            "It was saved with another version of that node: open it in ComfyUI and save it again."
        ) from None

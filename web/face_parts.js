// Face Mask: choose parts by clicking them on a drawn face. What is chosen is kept in the node's own
// widget `parts`, as if it had been chosen in its list.
import { app } from "../../scripts/app.js";
import { drawFace } from "./face_drawing.js";
import { addPanel, after, html, onKeys } from "./panel.js";
import { expand, shorten } from "./part_lists.js";

const NODE = "VisageFaceMask";
const WIDGET = "parts";
const CHIPS = ["face", "face and hair", "skin", "eyes", "lips"];
const FOLDED = 24;
const OPEN = 232;
let presets = {};
let colours = {};
let separator = ", ";

const shortList = (parts) => shorten(parts, presets, Object.keys(colours));

const name = (part) => part.replaceAll("_", " ");

/** The choice as a list: the API form joins it into a text. */
const read = (choice) =>
  (typeof choice === "string"
    ? choice.split(separator.trim())
    : (choice?.__value__ ?? choice ?? [])
  )
    .map((part) => part.trim())
    .filter(Boolean);

function addPicker(node) {
  const widget = node.widgets?.find((widget) => widget.name === WIDGET);
  if (!widget) return;
  let open = true;
  const fold = html("button", { class: "visage-fold", type: "button" });
  const chips = CHIPS.map((preset) =>
    html("button", { class: "visage-chip", type: "button", "data-preset": preset }, preset),
  );
  const caption = html("div", { class: "visage-caption", "aria-live": "polite" });
  const face = drawFace(name);
  const picker = html(
    "div",
    { class: "visage-face-parts" },
    html("div", { class: "visage-chips" }, ...chips, fold),
    face,
    caption,
  );
  addPanel(node, "face parts", picker, () => (open ? OPEN : FOLDED));

  const chosen = () => expand(widget.value ?? [], presets);
  const linked = () =>
    node.inputs?.some(
      (input, slot) => input.widget?.name === WIDGET && node.isInputConnected(slot),
    );
  const shapes = [...face.querySelectorAll("[data-part]")];

  function say(text) {
    caption.textContent = text ?? shortList(chosen()).map(name).join(", ");
  }
  function show() {
    const parts = chosen();
    for (const shape of shapes) {
      const part = shape.dataset.part;
      shape.setAttribute("aria-checked", parts.has(part));
      shape.style.setProperty("--part", `rgb(${colours[part]})`);
    }
    for (const chip of chips) {
      const preset = presets[chip.dataset.preset];
      const same = preset.length === parts.size && preset.every((part) => parts.has(part));
      chip.setAttribute("aria-pressed", same);
    }
    picker.classList.toggle("visage-folded", !open);
    fold.textContent = open ? "▴" : "▾";
    fold.title = open ? "Hide the face" : "Choose on a face";
    fold.setAttribute("aria-expanded", open);
    say();
  }
  function choose(parts) {
    if (linked()) return say("parts come from another node");
    if (!parts.size) return say("at least one part stays chosen");
    widget.value = shortList(parts);
    node.graph?.change?.();
    show();
  }
  function toggle(part) {
    const parts = chosen();
    if (!parts.delete(part)) parts.add(part);
    choose(parts);
  }

  for (const shape of shapes) {
    const { part } = shape.dataset;
    shape.addEventListener("click", () => toggle(part));
    onKeys(shape, { " ": () => toggle(part), Enter: () => toggle(part) });
    for (const event of ["pointerenter", "focus"])
      shape.addEventListener(event, () => say(name(part)));
    for (const event of ["pointerleave", "blur"]) shape.addEventListener(event, () => say());
  }
  for (const chip of chips) {
    chip.addEventListener("click", (event) => {
      const preset = presets[chip.dataset.preset];
      choose(new Set(event.shiftKey ? [...chosen(), ...preset] : preset));
    });
  }
  fold.addEventListener("click", () => {
    open = !open;
    show();
    node.setSize([node.size[0], node.size[1] + (open ? OPEN - FOLDED : FOLDED - OPEN)]);
    app.canvas.setDirty(true, true);
  });
  after(widget, "callback", show);
  // As a plain list: a reactive one cannot be copied into a subgraph.
  const { getValue, setValue } = widget.options;
  if (getValue) widget.options.getValue = () => [...getValue()];
  if (setValue) widget.options.setValue = (choice) => setValue(read(choice));
  // ComfyUI saves the API form into pictures, and a list there is read as a link.
  widget.serializeValue = () => read(widget.value).join(separator);
  // Nodes 2.0 does not count panels into a new node's size.
  after(node, "onAdded", () => node.setSize([node.size[0], node.computeSize()[1]]));
  // A workflow from before the picker has no room for it: there it waits folded.
  after(node, "onConfigure", (saved) => {
    open = true;
    open = !saved.size || saved.size[1] > node.computeSize()[1] - (OPEN - FOLDED) / 2;
    show();
  });
  show();
}

app.registerExtension({
  name: "Visage.FaceParts",
  beforeRegisterNodeDef(_nodeType, definition) {
    if (definition.name !== NODE) return;
    ({ presets, colours, separator } = definition.input.required[WIDGET][1]);
  },
  nodeCreated(node) {
    if (node.comfyClass === NODE) addPicker(node);
  },
});

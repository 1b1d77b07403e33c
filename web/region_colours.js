// Style Region: choose the region's colour from swatches. What is chosen is kept in the node's own
// widget `colour`.
import { app } from "../../scripts/app.js";
import { addPanel, after, html } from "./panel.js";

const NODE = "VisageStyleRegion";
const WIDGET = "colour";
const CHAIN = "regions";
const AUTO = "auto";
const HEIGHT = 24;
const LONGEST = 100;
let colours = {};

const rgb = (name) => `rgb(${colours[name]})`;

/** The colour that `auto` means for a node: each region before it in the chain takes one. */
function automatic(node) {
  let place = 0;
  for (let at = node; place < LONGEST; place++) {
    // A node that is being made is in no graph yet, and newer frontends refuse to look for one.
    const slot = at.graph ? at.inputs.findIndex((input) => input.name === CHAIN) : -1;
    at = slot < 0 ? null : at.getInputNode(slot);
    if (at?.comfyClass !== NODE) break;
  }
  const names = Object.keys(colours);
  return names[place % names.length];
}

function addSwatches(node) {
  const widget = node.widgets?.find((widget) => widget.name === WIDGET);
  if (!widget) return;
  const swatches = [AUTO, ...Object.keys(colours)].map((name) => {
    const label = { type: "button", role: "radio", title: name, "aria-label": name };
    const swatch = html("button", { ...label, class: "visage-swatch", "data-colour": name });
    swatch.addEventListener("click", () => {
      widget.value = name;
      widget.callback?.(name);
      node.graph?.change?.();
      show();
    });
    return swatch;
  });
  const group = { class: "visage-swatches", role: "radiogroup", "aria-label": "region colour" };
  const row = html("div", group, ...swatches);
  addPanel(node, "region colour", row, () => HEIGHT);

  function show() {
    for (const swatch of swatches) {
      const { colour } = swatch.dataset;
      swatch.setAttribute("aria-checked", colour === widget.value);
      swatch.style.background = rgb(colour === AUTO ? automatic(node) : colour);
    }
  }
  after(widget, "callback", show);
  after(node, "onConnectionsChange", show);
  // When a workflow is opened, the nodes before this one come after it.
  after(node, "onConfigure", () => requestAnimationFrame(show));
  // A region further up the chain may have come or gone.
  row.addEventListener("pointerenter", show);
  show();
}

app.registerExtension({
  name: "Visage.RegionColours",
  beforeRegisterNodeDef(_nodeType, definition) {
    if (definition.name === NODE) ({ colours } = definition.input.required[WIDGET][1]);
  },
  nodeCreated(node) {
    if (node.comfyClass === NODE) addSwatches(node);
  },
});

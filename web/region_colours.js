// Style Region: choose the region's colour from swatches. What is chosen is kept in the node's own
// widget `colour`.
import { app } from "../../scripts/app.js";
import { after } from "./panel.js";
import { addSwatches } from "./swatches.js";

const NODE = "VisageStyleRegion";
const WIDGET = "colour";
const CHAIN = "regions";
const AUTO = "auto";
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

function addColours(node) {
  const widget = node.widgets?.find((widget) => widget.name === WIDGET);
  if (!widget) return;
  const names = Object.fromEntries([AUTO, ...Object.keys(colours)].map((name) => [name, name]));
  const { check, swatches, row } = addSwatches(node, widget, "region colour", names);

  function show() {
    check(widget.value);
    for (const swatch of swatches) {
      const { colour } = swatch.dataset;
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
    if (node.comfyClass === NODE) addColours(node);
  },
});

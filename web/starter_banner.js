// Load Starter Models: says that these are the built-in models, and puts a checkpoint of the user's
// in the node's place when asked, with everything that was connected.
import { app } from "../../scripts/app.js";
import { addPanel, html } from "./panel.js";

const NODE = "VisageLoadStarter";
const LOADER = "CheckpointLoaderSimple";
const HEIGHT = 46;
// The starter's outputs that a checkpoint has as well, in the loader's order.
const SHARED = ["MODEL", "CLIP", "VAE"];

/** Puts a checkpoint loader where the starter is and connects what the starter was connected to. */
function replace(node, checkpoint) {
  const { graph } = node;
  const loader = LiteGraph.createNode(LOADER);
  loader.pos = [...node.pos];
  graph.beforeChange?.();
  graph.add(loader);
  loader.widgets.find((widget) => widget.name === "ckpt_name").value = checkpoint;
  for (const [slot, type] of SHARED.entries()) {
    const output = node.outputs.findIndex((output) => output.type === type);
    for (const target of node.getOutputNodes(output) ?? []) {
      target.inputs.forEach((_, input) => {
        if (target.getInputNode(input) !== node) return;
        if (target.getInputLink(input)?.origin_slot === output) loader.connect(slot, target, input);
      });
    }
  }
  graph.remove(node);
  graph.afterChange?.();
}

function choices() {
  const loader = LiteGraph.createNode(LOADER);
  const { values } = loader.widgets.find((widget) => widget.name === "ckpt_name").options;
  return typeof values === "function" ? values() : values;
}

function addBanner(node) {
  const button = html("button", { type: "button" }, "choose your checkpoint here");
  const list = html("select", { hidden: "", "aria-label": "checkpoint" });
  const text = html("span", {}, "Built-in starter models:");
  const banner = html("div", { class: "visage-banner" }, text, button, list);
  button.addEventListener("click", () => {
    const files = choices();
    if (!files.length) {
      text.textContent = "No file in models/checkpoints yet: put one there and press R.";
      return;
    }
    list.replaceChildren(html("option", { value: "" }, "choose a checkpoint …"));
    for (const file of files) list.append(html("option", { value: file }, file));
    list.hidden = false;
    button.hidden = true;
    list.focus();
  });
  list.addEventListener("change", () => list.value && replace(node, list.value));
  addPanel(node, "starter models", banner, () => HEIGHT);
}

app.registerExtension({
  name: "Visage.StarterBanner",
  nodeCreated(node) {
    if (node.comfyClass === NODE) addBanner(node);
  },
});

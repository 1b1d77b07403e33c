// Recolour: colours to click on, and the browser's own field for any other. What is chosen is kept in
// the node's own widget `colour`, as if it had been typed.
import { app } from "../../scripts/app.js";
import { after, html } from "./panel.js";
import { addSwatches } from "./swatches.js";

const NODE = "VisageRecolour";
const WIDGET = "colour";
const PAINT = document.createElement("canvas").getContext("2d");
const COLOURS = {
  black: "#1c1714",
  brown: "#4a2f21",
  auburn: "#6e2a1d",
  copper: "#7a3a22",
  blond: "#b9935c",
  silver: "#a9a7a4",
  "lipstick red": "#a1142b",
  rose: "#b8577f",
  violet: "#6a3a8c",
  blue: "#33598c",
  teal: "#1f7a78",
};

function addColours(node) {
  const widget = node.widgets?.find((widget) => widget.name === WIDGET);
  if (!widget) return;
  const { choose, check, swatches, row } = addSwatches(node, widget, "colours", COLOURS);
  for (const swatch of swatches) swatch.style.background = swatch.dataset.colour;
  const field = html("input", { type: "color", title: "any colour", "aria-label": "any colour" });
  row.append(field);

  function show() {
    PAINT.fillStyle = widget.value; // which understands names, and gives six digits
    field.value = PAINT.fillStyle;
    check(field.value);
  }
  field.addEventListener("input", () => choose(field.value));
  after(widget, "callback", show);
  after(node, "onConfigure", show);
  // Nodes 2.0 does not count panels into a new node's size.
  after(node, "onAdded", () =>
    node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]),
  );
  show();
}

app.registerExtension({
  name: "Visage.Recolour",
  nodeCreated(node) {
    if (node.comfyClass === NODE) addColours(node);
  },
});

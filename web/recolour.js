// Recolour: colours to click on, and the browser's own field for any other. What is chosen is kept in
// the node's own widget `colour`, as if it had been typed.
import { app } from "../../scripts/app.js";
import { addPanel, after, html } from "./panel.js";

const NODE = "VisageRecolour";
const WIDGET = "colour";
const HEIGHT = 26;
const PAINT = document.createElement("canvas").getContext("2d");
const SWATCHES = {
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

function addSwatches(node) {
  const widget = node.widgets?.find((widget) => widget.name === WIDGET);
  if (!widget) return;
  const chips = Object.entries(SWATCHES).map(([name, colour]) =>
    html("button", {
      type: "button",
      title: name,
      "aria-label": name,
      "data-colour": colour,
      style: `--swatch: ${colour}`,
    }),
  );
  const field = html("input", { type: "color", title: "any colour", "aria-label": "any colour" });
  addPanel(
    node,
    "colours",
    html("div", { class: "visage-swatches" }, ...chips, field),
    () => HEIGHT,
  );

  function show() {
    PAINT.fillStyle = widget.value; // which understands names, and gives six digits
    field.value = PAINT.fillStyle;
    for (const chip of chips)
      chip.setAttribute("aria-pressed", chip.dataset.colour === field.value);
  }
  function choose(colour) {
    widget.value = colour;
    widget.callback(colour);
    node.graph?.change?.();
    app.canvas.setDirty(true, true);
  }
  for (const chip of chips) chip.addEventListener("click", () => choose(chip.dataset.colour));
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
    if (node.comfyClass === NODE) addSwatches(node);
  },
});

// A row of colours to click on, which set a node's widget as if it had been chosen there.
import { addPanel, html } from "./panel.js";

const HEIGHT = 24;

/**
 * Adds the row as a panel called `label`, with a button for each name in `values`. Returns
 * `choose(value)`, which sets the widget, `check(value)`, which marks its button, and the elements.
 */
export function addSwatches(node, widget, label, values) {
  function choose(value) {
    widget.value = value;
    widget.callback?.(value);
    node.graph?.change?.();
  }
  const swatches = Object.entries(values).map(([name, value]) => {
    const named = { type: "button", role: "radio", title: name, "aria-label": name };
    const swatch = html("button", { ...named, class: "visage-swatch", "data-colour": value });
    swatch.addEventListener("click", () => choose(value));
    return swatch;
  });
  const group = { class: "visage-swatches", role: "radiogroup", "aria-label": label };
  const row = html("div", group, ...swatches);
  addPanel(node, label, row, () => HEIGHT);
  const check = (value) => {
    for (const swatch of swatches)
      swatch.setAttribute("aria-checked", swatch.dataset.colour === value);
  };
  return { choose, check, swatches, row };
}

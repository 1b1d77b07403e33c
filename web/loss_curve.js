// The loss of a training on its node: live while it runs, and kept afterwards.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import {
  addPanel,
  after,
  html,
  nodeByExecutionId,
  nodeByLocatorId,
  svg,
  whenCached,
} from "./panel.js";

const NODES = ["VisageTrainFaceEdit", "VisageTrainStyleLora"];
const HEIGHT = 160;
const WIDE = 320;
const HIGH = 140;
const LEFT = 44;
const RIGHT = 312;
const TOP = 8;
const BOTTOM = 120;
const LINES = 4;
const curves = new WeakMap();

/** The mean of each value and those before it, over a twentieth of the run. */
function smooth(points) {
  const window = Math.max(1, Math.floor(points.length / 20));
  return points.map(([step], i) => {
    const part = points.slice(Math.max(0, i - window + 1), i + 1);
    return [step, part.reduce((sum, [, loss]) => sum + loss, 0) / part.length];
  });
}

const label = (x, y, anchor, text) => svg("text", { x, y, "text-anchor": anchor }, text);

function makeCurve(node) {
  const grid = svg("g", { class: "visage-grid" });
  const raw = svg("polyline", { class: "visage-raw" });
  const mean = svg("polyline", { class: "visage-mean" });
  const guide = svg("line", { class: "visage-guide", y1: TOP, y2: BOTTOM });
  const plot = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}` }, grid, raw, mean, guide);
  const caption = html("div", { class: "visage-caption" });
  addPanel(node, "loss curve", html("div", { class: "visage-loss" }, plot, caption), () => HEIGHT);
  node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);

  let means = [];
  let steps = 1;
  let text = "";
  const across = (step) => LEFT + ((RIGHT - LEFT) * step) / steps;

  function show(curve) {
    const { points } = curve;
    if (!points.length) return;
    ({ steps } = curve);
    means = smooth(points);
    const losses = points.map(([, loss]) => loss);
    const low = Math.min(...losses);
    const span = Math.max(...losses) - low || 1;
    const down = (loss) => BOTTOM - ((BOTTOM - TOP) * (loss - low)) / span;
    const line = (values) => values.map(([step, loss]) => `${across(step)},${down(loss)}`).join(" ");
    raw.setAttribute("points", line(points));
    mean.setAttribute("points", line(means));
    grid.replaceChildren();
    for (let i = 0; i <= LINES; i++) {
      const loss = low + (span * i) / LINES;
      const step = Math.round((steps * i) / LINES);
      grid.append(
        svg("line", { x1: LEFT, x2: RIGHT, y1: down(loss), y2: down(loss) }),
        label(LEFT - 4, down(loss) + 3, "end", loss.toPrecision(3)),
        label(across(step), HIGH - 6, "middle", `${step}`),
      );
    }
    const [, last] = means.at(-1);
    const done = Math.round(points.at(-1)[0] + (points.at(-1)[0] - (points.at(-2)?.[0] ?? 0) - 1) / 2);
    text = `step ${Math.min(done, steps)} of ${steps}, loss ${last.toPrecision(3)}`;
    caption.textContent = text;
  }
  plot.addEventListener("pointermove", (event) => {
    if (!means.length) return;
    const { x } = new DOMPoint(event.clientX, event.clientY).matrixTransform(
      plot.getScreenCTM().inverse(),
    );
    const distance = ([step]) => Math.abs(across(step) - x);
    const [step, loss] = means.reduce((best, point) => (distance(point) < distance(best) ? point : best));
    guide.setAttribute("x1", across(step));
    guide.setAttribute("x2", across(step));
    plot.classList.add("visage-reading");
    caption.textContent = `at step ${Math.round(step)}: ${loss.toPrecision(4)}`;
  });
  plot.addEventListener("pointerleave", () => {
    plot.classList.remove("visage-reading");
    caption.textContent = text;
  });
  return show;
}

function showOn(node, curve) {
  if (!curve || !NODES.includes(node?.comfyClass)) return;
  if (!curves.has(node)) curves.set(node, makeCurve(node));
  curves.get(node)(curve);
  app.canvas.setDirty(true, true);
}

whenCached((node, output) => showOn(node, output.loss_curve?.[0]));
api.addEventListener("visage.loss", ({ detail }) => showOn(nodeByExecutionId(detail.node), detail));

app.registerExtension({
  name: "Visage.LossCurve",
  nodeCreated(node) {
    if (!NODES.includes(node.comfyClass)) return;
    after(node, "onExecuted", (output) => showOn(node, output?.loss_curve?.[0]));
  },
  // When another workflow's tab is opened again.
  onNodeOutputsUpdated(outputs) {
    for (const [id, output] of Object.entries(outputs)) {
      if (output?.loss_curve) showOn(nodeByLocatorId(id), output.loss_curve[0]);
    }
  },
});

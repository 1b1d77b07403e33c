// The loss of a training on its node: live while it runs, and kept afterwards.
import { api } from "../../scripts/api.js";
import { addPanel, html, nodeByExecutionId, onKeys, registerResults, svg } from "./panel.js";
import { nearest, scale, secondsLeft, smooth, stepsDone, timeLeft } from "./plotting.js";

const NODES = ["VisageTrainFaceEdit", "VisageTrainStyleLora", "VisageTrainFastStyle"];
const HEIGHT = 160;
const WIDE = 320;
const HIGH = 140;
const LEFT = 44;
const RIGHT = 312;
const TOP = 8;
const BOTTOM = 120;
const LINES = 4;

const label = (x, y, anchor, text) => svg("text", { x, y, "text-anchor": anchor }, text);

function makeCurve(node) {
  const grid = svg("g", { class: "visage-grid" });
  const raw = svg("polyline", { class: "visage-raw" });
  const mean = svg("polyline", { class: "visage-mean" });
  const guide = svg("line", { class: "visage-guide", y1: TOP, y2: BOTTOM });
  const plot = svg(
    "svg",
    { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "slider", tabindex: 0, "aria-label": "loss by step" },
    grid,
    raw,
    mean,
    guide,
  );
  const caption = html("div", { class: "visage-caption" });
  addPanel(node, "loss curve", html("div", { class: "visage-loss" }, plot, caption), () => HEIGHT);

  let means = [];
  let steps = 1;
  let seen = []; // [step, milliseconds] of what came in while the training runs
  /** What is left of a training that is watched, in words. */
  function pace(done) {
    if (done < (seen.at(-1)?.[0] ?? 0)) seen = []; // another training has begun
    seen.push([done, performance.now()]);
    return timeLeft(secondsLeft(seen, steps));
  }
  let text = "";
  let at; // the step that is read, none while nobody reads
  const across = (step) => LEFT + ((RIGHT - LEFT) * step) / steps;

  function show(curve) {
    const { points } = curve;
    if (!points.length) return;
    ({ steps } = curve);
    means = smooth(points);
    const losses = scale(
      points.map(([, loss]) => loss),
      BOTTOM,
      TOP,
    );
    const line = (values) =>
      values.map(([step, loss]) => `${across(step)},${losses.at(loss)}`).join(" ");
    raw.setAttribute("points", line(points));
    mean.setAttribute("points", line(means));
    grid.replaceChildren();
    for (let i = 0; i <= LINES; i++) {
      const loss = losses.low + ((losses.high - losses.low) * i) / LINES;
      const y = losses.at(loss);
      const step = Math.round((steps * i) / LINES);
      grid.append(
        svg("line", { x1: LEFT, x2: RIGHT, y1: y, y2: y }),
        label(LEFT - 4, y + 3, "end", loss.toPrecision(3)),
        label(across(step), HIGH - 6, "middle", `${step}`),
      );
    }
    const [, last] = means.at(-1);
    const done = stepsDone(points, steps);
    text = `step ${done} of ${steps}, loss ${last.toPrecision(3)}${pace(done)}`;
    for (const [name, value] of [
      ["min", 0],
      ["max", steps],
      ["now", stepsDone(points, steps)],
      ["text", text],
    ]) {
      plot.setAttribute(`aria-value${name}`, value);
    }
    // Whoever reads a step keeps it while the training goes on.
    if (at === undefined) caption.textContent = text;
    else read(nearest(means, at));
  }
  /** Puts the guide on a point of the curve and tells it. */
  function read([step, loss]) {
    at = step;
    guide.setAttribute("x1", across(step));
    guide.setAttribute("x2", across(step));
    plot.classList.add("visage-reading");
    caption.textContent = `at step ${Math.round(step)}: ${loss.toPrecision(4)}`;
    plot.setAttribute("aria-valuenow", Math.round(step));
    plot.setAttribute("aria-valuetext", caption.textContent);
  }
  function rest() {
    at = undefined;
    plot.classList.remove("visage-reading");
    caption.textContent = text;
  }
  const go = (by) => () => {
    if (!means.length) return;
    const here = at === undefined ? means.length - 1 : means.indexOf(nearest(means, at));
    read(means[Math.max(0, Math.min(means.length - 1, here + by))]);
  };
  onKeys(plot, {
    ArrowLeft: go(-1),
    ArrowRight: go(1),
    Home: go(-Infinity),
    End: go(Infinity),
    Escape: rest,
  });
  plot.addEventListener("blur", rest);
  plot.addEventListener("pointermove", (event) => {
    if (!means.length) return;
    const { x } = new DOMPoint(event.clientX, event.clientY).matrixTransform(
      plot.getScreenCTM().inverse(),
    );
    read(nearest(means, ((x - LEFT) * steps) / (RIGHT - LEFT)));
  });
  plot.addEventListener("pointerleave", rest);
  return show;
}

const show = registerResults({
  name: "Visage.LossCurve",
  classes: NODES,
  read: (output) => output.loss_curve?.[0],
  make: makeCurve,
});

api.addEventListener("visage.loss", ({ detail }) => show(nodeByExecutionId(detail.node), detail));

// One line at the foot of the page while a node of Visage runs for long: stage, step and time left.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { html, nodeByExecutionId } from "./panel.js";
import { progressText } from "./plotting.js";

const PATIENCE = 2000; // milliseconds that a node may run before it is told of

const line = html("div", { class: "visage-progress", role: "progressbar", hidden: "" });
document.body.append(line);

let stages = {}; // of nodes by their execution id
let runs = {}; // of nodes by their execution id: when it began, and [step, milliseconds] seen

function end() {
  stages = {};
  runs = {};
  line.hidden = true;
}

/** The node on the canvas that shows this state; an expanded node stands for what it expands to. */
const shownNode = (state) =>
  nodeByExecutionId(state.display_node_id ?? state.node_id) ?? nodeByExecutionId(state.node_id);

function watch(state) {
  const { node_id: id, value, max } = state;
  const now = performance.now();
  runs[id] ??= { began: now, seen: [] };
  const run = runs[id];
  // Another pass of the same node has begun, with steps of its own.
  if (value < (run.seen.at(-1)?.[0] ?? 0) || max !== run.total) run.seen = [];
  run.total = max;
  run.stages = stages[id];
  run.seen.push([value, now]);
  return now - run.began >= PATIENCE && max > 1 && value < max ? run : undefined;
}

api.addEventListener("visage.stages", ({ detail }) => {
  stages[detail.node] = detail.stages;
});
api.addEventListener("progress_state", ({ detail }) => {
  const running = Object.values(detail.nodes).filter(({ state }) => state === "running");
  line.hidden = true;
  for (const state of running) {
    const node = shownNode(state);
    const run = node?.comfyClass?.startsWith("Visage") && watch(state);
    if (!run) continue;
    line.textContent = progressText(node.getTitle?.() ?? node.title, run);
    line.style.setProperty("--done", `${(100 * state.value) / state.max}%`);
    line.setAttribute("aria-label", node.title);
    line.setAttribute("aria-valuemax", state.max);
    line.setAttribute("aria-valuenow", state.value);
    line.setAttribute("aria-valuetext", line.textContent);
    line.hidden = false;
  }
});
for (const name of [
  "execution_start",
  "execution_success",
  "execution_error",
  "execution_interrupted",
])
  api.addEventListener(name, end);

app.registerExtension({ name: "Visage.ProgressLine" });

// Trade-off: the curve on the node. Pointing at a run reads it; a click shows its picture.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addPanel, after, html, nodeByLocatorId, svg, whenCached } from "./panel.js";

const NODE = "VisageTradeoff";
const HEIGHT = 220;
const WIDE = 320;
const HIGH = 190;
const LEFT = 40;
const RIGHT = 310;
const TOP = 12;
const BOTTOM = 158;
const plots = new WeakMap();

/** Rows of a table, where a field with commas is quoted. */
const readTable = (text) =>
  text.trim().split("\n").map((line) =>
    [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)]
      .slice(0, -1)
      .map(([, field]) => field.replace(/^"|"$/g, "").replaceAll('""', '"')),
  );

function readRuns(text) {
  const [, ...rows] = readTable(text);
  return rows.map(([label, style, identity, front]) => ({
    label,
    style: Number(style),
    identity: Number(identity),
    front: front === "1",
  }));
}

/**
 * The picture that was scored in the newest run of this label, from the server's history: it is
 * there when a Save Image or Preview Image has it, too.
 */
async function pictureOf(label) {
  const history = await (await api.fetchApi("/history?max_items=500")).json();
  for (const { prompt, outputs } of Object.values(history).reverse()) {
    const nodes = prompt[2];
    const run = Object.values(nodes).find(
      (node) => node.class_type === NODE && node.inputs.label === label,
    );
    if (!run) continue;
    const scored = nodes[run.inputs.identity[0]]?.inputs.result;
    if (!scored) continue;
    for (const [id, output] of Object.entries(outputs)) {
      const same = String(nodes[id]?.inputs.images) === String(scored);
      if (same && output.images?.length) return output.images[0];
    }
  }
}

const label = (x, y, anchor, text) => svg("text", { x, y, "text-anchor": anchor }, text);

function makePlot(node) {
  const plot = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}` });
  const caption = html("div", { class: "visage-caption" });
  const picture = html("img", { class: "visage-run", hidden: "", title: "Back to the curve" });
  const content = html("div", { class: "visage-tradeoff" }, plot, picture, caption);
  addPanel(node, "trade-off", content, () => HEIGHT);
  node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
  picture.addEventListener("click", () => {
    picture.hidden = true;
    caption.textContent = "";
  });

  const say = ({ label, style, identity }) =>
    (caption.textContent = `${label}: style ${style}, identity ${identity}`);

  async function showPicture(run) {
    const found = await pictureOf(run.label);
    if (!found) {
      caption.textContent = `${run.label}: give its picture to a Preview Image to see it here`;
      return;
    }
    picture.src = api.apiURL(`/view?${new URLSearchParams(found)}`);
    picture.alt = run.label;
    picture.hidden = false;
    say(run);
  }

  return (runs) => {
    const scale = (name, from, to) => {
      const values = runs.map((run) => run[name]);
      const low = Math.min(...values);
      const span = Math.max(...values) - low || 1;
      const at = (value) => from + ((to - from) * (value - low)) / span;
      return { at, low, high: low + span };
    };
    const x = scale("style", LEFT + 8, RIGHT - 8);
    const y = scale("identity", BOTTOM - 8, TOP + 8);
    const front = runs.filter((run) => run.front).sort((a, b) => a.style - b.style);
    const line = front.map((run) => `${x.at(run.style)},${y.at(run.identity)}`).join(" ");
    plot.replaceChildren(
      svg("path", { class: "visage-axes", d: `M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}` }),
      label(LEFT - 4, TOP + 11, "end", y.high.toFixed(2)),
      label(LEFT - 4, BOTTOM - 5, "end", y.low.toFixed(2)),
      label(LEFT + 8, BOTTOM + 13, "middle", x.low.toFixed(2)),
      label(RIGHT - 8, BOTTOM + 13, "end", x.high.toFixed(2)),
      label((LEFT + RIGHT) / 2, BOTTOM + 26, "middle", "style →"),
      svg("text", { class: "visage-upwards", "text-anchor": "middle" }, "identity →"),
      svg("polyline", { points: line }),
    );
    for (const run of runs) {
      const place = { cx: x.at(run.style), cy: y.at(run.identity), r: 5 };
      const dot = svg("circle", {
        ...place,
        class: run.front ? "visage-front" : "",
        role: "button",
        tabindex: 0,
        "aria-label": run.label,
      });
      dot.addEventListener("pointerenter", () => say(run));
      dot.addEventListener("pointerleave", () => (caption.textContent = ""));
      dot.addEventListener("click", () => showPicture(run));
      plot.append(dot);
    }
    picture.hidden = true;
    app.canvas.setDirty(true, true);
  };
}

function showOn(node, output) {
  if (node?.comfyClass !== NODE) return;
  const runs = readRuns(output?.text?.[0] ?? "");
  if (!runs.length) return;
  if (!plots.has(node)) plots.set(node, makePlot(node));
  plots.get(node)(runs);
}

whenCached(showOn);

app.registerExtension({
  name: "Visage.Tradeoff",
  nodeCreated(node) {
    if (node.comfyClass === NODE) after(node, "onExecuted", (output) => showOn(node, output));
  },
  // When another workflow's tab is opened again.
  onNodeOutputsUpdated(outputs) {
    for (const [id, output] of Object.entries(outputs)) {
      showOn(nodeByLocatorId(id), output);
    }
  },
});

// Trade-off: the curve on the node. Pointing at a run reads it; a click shows its picture.
import { api } from "../../scripts/api.js";
import { addPanel, html, onKeys, registerResults, svg } from "./panel.js";
import { scale } from "./plotting.js";

const NODE = "VisageTradeoff";
const HEIGHT = 220;
const WIDE = 320;
const HIGH = 190;
const LEFT = 40;
const RIGHT = 310;
const TOP = 12;
const BOTTOM = 158;

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
  const plot = svg("svg", {
    viewBox: `0 0 ${WIDE} ${HIGH}`,
    role: "group",
    "aria-label": "style and identity of each run",
  });
  const caption = html("div", { class: "visage-caption", "aria-live": "polite" });
  const picture = html("img", { class: "visage-run", hidden: "", title: "Back to the curve" });
  picture.tabIndex = 0;
  picture.setAttribute("role", "button");
  const content = html("div", { class: "visage-tradeoff" }, plot, picture, caption);
  addPanel(node, "trade-off", content, () => HEIGHT);
  let opener;
  function back() {
    picture.hidden = true;
    caption.textContent = "";
    opener?.focus();
  }
  picture.addEventListener("click", back);
  onKeys(picture, { Escape: back, Enter: back, " ": back });

  const words = ({ label, style, identity }) =>
    `${label}: style ${style.toFixed(4)}, identity ${identity.toFixed(4)}`;
  const say = (run) => (caption.textContent = words(run));
  function quiet() {
    if (picture.hidden) caption.textContent = "";
  }

  async function showPicture(run, dot) {
    const found = await pictureOf(run.label);
    if (!found) {
      caption.textContent = `${run.label}: give its picture to a Preview Image to see it here`;
      return;
    }
    picture.src = api.apiURL(`/view?${new URLSearchParams(found)}`);
    picture.alt = `the picture of ${run.label}`;
    picture.hidden = false;
    opener = dot;
    picture.focus({ preventScroll: true });
    say(run);
  }

  return (runs) => {
    const x = scale(
      runs.map((run) => run.style),
      LEFT + 8,
      RIGHT - 8,
    );
    const y = scale(
      runs.map((run) => run.identity),
      BOTTOM - 8,
      TOP + 8,
    );
    const front = runs.filter((run) => run.on_front).sort((a, b) => a.style - b.style);
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
        class: run.on_front ? "visage-front" : "",
        role: "button",
        tabindex: 0,
        "aria-label": words(run) + (run.on_front ? ", on the front" : ""),
      });
      const open = () => showPicture(run, dot);
      for (const event of ["pointerenter", "focus"]) dot.addEventListener(event, () => say(run));
      for (const event of ["pointerleave", "blur"]) dot.addEventListener(event, quiet);
      dot.addEventListener("click", open);
      onKeys(dot, { Enter: open, " ": open });
      plot.append(dot);
    }
    picture.hidden = true;
  };
}

registerResults({
  name: "Visage.Tradeoff",
  classes: [NODE],
  read: (output) => output.runs,
  make: makePlot,
});

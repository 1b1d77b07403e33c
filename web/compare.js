// A slider between two pictures: on Compare, and with a proof below on nodes that change a picture.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addPanel, html, onKeys, registerResults } from "./panel.js";

const COMPARE = "VisageCompare";
const PROVEN = ["VisagePixelBlend", "VisageRecolour"];
const HEIGHT = 200;
const STEP = 1; // percent that an arrow key moves the slider by
const LEAP = 10;

const addressOf = (picture) =>
  api.apiURL(`/view?${new URLSearchParams(picture)}${app.getRandParam()}`);

function makeSlider(node) {
  const before = html("img", { class: "visage-before", draggable: false });
  const behind = html("img", { draggable: false });
  const names = [html("span"), html("span", { class: "visage-right" })];
  const handle = html("div", { class: "visage-handle" });
  const range = html("input", { type: "range", min: 0, max: 100, step: 0.1, value: 50 });
  const stage = html("div", { class: "visage-stage" }, behind, before, handle, ...names, range);
  const back = html("button", { type: "button", "aria-label": "previous pair" }, "‹");
  const forth = html("button", { type: "button", "aria-label": "next pair" }, "›");
  const count = html("span", { "aria-live": "polite" });
  const pager = html("div", { class: "visage-pager" }, back, count, forth);
  const text = html("div", { class: "visage-proof", role: "status" });
  const hint = html("div", { class: "visage-caption visage-hint" }, "Run the workflow to compare");
  const content = html(
    "div",
    { class: "visage-compare visage-empty" },
    html("div", { class: "visage-fit" }, stage),
    hint,
    pager,
    text,
  );
  addPanel(node, "comparison", content, () => HEIGHT);

  let shown = { a_images: [], b_images: [], labels: [] };
  let at = 0;

  const pick = (list) => list[at % list.length];
  function show() {
    const pairs = Math.max(shown.a_images.length, shown.b_images.length);
    at = (at + pairs) % pairs;
    before.src = addressOf(pick(shown.a_images));
    behind.src = addressOf(pick(shown.b_images));
    pager.hidden = pairs < 2;
    count.textContent = `${at + 1} / ${pairs}`;
    const lines = shown.text?.[0]?.split("\n") ?? [];
    text.textContent = lines[at] ?? "";
    text.hidden = !lines[at];
    text.classList.toggle("visage-untouched", !!shown.untouched?.[at]);
  }
  function split() {
    stage.style.setProperty("--split", `${range.value}%`);
    const [left, right] = shown.labels;
    const share = Math.round(range.value);
    range.setAttribute("aria-valuetext", `${share} % ${left}, ${100 - share} % ${right}`);
  }
  const move = (by) => () => {
    range.value = Number(range.value) + by;
    split();
  };
  range.addEventListener("input", split);
  onKeys(range, {
    ArrowLeft: move(-STEP),
    ArrowDown: move(-STEP),
    ArrowRight: move(STEP),
    ArrowUp: move(STEP),
    PageDown: move(-LEAP),
    PageUp: move(LEAP),
    Home: move(-100),
    End: move(100),
  });
  behind.addEventListener("load", () =>
    stage.style.setProperty("--ratio", behind.naturalWidth / behind.naturalHeight),
  );
  for (const [button, step] of [
    [back, -1],
    [forth, 1],
  ]) {
    button.addEventListener("click", () => {
      at += step;
      show();
    });
  }
  return (output) => {
    shown = output;
    shown.labels.forEach((label, side) => {
      names[side].textContent = label;
      names[side].hidden = !label;
    });
    range.setAttribute("aria-label", `from ${shown.labels.join(" to ")}`);
    before.alt = shown.labels[0];
    behind.alt = shown.labels[1];
    split();
    content.classList.remove("visage-empty");
    show();
  };
}

registerResults({
  name: "Visage.Compare",
  classes: [COMPARE, ...PROVEN],
  // The others have something to show after their first run only.
  waiting: [COMPARE],
  read: (output) => (output.a_images?.length && output.b_images?.length ? output : undefined),
  make: makeSlider,
});

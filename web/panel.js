// What the parts of this extension share: elements, panels on nodes, and results from the cache.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 8;

document.head.append(
  Object.assign(document.createElement("link"), {
    rel: "stylesheet",
    href: new URL("visage.css", import.meta.url),
  }),
);

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** An HTML element with attributes and children. */
export const html = (name, attributes = {}, ...children) =>
  filled(document.createElement(name), attributes, children);

/** An SVG element with attributes and children. */
export const svg = (name, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, name), attributes, children);

/** Calls `action` after whatever the node does at its own event `name`, such as onExecuted. */
export function after(node, name, action) {
  const before = node[name];
  node[name] = function (...values) {
    const result = before?.apply(this, values);
    action(...values);
    return result;
  };
}

/**
 * Puts an element under the node's widgets, at least `height()` pixels high. It has no value: it is
 * neither saved with a workflow nor sent to the server.
 */
export function addPanel(node, name, content, height) {
  const frame = html("div", { class: "visage-panel" }, content);
  // A press that nothing here handles moves the node; one that is handled must not.
  frame.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button, input, select, [role]")) event.stopPropagation();
  });
  const widget = node.addDOMWidget(name, "visage_panel", frame, {
    serialize: false,
    hideOnZoom: false,
    hideInPanel: true,
    margin: MARGIN,
    getMinHeight: () => {
      frame.style.minHeight = `${height()}px`;
      return height() + 2 * MARGIN;
    },
  });
  widget.serialize = false;
  return widget;
}

/** The node that the server knows by this id; inside a subgraph ids are joined by colons. */
export function nodeByExecutionId(id) {
  const path = String(id).split(":");
  const graph = path.slice(0, -1).reduce((graph, step) => graph?.getNodeById(step)?.subgraph, root());
  return graph?.getNodeById(path.at(-1));
}

/** The node that the canvas keeps outputs for under this id; a subgraph's own id may lead it. */
export function nodeByLocatorId(id) {
  const [node, subgraph] = String(id).split(":").reverse();
  const graph = subgraph === undefined ? root() : root().subgraphs?.get(subgraph);
  return graph?.getNodeById(node);
}

const root = () => app.graph.rootGraph ?? app.graph;

let cached;
const cacheListeners = [];

/**
 * Calls `show(node, output)` after a run for each node whose result ComfyUI took from its cache: it
 * sends no message for these, unless they are the last of their chain.
 */
export const whenCached = (show) => cacheListeners.push(show);

api.addEventListener("execution_cached", ({ detail }) => (cached = detail));
api.addEventListener("executing", async ({ detail }) => {
  if (detail !== null || !cached?.nodes.length) return;
  const { prompt_id, nodes } = cached;
  cached = undefined;
  const history = await (await api.fetchApi(`/history/${prompt_id}`)).json();
  const outputs = history[prompt_id]?.outputs ?? {};
  for (const id of nodes) {
    const node = nodeByExecutionId(id);
    if (node && outputs[id]) for (const show of cacheListeners) show(node, outputs[id]);
  }
});

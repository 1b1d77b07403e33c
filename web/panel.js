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

/**
 * Calls `keys[event.key]` for a key pressed on the element, and keeps it from the page: there it
 * would be a shortcut.
 */
export function onKeys(element, keys) {
  element.addEventListener("keydown", (event) => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    action(event);
  });
}

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
  const frame = html("div", { class: "visage-panel", role: "group", "aria-label": name }, content);
  // A press that nothing here handles moves the node; one that is handled must not.
  frame.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button, input, select, [role]")) event.stopPropagation();
  });
  // Nor may a key that presses something here be a shortcut of the page, such as Enter or Space.
  frame.addEventListener("keydown", (event) => {
    if (event.target.closest("button, select") && [" ", "Enter"].includes(event.key))
      event.stopPropagation();
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
  const graph = path
    .slice(0, -1)
    .reduce((graph, step) => graph?.getNodeById(step)?.subgraph, root());
  return graph?.getNodeById(path.at(-1));
}

/** The node that the canvas keeps outputs for under this id; a subgraph's own id may lead it. */
export function nodeByLocatorId(id) {
  const [node, subgraph] = String(id).split(":").reverse();
  const graph = subgraph === undefined ? root() : root().subgraphs?.get(subgraph);
  return graph?.getNodeById(node);
}

/**
 * Registers the extension `name`: a panel that shows what a node's run gave, also when ComfyUI took
 * that from its cache or a workflow's tab is opened again.
 *
 * `read(output)` picks what is shown from a run's output, nothing if it has none. `make(node)` adds
 * the panel and returns the function that shows it; that happens at the first result, or at once
 * for a class in `waiting`. Returns the function that shows a result on a node.
 */
export function registerResults({ name, classes, read, make, waiting = [] }) {
  const panels = new WeakMap();
  const wanted = (node) => classes.includes(node?.comfyClass);

  function panelOf(node) {
    if (!panels.has(node)) {
      panels.set(node, make(node));
      node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
    }
    return panels.get(node);
  }
  function show(node, result) {
    if (!result || !wanted(node)) return;
    panelOf(node)(result);
    app.canvas.setDirty(true, true);
  }
  const showOutput = (node, output) => output && show(node, read(output));

  whenCached(showOutput);
  app.registerExtension({
    name,
    nodeCreated(node) {
      if (!wanted(node)) return;
      if (waiting.includes(node.comfyClass)) panelOf(node);
      after(node, "onExecuted", (output) => showOutput(node, output));
    },
    onNodeOutputsUpdated(outputs) {
      for (const [id, output] of Object.entries(outputs)) showOutput(nodeByLocatorId(id), output);
    },
  });
  return show;
}

const root = () => app.graph.rootGraph ?? app.graph;

const locatorOf = ({ id, graph }) => (graph === root() ? String(id) : `${graph.id}:${id}`);

let cached;
const cacheListeners = [];

/**
 * Calls `show(node, output)` after a run for each node whose result ComfyUI took from its cache: it
 * sends no message for these, unless they are the last of their chain.
 */
const whenCached = (show) => cacheListeners.push(show);

api.addEventListener("execution_cached", ({ detail }) => (cached = detail));
api.addEventListener("executing", async ({ detail }) => {
  if (detail !== null || !cached?.nodes.length) return;
  const { prompt_id, nodes } = cached;
  const graph = root();
  cached = undefined;
  const history = await (await api.fetchApi(`/history/${prompt_id}`)).json();
  const outputs = history[prompt_id]?.outputs ?? {};
  if (root() !== graph) return; // another workflow was opened while the server answered
  for (const id of nodes) {
    const node = nodeByExecutionId(id);
    if (!node || !outputs[id]) continue;
    // Kept as those of a run are, so that they come back with the workflow's tab.
    app.nodeOutputs[locatorOf(node)] = outputs[id];
    for (const show of cacheListeners) show(node, outputs[id]);
  }
});

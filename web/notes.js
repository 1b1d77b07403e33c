// What a node says below itself after a run (engines/comfyui/messages.py) is not saved with the
// workflow: a later version might read it as the value of an input that was appended.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { nodeByExecutionId } from "./panel.js";

const TEXT = "$$node-text-preview"; // ComfyUI's name for the widget that shows it

api.addEventListener("progress_text", ({ detail }) => {
  // ComfyUI adds the widget when it hears of the same event.
  setTimeout(() => {
    const node = nodeByExecutionId(detail.nodeId);
    if (!node?.comfyClass?.startsWith("Visage")) return;
    for (const widget of node.widgets ?? []) if (widget.name === TEXT) widget.serialize = false;
  });
});

app.registerExtension({ name: "Visage.Notes" });

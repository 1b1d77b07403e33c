// The shipped workflows name the public model files. When one is opened on a machine that has that
// kind of model under another name, the loader takes the machine's own file, and a message says so.
import { app } from "../../scripts/app.js";
import { standIn } from "./model_names.js";

const LOADERS = { CheckpointLoaderSimple: "ckpt_name", UNETLoader: "unet_name" };
// What the shipped workflows name; another name is a person's own choice.
const SHIPPED = [
  "sd-v1-5-inpainting.safetensors",
  "v1-5-pruned-emaonly-fp16.safetensors",
  "sd_xl_base_1.0.safetensors",
  "sd_xl_base_1.0_inpainting_0.1.safetensors",
  "flux1-fill-dev.safetensors",
  "flux1-dev-kontext_fp8_scaled.safetensors",
  "qwen_image_edit_fp8_e4m3fn.safetensors",
];

function takeOwnModel(node) {
  const widget = node.widgets?.find((widget) => widget.name === LOADERS[node.type]);
  if (!widget || !SHIPPED.includes(widget.value)) return;
  const { values } = widget.options;
  const files = typeof values === "function" ? values() : (values ?? []);
  const own = files.includes(widget.value) ? undefined : standIn(widget.value, files);
  if (!own) return;
  app.extensionManager?.toast?.add({
    severity: "info",
    summary: `${node.title}: ${own}`,
    detail: `The workflow names ${widget.value}, which is not here; this is of its kind.`,
    life: 8000,
  });
  widget.value = own;
}

app.registerExtension({
  name: "Visage.OwnModels",
  afterConfigureGraph() {
    const nodes = app.graph?.nodes ?? [];
    if (!nodes.some((node) => node.type?.startsWith("Visage"))) return;
    for (const node of nodes) takeOwnModel(node);
  },
});

// The shipped workflows edit a photograph that ComfyUI does not bring: when one of them is opened
// and the photograph is not in the input folder yet, it is put there. Without this script the
// workflows still work, with a picture chosen by hand.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const SAMPLE = "visage_astronaut.png";
let added = false;

const usesSample = (graph) =>
  graph.nodes?.some((node) => node.type === "LoadImage" && node.widgets_values?.[0] === SAMPLE);

async function isThere() {
  const info = await (await api.fetchApi("/object_info/LoadImage")).json();
  return info.LoadImage.input.required.image[0].includes(SAMPLE);
}

async function addSample() {
  const picture = await fetch(new URL(`samples/${SAMPLE}`, import.meta.url));
  const form = new FormData();
  form.append("image", await picture.blob(), SAMPLE);
  added = (await api.fetchApi("/upload/image", { method: "POST", body: form })).ok;
}

app.registerExtension({
  name: "Visage.SamplePicture",
  async beforeConfigureGraph(graph) {
    if (usesSample(graph) && !(await isThere())) await addSample();
  },
  async afterConfigureGraph() {
    if (!added) return;
    added = false;
    await app.refreshComboInNodes();
  },
});

// The shipped workflows use pictures that ComfyUI does not bring: when one of them is opened and
// its pictures are not in the input folder yet, they are put there. Without this script the
// workflows still work, with pictures chosen by hand.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const SAMPLES = [
  "visage_astronaut.png",
  "visage_clip.webp",
  "visage_group.png",
  "visage_leather.jpg",
  "visage_painting_night.jpg",
  "visage_painting_orchard.jpg",
  "visage_portrait.png",
  "visage_style_ink.png",
  "visage_style_pencil.png",
  "visage_style_watercolour.png",
];
let added = false;

const usedSamples = (graph) =>
  SAMPLES.filter((sample) =>
    graph.nodes?.some((node) => node.type === "LoadImage" && node.widgets_values?.[0] === sample),
  );

async function inputPictures() {
  const info = await (await api.fetchApi("/object_info/LoadImage")).json();
  return info.LoadImage.input.required.image[0];
}

async function addSample(sample) {
  const picture = await fetch(new URL(`samples/${sample}`, import.meta.url));
  const form = new FormData();
  form.append("image", await picture.blob(), sample);
  if ((await api.fetchApi("/upload/image", { method: "POST", body: form })).ok) added = true;
}

app.registerExtension({
  name: "Visage.SamplePicture",
  async beforeConfigureGraph(graph) {
    const used = usedSamples(graph);
    if (!used.length) return;
    const there = await inputPictures();
    for (const sample of used) if (!there.includes(sample)) await addSample(sample);
  },
  async afterConfigureGraph() {
    if (!added) return;
    added = false;
    await app.refreshComboInNodes();
  },
});

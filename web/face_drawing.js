// A face of nineteen parts to click on. Left and right are the viewer's, as in the face parser.
import { svg } from "./panel.js";

const WIDTH = 200;
const PUPILS = [78.5, 121.5];

// From back to front: part, kind of shape, attributes. Pairs are drawn on the left and mirrored.
const SHAPES = [
  [
    "hair",
    "path",
    { d: "M47 128C31 98 32 14 100 14s69 84 53 114c-4 14-12 20-24 22H71c-12-2-20-8-24-22Z" },
  ],
  ["clothes", "path", { d: "M8 212c4-30 32-40 70-46 10 10 34 10 44 0 38 6 66 16 70 46Z" }],
  ["neck", "path", { d: "M78 142v25c8 12 36 12 44 0v-25Z" }],
  ["necklace", "path", { d: "M74 170c10 20 42 20 52 0", class: "visage-line" }],
  ["necklace", "circle", { cx: 100, cy: 189, r: 5 }],
  ["left_ear", "ellipse", { cx: 50, cy: 102, rx: 8, ry: 14 }, "right_ear"],
  ["earring", "circle", { cx: 48, cy: 123, r: 5 }, "earring"],
  ["skin", "path", { d: "M55 86c0-32 18-48 45-48s45 16 45 48c0 44-18 74-45 74s-45-30-45-74Z" }],
  [
    "hair",
    "path",
    {
      d: "M53 98c-6-40 14-66 47-66s53 26 47 66c-2-16-8-28-22-38-18 10-44 10-58 6-8 8-12 18-14 32Z",
    },
  ],
  ["left_brow", "path", { d: "M66 83c6-8 16-9 25-4l-1 5c-9-4-16-3-23 3Z" }, "right_brow"],
  ["left_eye", "path", { d: "M66 98q12-12 25 0-12 10-25 0Z" }, "right_eye"],
  ["nose", "path", { d: "M97 96c0 10-7 18-6 24 2 6 16 6 18 0 1-6-6-14-6-24Z" }],
  ["mouth", "path", { d: "M78 134q22 8 44 0-22 18-44 0Z" }],
  ["upper_lip", "path", { d: "M74 133c11-5 20-8 26-4 6-4 15-1 26 4q-26 9-52 0Z" }],
  ["lower_lip", "path", { d: "M74 133q26 20 52 0c-9 26-43 26-52 0Z" }],
  ["glasses", "path", { d: "M95 97q5-4 10 0M62 95l-9-3M138 95l9-3", class: "visage-line" }],
  [
    "glasses",
    "rect",
    { x: 62, y: 86, width: 33, height: 25, rx: 10, class: "visage-line" },
    "glasses",
  ],
  [
    "hat",
    "path",
    { d: "M52 46c0-28 18-42 48-42s48 14 48 42c4 0 7 2 7 6s-3 6-7 6H52c-4 0-7-2-7-6s3-6 7-6Z" },
  ],
];

function shape(part, kind, attributes, name) {
  const label = name(part);
  return svg(
    kind,
    { "data-part": part, role: "checkbox", tabindex: 0, "aria-label": label, ...attributes },
    svg("title", {}, label),
  );
}

/** The face as an element; every part of it has `data-part`, and `name` gives its label. */
export function drawFace(name) {
  const face = svg("svg", { class: "visage-face", viewBox: "20 -2 160 200" });
  for (const [part, kind, attributes, mirrored] of SHAPES) {
    face.append(shape(part, kind, attributes, name));
    if (!mirrored) continue;
    const transform = `translate(${WIDTH}) scale(-1 1)`;
    face.append(shape(mirrored, kind, { ...attributes, transform }, name));
  }
  for (const cx of PUPILS)
    face.append(svg("circle", { cx, cy: 97, r: 3.5, class: "visage-pupil" }));
  return face;
}

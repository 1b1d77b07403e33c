import assert from "node:assert/strict";
import { test } from "node:test";
import { expand, shorten } from "../../web/part_lists.js";

const PRESETS = {
  face: ["skin", "left_eye", "right_eye", "nose"],
  "face and hair": ["skin", "left_eye", "right_eye", "nose", "hair"],
  eyes: ["left_eye", "right_eye"],
};
const ALL = ["skin", "left_eye", "right_eye", "nose", "hair", "hat"];

test("a preset stands for its parts, and nothing for the face", () => {
  assert.deepEqual([...expand(["eyes", "hat"], PRESETS)], ["left_eye", "right_eye", "hat"]);
  assert.deepEqual([...expand([], PRESETS)], PRESETS.face);
});

test("the largest preset that fits comes first, single parts in the parser's order", () => {
  assert.deepEqual(shorten(new Set(ALL), PRESETS, ALL), ["face and hair", "hat"]);
  const some = new Set(["hat", "right_eye", "left_eye", "nose"]);
  assert.deepEqual(shorten(some, PRESETS, ALL), ["eyes", "nose", "hat"]);
});

test("a shortened list means the same parts", () => {
  for (let bits = 1; bits < 1 << ALL.length; bits++) {
    const parts = new Set(ALL.filter((_, i) => bits & (1 << i)));
    assert.deepEqual(expand(shorten(parts, PRESETS, ALL), PRESETS), parts);
  }
});

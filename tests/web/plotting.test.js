import assert from "node:assert/strict";
import { test } from "node:test";
import {
  nearest,
  progressText,
  scale,
  secondsLeft,
  smooth,
  stageAt,
  stepsDone,
  timeLeft,
} from "../../web/plotting.js";

test("a short curve is not smoothed, a long one over a twentieth of it", () => {
  const short = [1, 5, 3].map((loss, step) => [step, loss]);
  assert.deepEqual(smooth(short), short);
  const long = Array.from({ length: 40 }, (_, step) => [step, step % 2]);
  const means = smooth(long);
  assert.deepEqual(means[0], [0, 0]);
  assert.ok(means.slice(1).every(([, loss]) => loss === 0.5));
});

test("the lowest value lands on `from` and the highest on `to`", () => {
  const { at, low, high } = scale([2, 6, 4], 100, 20);
  assert.deepEqual([at(2), at(4), at(6), low, high], [100, 60, 20, 2, 6]);
});

test("equal values have a place, too", () => {
  const { at, low, high } = scale([3, 3], 10, 20);
  assert.deepEqual([at(3), low, high], [10, 3, 4]);
});

test("steps behind the last point count as done, but never more than there are", () => {
  assert.equal(stepsDone([[1]], 10), 1);
  assert.equal(stepsDone([[4.5], [14.5], [24.5]], 100), 29);
  assert.equal(stepsDone([[40], [99]], 100), 100);
});

test("the nearest point is found from either side", () => {
  const points = [
    [0, "a"],
    [10, "b"],
    [20, "c"],
  ];
  assert.equal(nearest(points, 14)[1], "b");
  assert.equal(nearest(points, 16)[1], "c");
  assert.equal(nearest(points, 99)[1], "c");
});

test("what is left is told by the pace so far, and not before there is one", () => {
  assert.equal(secondsLeft([[5, 1000]], 100), undefined);
  assert.equal(
    secondsLeft(
      [
        [5, 1000],
        [6, 1500],
      ],
      100,
    ),
    undefined,
  );
  assert.equal(
    secondsLeft(
      [
        [5, 1000],
        [25, 3000],
      ],
      100,
    ),
    7.5,
  );
  assert.equal(
    secondsLeft(
      [
        [5, 1000],
        [100, 9000],
      ],
      100,
    ),
    0,
  );
});

test("time is told to what one can plan with", () => {
  const said = [undefined, 0, 2.2, 33, 89, 100, 4000, 9000].map(timeLeft);
  assert.deepEqual(said, [
    "",
    "",
    ", about 3 s left",
    ", about 35 s left",
    ", about 90 s left",
    ", about 2 min left",
    ", about 67 min left",
    ", about 3 h left",
  ]);
});

const STAGES = [
  ["inverting", 100],
  ["painting", 20],
];

test("a step lies in its stage", () => {
  assert.deepEqual(stageAt(STAGES, 1, 120), { name: "inverting", done: 1, steps: 100 });
  assert.deepEqual(stageAt(STAGES, 100, 120), { name: "inverting", done: 100, steps: 100 });
  assert.deepEqual(stageAt(STAGES, 101, 120), { name: "painting", done: 1, steps: 20 });
});

test("stages of another run than the bar's are not told", () => {
  assert.equal(stageAt(STAGES, 3, 20), undefined);
  assert.equal(stageAt(undefined, 3, 20), undefined);
});

test("a node's progress is its stage, its step and the time left", () => {
  const seen = [
    [0, 0],
    [60, 30_000],
  ];
  assert.equal(
    progressText("Invert", { stages: STAGES, seen, total: 120 }),
    "Invert: inverting 60 of 100, about 30 s left",
  );
  assert.equal(progressText("Paint", { seen, total: 60 }), "Paint: 60 of 60");
});

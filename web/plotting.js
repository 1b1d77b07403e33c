// What the plots on the nodes compute. Nothing here touches the page, so node can test it.

/** The mean of each value and those before it, over a twentieth of the points [[step, value]]. */
export function smooth(points) {
  const window = Math.max(1, Math.floor(points.length / 20));
  return points.map(([step], i) => {
    const part = points.slice(Math.max(0, i - window + 1), i + 1);
    return [step, part.reduce((sum, [, value]) => sum + value, 0) / part.length];
  });
}

/** Maps the range of the values to [from, to] on the plot; a range of one value is 1 wide. */
export function scale(values, from, to) {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const at = (value) => from + ((to - from) * (value - low)) / span;
  return { at, low, high: low + span };
}

/**
 * How many steps are done after these points. Each point of a long curve is the mean of a few steps
 * and stands in their middle, so the last of them lie behind the last point.
 */
export function stepsDone(points, steps) {
  const last = points.at(-1)[0];
  const before = points.at(-2)?.[0] ?? 0;
  return Math.min(Math.round(last + (last - before - 1) / 2), steps);
}

/** The point [step, value] whose step is nearest. */
export const nearest = (points, step) =>
  points.reduce((best, point) =>
    Math.abs(point[0] - step) < Math.abs(best[0] - step) ? point : best,
  );

/**
 * How many seconds are left of `steps`, by the pace of what was seen [[step, milliseconds]]; nothing
 * until that can be told, and 0 at the end.
 */
export function secondsLeft(seen, steps) {
  const [firstStep, began] = seen[0];
  const [step, now] = seen.at(-1);
  if (step >= steps) return 0;
  if (step === firstStep || now - began < 1000) return undefined;
  return ((steps - step) * (now - began)) / (step - firstStep) / 1000;
}

/** Seconds in words after a comma, to what one can plan with; nothing for none. */
export function timeLeft(seconds) {
  if (!seconds) return "";
  if (seconds < 10) return `, about ${Math.ceil(seconds)} s left`;
  if (seconds < 90) return `, about ${Math.round(seconds / 5) * 5} s left`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `, about ${minutes} min left`;
  return `, about ${Math.round(minutes / 60)} h left`;
}

/**
 * The stage [name, steps] in which step `done` of them all lies, and how far in it that is; nothing
 * where no stages are known, or they are not of `total` steps.
 */
export function stageAt(stages, done, total) {
  const sum = stages?.reduce((sum, [, steps]) => sum + steps, 0);
  if (sum !== total) return undefined;
  let before = 0;
  for (const [name, steps] of stages) {
    if (done <= before + steps) return { name, done: done - before, steps };
    before += steps;
  }
  return undefined;
}

/** How far a node is, in words: its stage where that is known, steps, and the time left. */
export function progressText(title, { stages, seen, total }) {
  const done = seen.at(-1)[0];
  const stage = stageAt(stages, done, total) ?? { done, steps: total };
  const name = stage.name ? `${title}: ${stage.name}` : `${title}:`;
  return `${name} ${stage.done} of ${stage.steps}${timeLeft(secondsLeft(seen, total))}`;
}

// Lists of face parts: presets and single parts. Nothing here touches the page, so node can test it.

/** The parts that a list of presets and parts means; an empty list means the preset face. */
export const expand = (choice, presets) =>
  new Set((choice.length ? choice : ["face"]).flatMap((name) => presets[name] ?? [name]));

/** The shortest list that means `parts`: presets as large as they fit, then single parts in the
 * order of `all`. */
export function shorten(parts, presets, all) {
  const rest = new Set(parts);
  const list = [];
  const bySize = Object.keys(presets).sort((a, b) => presets[b].length - presets[a].length);
  for (const preset of bySize) {
    if (!presets[preset].every((part) => rest.has(part))) continue;
    list.push(preset);
    for (const part of presets[preset]) rest.delete(part);
  }
  return [...list, ...all.filter((part) => rest.has(part))];
}

// Which of a user's model files stands for the one that a shipped workflow names. Files of models
// are known by their names alone here; two of one kind agree in every mark.
const MARKS = [
  /inpaint/i,
  /xl|pony|illustrious|noob/i,
  /flux/i,
  /fill/i,
  /kontext/i,
  /qwen/i,
  /edit/i,
  // Other families, other sizes, and what wants other settings of the sampler.
  /sd[-_. ]?[23]|stable[-_. ]?diffusion[-_. ]?[23]|(^|[^0-9])v?[23][-_.][0-9]|cascade|svd|video/i,
  /wan|ltx|hunyuan|chroma|z[-_.]?image|sana|lumina|hidream|pixart|aura|cosmos/i,
  /refiner|schnell|turbo|lightning|hyper|lcm|instruct|pix2pix/i,
];

/** The one file that fits, by its marks; undefined where none does or several do. */
export function standIn(wanted, files) {
  const fit = files.filter((file) => MARKS.every((mark) => mark.test(file) === mark.test(wanted)));
  return fit.length === 1 ? fit[0] : undefined;
}

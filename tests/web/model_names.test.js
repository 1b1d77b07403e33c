import assert from "node:assert/strict";
import { test } from "node:test";
import { standIn } from "../../web/model_names.js";

const INPAINTING = "sd-v1-5-inpainting.safetensors";
const PLAIN = "v1-5-pruned-emaonly-fp16.safetensors";
const SDXL = "sd_xl_base_1.0.safetensors";
const SDXL_INPAINTING = "sd_xl_base_1.0_inpainting_0.1.safetensors";
const OTHERS = ["sd3.5_medium.safetensors", "sd_xl_turbo_1.0.safetensors", "svd_xt.safetensors"];

test("a file of the same kind stands in, whatever it is called", () => {
  const files = ["dreamshaper_8.safetensors", "epicInpainting_v1.ckpt", "juggernautXL.safetensors"];
  const all = [...files, ...OTHERS, "juggernautXL-inpainting.safetensors"];
  assert.equal(standIn(INPAINTING, all), "epicInpainting_v1.ckpt");
  assert.equal(standIn(PLAIN, all), "dreamshaper_8.safetensors");
  assert.equal(standIn(SDXL, all), "juggernautXL.safetensors");
  assert.equal(standIn(SDXL_INPAINTING, all), "juggernautXL-inpainting.safetensors");
  assert.equal(standIn(SDXL, ["ponyDiffusionV6.safetensors"]), "ponyDiffusionV6.safetensors");
  const flux = [
    "flux1-dev.safetensors",
    "FLUX/fluxFillFP8.safetensors",
    "fluxKontext_q8.safetensors",
  ];
  assert.equal(standIn("flux1-fill-dev.safetensors", flux), flux[1]);
  assert.equal(standIn("flux1-dev-kontext_fp8_scaled.safetensors", flux), flux[2]);
});

test("nothing is guessed", () => {
  assert.equal(standIn(INPAINTING, []), undefined);
  assert.equal(standIn(PLAIN, OTHERS), undefined);
  assert.equal(standIn(INPAINTING, ["dreamshaper_8.safetensors"]), undefined);
  assert.equal(standIn(PLAIN, ["dreamshaper_8.safetensors", "epicrealism.safetensors"]), undefined);
});

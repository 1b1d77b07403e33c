"""The built-in models are ordinary MODEL, CLIP and VAE, and a soft mask reaches the UNet."""

from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import save_file
from visage.diffusion.latent import to_latent_size
from visage.models.checkpoints import read_weights
from visage.models.face_edit import FaceEditWeights, read_face_edit, write_face_edit
from visage.techniques.soft_inpaint import inpaint_condition


@contextmanager
def seen_by(model):
    """Collects what the UNet gets as its input, call by call."""
    seen = []
    hook = model.model.diffusion_model.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].clone())
    )
    try:
        yield seen
    finally:
        hook.remove()
    assert seen


@pytest.fixture
def run(comfyui_models, comfy_nodes):
    """Samples three steps with ComfyUI's own KSampler; returns the latent."""

    def sample(latent, positive, negative, model=comfyui_models[0], steps=3, guidance=3.0):
        with torch.inference_mode():
            (result,) = comfy_nodes.KSampler().sample(
                model, 1, steps, guidance, "euler", "normal", positive, negative, latent
            )
        return result["samples"]

    return sample


@pytest.fixture
def prompts(comfyui_models, comfy_nodes):
    with torch.inference_mode():
        encode = comfy_nodes.CLIPTextEncode().encode
        return encode(comfyui_models[1], "a face")[0], encode(comfyui_models[1], "blue")[0]


@pytest.fixture
def inpainting(comfyui_models, prompts, picture, soft_mask):
    """Conditioning pair, latent and condition, as Soft Inpaint makes them."""
    from visage.engines.comfyui.inpaint_conditioning import attach_inpaint

    with torch.inference_mode():
        condition = inpaint_condition(picture, soft_mask, comfyui_models[2].encode, 0.18215)
        positive, negative = attach_inpaint(prompts, condition)
    latent = {"samples": condition.latent, "noise_mask": to_latent_size(condition.mask)}
    return positive, negative, latent, condition


class TestSoftMask:
    """The guard: if ComfyUI ever drops `noise_concat`, these fail."""

    def test_reaches_the_unet_with_all_its_values(self, inpainting, comfyui_models, run):
        positive, negative, latent, condition = inpainting
        with seen_by(comfyui_models[0]) as seen:
            run(latent, positive, negative)
        wanted = len(condition.latent_mask.unique())
        assert wanted > 20
        for channels in seen:
            assert len(channels[:, 4].unique()) == wanted
            expected = condition.concat.repeat(len(channels) // 2, 1, 1, 1)
            assert torch.equal(channels[:, 4:], expected)

    def test_is_rounded_by_native_conditioning(
        self, prompts, comfy_nodes, comfyui_models, run, picture, soft_mask
    ):
        """What the guard guards against; when this fails, ComfyUI keeps masks soft by itself."""
        with torch.inference_mode():
            positive, negative, latent = comfy_nodes.InpaintModelConditioning().encode(
                *prompts, picture, comfyui_models[2], soft_mask
            )
        with seen_by(comfyui_models[0]) as seen:
            run(latent, positive, negative)
        assert all(len(channels[:, 4].unique()) == 2 for channels in seen)

    def test_both_prompts_stay_in_one_batch(self, inpainting, comfyui_models, run):
        positive, negative, latent, _ = inpainting
        with seen_by(comfyui_models[0]) as seen:
            run(latent, positive, negative, steps=4)
        assert [len(channels) for channels in seen] == [4, 4, 4, 4]

    def test_without_guidance_the_negative_is_not_run(self, inpainting, comfyui_models, run):
        positive, negative, latent, _ = inpainting
        with seen_by(comfyui_models[0]) as seen:
            run(latent, positive, negative, guidance=1.0)
        assert [len(channels) for channels in seen] == [2, 2, 2]

    def test_reaches_every_kind_of_sampler(self, inpainting, comfy, comfy_nodes, comfyui_models):
        positive, negative, latent, condition = inpainting
        model = comfyui_models[0]
        with torch.inference_mode(), seen_by(model) as seen:
            comfy_nodes.KSamplerAdvanced().sample(
                model, "enable", 1, 3, 3.0, "dpmpp_2m", "karras", positive, negative, latent,
                0, 2, "enable",
            )  # fmt: skip
            comfy.sample.sample_custom(
                model,
                torch.randn_like(condition.latent),
                3.0,
                comfy.samplers.sampler_object("heun"),
                torch.tensor([5.0, 1.0, 0.0]),
                positive,
                negative,
                condition.latent,
            )
        assert len(seen) > 4
        for channels in seen:
            assert len(channels[:, 4].unique()) == len(condition.latent_mask.unique())

    def test_follows_a_latent_of_another_size(self, inpainting, comfyui_models, run):
        """A second pass over an enlarged latent keeps the same conditioning."""
        positive, negative, _, condition = inpainting
        with seen_by(comfyui_models[0]) as seen:
            run({"samples": torch.zeros(2, 4, 18, 21)}, positive, negative)
        assert seen[0].shape == (4, 9, 18, 21)
        assert abs(seen[0][:, 4].mean() - condition.latent_mask.mean()) < 0.05

    def test_survives_hooks_of_other_nodes(self, inpainting, comfyui_models, comfy, run):
        """A LoRA hook on one prompt alone has its own batch by ComfyUI's rules, mask and all."""
        positive, negative, latent, condition = inpainting
        hooks = comfy.hooks.create_hook_lora({}, 1.0, 1.0)
        positive = comfy.hooks.set_hooks_for_conditioning(positive, hooks)
        with seen_by(comfyui_models[0]) as seen:
            run(latent, positive, negative)
        assert all(torch.equal(channels[:, 4:], condition.concat) for channels in seen)

    def test_keeps_hooked_prompts_in_one_batch(
        self, inpainting, comfyui_models, comfy, prompts, run
    ):
        from visage.engines.comfyui.inpaint_conditioning import attach_inpaint

        *_, latent, condition = inpainting
        hooks = comfy.hooks.create_hook_lora({}, 1.0, 1.0)
        hooked = [comfy.hooks.set_hooks_for_conditioning(prompt, hooks) for prompt in prompts]
        with seen_by(comfyui_models[0]) as seen:
            run(latent, *attach_inpaint(hooked, condition))
        assert [len(channels) for channels in seen] == [4, 4, 4]

    def test_leaves_nothing_behind_in_the_model(self, inpainting, prompts, comfyui_models, run):
        positive, negative, latent, _ = inpainting
        run(latent, positive, negative)
        with seen_by(comfyui_models[0]) as seen:
            run({"samples": latent["samples"]}, *prompts)
        assert all((channels[:, 4] == 1).all() for channels in seen)


class TestModel:
    def test_the_whole_picture_masked_is_gray_to_our_own_vae(self, prompts, comfyui_models, run):
        """Text to image on an inpainting model: mask 1 everywhere, the gray picture behind it."""
        model, _, vae = comfyui_models
        with seen_by(model) as seen:
            run({"samples": torch.zeros(1, 4, 8, 8)}, *prompts)
        with torch.inference_mode():
            gray = vae.encode(torch.full((1, 64, 64, 3), 0.5)) * 0.18215
        assert (seen[0][:, 4] == 1).all()
        assert (seen[0][:, 5:] - gray).abs().mean() < 0.05

    def test_previews_have_the_files_own_colours(self, comfyui_models):
        latent_format = comfyui_models[0].model.latent_format
        assert latent_format.latent_rgb_factors == [[0.1, 0.2, 0.3]] * 4
        assert latent_format.latent_rgb_factors_bias == [0.0, 0.1, 0.2]

    @pytest.mark.parametrize("parts", [(0, 1, 2), (0,)])
    def test_saving_a_checkpoint_that_could_not_be_read_is_refused(
        self, parts, comfy, comfyui_models, tmp_path
    ):
        model, clip, vae = (part if i in parts else None for i, part in enumerate(comfyui_models))
        with pytest.raises(ValueError, match="cannot be saved as a checkpoint"):
            comfy.sd.save_checkpoint(str(tmp_path / "starter.safetensors"), model, clip, vae)
        assert not list(tmp_path.iterdir())

    def test_an_ordinary_lora_fits_every_attention_layer(self, comfy, comfyui_models):
        """kohya's names, as every LoRA for SD 1.5 has them."""
        model = comfyui_models[0]
        key_map = comfy.lora.model_lora_keys_unet(model.model, {})
        modules = [name for name in key_map if name.startswith("lora_unet_") and "attn" in name]
        modules = [name for name in modules if "blocks" in name and name.endswith(("_q", "_to_v"))]
        lora = {}
        for name in modules:
            rows, columns = model.model.state_dict()[key_map[name]].shape
            lora[f"{name}.lora_up.weight"] = torch.randn(rows, 2)
            lora[f"{name}.lora_down.weight"] = torch.randn(2, columns)
        patched, _ = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 1.0)
        assert len(patched.patches) == 64

    def test_a_missing_file_is_named(self, random_starter, comfy, tmp_path):
        from visage.engines.comfyui.starter import load_starter

        with pytest.raises(FileNotFoundError, match=r"starter's vae is missing.*visage train"):
            load_starter(tmp_path)

    def test_a_file_of_another_build_is_named(self, random_starter, comfy, tmp_path):
        from visage.engines.comfyui.starter import load_starter

        for part in ("vae", "unet", "scheduler"):
            (tmp_path / part).mkdir()
            for file in (random_starter / part).iterdir():
                (tmp_path / part / file.name).write_bytes(file.read_bytes())
        path = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
        weights = read_weights(path)
        del weights["conv_in.weight"]
        save_file(weights, path)
        with pytest.raises(ValueError, match=r"unet.*1 weights are missing \(input_blocks"):
            load_starter(tmp_path)


class TestImageEncoder:
    def test_pictures_look_to_comfyui_as_they_look_to_transformers(self, random_starter, comfy):
        from comfy.clip_vision import clip_preprocess
        from transformers import CLIPVisionModelWithProjection
        from visage.engines.comfyui.clip_vision import load_image_encoder

        folder = random_starter / "image_encoder"
        reference = CLIPVisionModelWithProjection.from_pretrained(folder, dtype=torch.float32)
        pictures = torch.rand(2, 40, 48, 3, generator=torch.Generator().manual_seed(6))
        with torch.inference_mode():
            found = load_image_encoder(random_starter).encode_image(pictures)
            pixels = clip_preprocess(pictures, size=32)
            expected = reference(pixel_values=pixels, output_hidden_states=True)
        for ours, theirs in (
            (found["image_embeds"], expected.image_embeds),
            (found["penultimate_hidden_states"], expected.hidden_states[-2]),
        ):
            assert ours.shape == theirs.shape
            assert (ours - theirs).abs().max() < 1e-4

    def test_a_file_of_another_build_is_named(self, random_starter, comfy, tmp_path):
        from visage.engines.comfyui.clip_vision import load_image_encoder

        (tmp_path / "image_encoder").mkdir()
        config = (random_starter / "image_encoder" / "config.json").read_text()
        (tmp_path / "image_encoder" / "config.json").write_text(config)
        weights = read_weights(random_starter / "image_encoder" / "model.safetensors")
        del weights["visual_projection.weight"]
        save_file(weights, tmp_path / "image_encoder" / "model.safetensors")
        with pytest.raises(ValueError, match=r"image_encoder.*1 weights are missing"):
            load_image_encoder(tmp_path)


class TestText:
    def test_weights_in_parentheses_act(self, comfyui_models):
        clip = comfyui_models[1]
        with torch.inference_mode():
            plain, weighted = clip.encode("red hair"), clip.encode("(red hair:1.3)")
            empty = clip.encode("")
        words = slice(1, 1 + len(clip.tokenizer.clip_l.tokenizer("red hair")["input_ids"]) - 2)
        expected = empty + (plain - empty) * 1.3
        assert torch.allclose(weighted[:, words], expected[:, words], atol=1e-5)

    def test_long_prompts_are_read_in_windows(self, comfyui_models):
        with torch.inference_mode():
            assert comfyui_models[1].encode("red hair, " * 60).shape[1] in (154, 231, 308)

    def test_a_textual_inversion_embedding_is_found(self, comfyui_models, comfyui_path):
        from pathlib import Path

        import folder_paths

        clip = comfyui_models[1]
        folder = Path(folder_paths.get_folder_paths("embeddings")[0])
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"emb_params": torch.ones(2, 48)}, folder / "mine.safetensors")
        with torch.inference_mode():
            tokens = clip.tokenize("a face, embedding:mine")["l"][0]
        assert sum(torch.is_tensor(token[0]) for token in tokens) == 2


class TestFaceEdit:
    def test_strength_zero_is_the_model_itself(
        self, comfyui_models, diffusers_engine, face_edit, inpainting, run
    ):
        from visage.engines.comfyui.face_edit import apply_face_edit

        positive, negative, latent, _ = inpainting
        model = apply_face_edit(comfyui_models[0], face_edit(diffusers_engine), 0.0)
        edited = run(latent, positive, negative, model=model)
        assert torch.equal(edited, run(latent, positive, negative))

    def test_acts_and_vanishes_on_bypass(
        self, comfyui_models, diffusers_engine, face_edit, inpainting, run
    ):
        from visage.engines.comfyui.face_edit import apply_face_edit

        positive, negative, latent, _ = inpainting
        before = run(latent, positive, negative)
        model = apply_face_edit(comfyui_models[0], face_edit(diffusers_engine), 1.0).clone()
        assert not torch.allclose(run(latent, positive, negative, model=model), before)
        assert torch.equal(run(latent, positive, negative), before)
        assert not comfyui_models[0].patches

    def test_comfyuis_own_lora_loader_does_the_same(
        self, comfy, comfyui_models, diffusers_engine, face_edit, inpainting, run, tmp_path
    ):
        from visage.engines.comfyui.face_edit import apply_face_edit

        positive, negative, latent, _ = inpainting
        weights = face_edit(diffusers_engine)
        write_face_edit(tmp_path / "edit.safetensors", weights.kv, None, {})
        tensors = read_weights(tmp_path / "edit.safetensors")
        stock, _ = comfy.sd.load_lora_for_models(comfyui_models[0], None, tensors, 0.5, 0.0)
        assert len(stock.patches) == 32
        ours = apply_face_edit(
            comfyui_models[0], read_face_edit(tmp_path / "edit.safetensors"), 0.5
        )
        results = [run(latent, positive, negative, model=model) for model in (stock, ours)]
        assert torch.equal(*results)

    def test_refuses_another_models_file_naming_both_shapes(self, comfyui_models):
        from visage.engines.comfyui.face_edit import apply_face_edit

        name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
        weights = FaceEditWeights({name: torch.zeros(320, 768)}, None, {})
        with pytest.raises(
            ValueError, match=r"\[320, 768\] and the model has the shape \[64, 48\]"
        ):
            apply_face_edit(comfyui_models[0], weights, 1.0)


def test_the_parser_runs_where_comfyui_loads_it(comfy):
    from visage.engines.comfyui.memory import managed
    from visage.models.bisenet import BiSeNet
    from visage.models.face_parser import FaceParser

    network = BiSeNet(width=8).eval()
    picture = torch.rand(1, 64, 64, 3)
    plain = FaceParser(network, 64, "test").probabilities(picture)
    wrapped = managed(FaceParser(network, 64, "test"))
    assert torch.equal(wrapped.probabilities(picture), plain)
    loaded = [entry.model.model for entry in comfy.model_management.current_loaded_models]
    assert network in loaded

"""Load Face Edit, Face-Aware Text and Soft Inpaint, run as ComfyUI runs them."""

from pathlib import Path

import pytest
import torch
from visage.models.face_edit import write_face_edit

pytestmark = pytest.mark.usefixtures("as_in_a_node")


@pytest.fixture(scope="module")
def models(comfyui_models):
    return comfyui_models


@pytest.fixture
def user_file(comfy_nodes, models):
    """Puts a face-edit file where a user puts it; gives its name."""
    import folder_paths
    from visage.models.registry import register_folders

    register_folders(folder_paths)
    folder = Path(folder_paths.get_folder_paths("visage_face_edits")[0])

    def write(name="mine.safetensors", width=48, adapter=True):
        kv = {"mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": (64, width)}
        kv = {name: torch.randn(shape) for name, shape in kv.items()}
        square = {"w1.weight": torch.randn(width, width), "w2.weight": torch.randn(width, width)}
        write_face_edit(folder / name, kv, square if adapter else None, {}, overwrite=True)
        return name

    return write


@pytest.fixture
def prompt(models, comfy_nodes):
    return comfy_nodes.CLIPTextEncode().encode(models[1], "a face")[0]


class TestLoadFaceEdit:
    def test_patches_a_clone_and_gives_the_adapter(self, models, user_file):
        from visage.nodes.face_edit import VisageLoadFaceEdit

        model, adapter = VisageLoadFaceEdit.execute(models[0], user_file(), 1.0).args
        assert len(model.patches) == 1
        assert not models[0].patches
        assert adapter.width == 48

    def test_strength_zero_patches_nothing(self, models, user_file):
        from visage.nodes.face_edit import VisageLoadFaceEdit

        model, _ = VisageLoadFaceEdit.execute(models[0], user_file(), 0.0).args
        assert not model.patches

    def test_offers_the_starter_first_and_then_the_users_files(self, user_file):
        from visage.nodes.face_edit import VisageLoadFaceEdit

        user_file("another.safetensors")
        (options,) = (
            put.options for put in VisageLoadFaceEdit.define_schema().inputs if put.id == "file"
        )
        assert options[0] == "starter (built in)"
        assert "another.safetensors" in options

    def test_refuses_a_file_of_another_model(self, models, user_file):
        from visage.nodes.face_edit import VisageLoadFaceEdit

        name = user_file("sd15.safetensors", width=768)
        with pytest.raises(ValueError, match=r"\[64, 768\] and the model has the shape \[64, 48\]"):
            VisageLoadFaceEdit.execute(models[0], name, 1.0)

    def test_says_where_it_looked_for_a_missing_file(self, comfy_nodes):
        from visage.nodes.face_edit import VisageLoadFaceEdit

        message = VisageLoadFaceEdit.validate_inputs("gone.safetensors")
        assert "gone.safetensors" in message
        assert "Searched" in message

    def test_a_changed_file_is_loaded_again(self, user_file):
        from visage.nodes.face_edit import VisageLoadFaceEdit

        name = user_file()
        before = VisageLoadFaceEdit.fingerprint_inputs(file=name, strength=1.0)
        user_file()
        assert VisageLoadFaceEdit.fingerprint_inputs(file=name, strength=1.0) != before


class TestFaceAwareText:
    @pytest.fixture
    def adapter(self, models, user_file):
        from visage.nodes.face_edit import VisageLoadFaceEdit

        return VisageLoadFaceEdit.execute(models[0], user_file(), 1.0).args[1]

    def adapt(self, prompt, mask, adapter, strength):
        from visage.nodes.face_edit import VisageFaceAwareText

        return VisageFaceAwareText.execute(prompt, mask, adapter, strength).args[0]

    def test_changes_the_embedding_and_keeps_the_rest(self, prompt, adapter):
        (adapted,) = self.adapt(prompt, torch.ones(1, 32, 32), adapter, 0.3)
        assert not torch.equal(adapted[0], prompt[0][0])
        assert adapted[1] == prompt[0][1]

    @pytest.mark.parametrize(("value", "strength"), [(0.0, 0.3), (1.0, 0.0)])
    def test_no_face_or_no_strength_changes_no_bit(self, value, strength, prompt, adapter):
        mask = torch.full((1, 32, 32), value)
        (adapted,) = self.adapt(prompt, mask, adapter, strength)
        assert torch.equal(adapted[0], prompt[0][0])

    def test_a_batch_of_masks_gives_a_batch_of_embeddings(self, prompt, adapter):
        (adapted,) = self.adapt(prompt, torch.rand(3, 32, 32), adapter, 0.3)
        assert adapted[0].shape == (3, 77, 48)

    def test_beta_is_the_mean_of_the_face_alone_in_every_crop(self, prompt, adapter):
        """The paper's M: neither the crop's soft mask, which is larger, nor the whole picture's."""
        from visage.nodes.crops import VisageCropFaces
        from visage.nodes.face_edit import VisageFaceAwareText
        from visage.techniques.soft_mask import soften

        mask = torch.zeros(1, 128, 128)
        mask[:, 32:96, 32:96] = 1
        picture, soft = torch.rand(1, 128, 128, 3), soften(mask, 4, 4)
        crops = VisageCropFaces.execute(picture, soft, 64, 0.0, [[(32.0, 32.0, 64.0, 64.0)]]).args[
            2
        ]
        (adapted,) = VisageFaceAwareText.execute(prompt, mask, adapter, 0.3, crops).args[0]
        fraction = 64**2 / crops.boxes[0].side ** 2
        ((expected, _),) = self.adapt(prompt, torch.full((1, 8, 8), fraction), adapter, 0.3)
        assert torch.allclose(adapted[0], expected, atol=2e-3 * float(expected.abs().max()))

    def test_every_part_of_a_combined_prompt_is_adapted(self, prompt, adapter):
        adapted = self.adapt([*prompt, *prompt], torch.ones(1, 32, 32), adapter, 0.3)
        assert all(not torch.equal(entry[0], prompt[0][0]) for entry in adapted)

    def test_a_prompt_of_another_encoder_is_refused(self, adapter):
        with pytest.raises(ValueError, match="width 48.*width 768"):
            self.adapt([[torch.zeros(1, 77, 768), {}]], torch.ones(1, 8, 8), adapter, 0.3)

    def test_a_file_without_an_adapter_is_named(self, models, prompt, user_file):
        from visage.nodes.face_edit import VisageLoadFaceEdit

        name = user_file("plain.safetensors", adapter=False)
        _, adapter = VisageLoadFaceEdit.execute(models[0], name, 1.0).args
        with pytest.raises(ValueError, match="no text adapter"):
            self.adapt(prompt, torch.ones(1, 8, 8), adapter, 0.3)


class TestSoftInpaint:
    def prepare(self, models, prompt, image, mask, mask_mode="soft", noise_mask="soft"):
        from visage.nodes.face_edit import VisageSoftInpaint

        return VisageSoftInpaint.execute(
            prompt, prompt, models[2], image, mask, mask_mode, noise_mask
        ).args

    @pytest.fixture
    def image(self):
        return torch.rand(1, 32, 32, 3)

    @pytest.fixture
    def mask(self):
        return torch.linspace(0, 1, 32).expand(1, 32, 32)

    def test_both_prompts_carry_the_same_channels(self, models, prompt, image, mask):
        positive, negative, _ = self.prepare(models, prompt, image, mask)
        for key in ("noise_concat", "concat_latent_image", "concat_mask"):
            assert torch.equal(positive[0][1][key], negative[0][1][key])
        assert "noise_concat" not in prompt[0][1]

    @pytest.mark.parametrize(("mask_mode", "values"), [("soft", 4), ("hard", 2)])
    def test_mask_mode(self, mask_mode, values, models, prompt, image, mask):
        positive, *_ = self.prepare(models, prompt, image, mask, mask_mode)
        assert len(positive[0][1]["noise_concat"][:, 0].unique()) == values

    def test_noise_mask(self, models, prompt, image, mask):
        latents = {
            kind: self.prepare(models, prompt, image, mask, noise_mask=kind)[2]
            for kind in ("soft", "hard", "none")
        }
        assert len(latents["soft"]["noise_mask"].unique()) == 4
        assert latents["hard"]["noise_mask"].unique().tolist() == [0.0, 1.0]
        assert "noise_mask" not in latents["none"]

    def test_a_picture_of_any_size_is_edited(self, models, prompt, comfy_nodes):
        """Odd sides, RGBA, and one mask for two pictures."""
        image, mask = torch.rand(2, 41, 59, 4), torch.rand(1, 41, 59)
        positive, negative, latent = self.prepare(models, prompt, image, mask)
        assert latent["samples"].shape == (2, 4, 6, 8)
        (result,) = comfy_nodes.KSampler().sample(
            models[0], 0, 2, 4.0, "euler", "normal", positive, negative, latent
        )
        assert result["samples"].isfinite().all()

    @pytest.mark.parametrize("own_prompts", [False, True])
    def test_one_picture_of_a_batch_is_shown_its_own_mask(
        self, own_prompts, models, prompt, comfy_nodes
    ):
        """Latent From Batch gives the sampler picture 1, and the conditioning holds both."""
        image = torch.rand(2, 32, 32, 3)
        mask = torch.stack((torch.zeros(32, 32), torch.linspace(0, 1, 32).expand(32, 32)))
        if own_prompts:  # as Face-Aware Text gives them
            prompt = [[torch.cat((prompt[0][0], prompt[0][0] * 1.5)), {}]]
        positive, negative, latent = self.prepare(models, prompt, image, mask)
        sampler = comfy_nodes.KSampler()
        sampled = [
            sampler.sample(models[0], 0, 2, 4.0, "euler", "normal", positive, negative, part)[0]
            for part in (latent, comfy_nodes.LatentFromBatch().frombatch(latent, 1, 1)[0])
        ]
        both, second = (result["samples"] for result in sampled)
        assert torch.allclose(second[0], both[1], atol=1e-4)

    def test_an_empty_mask_leaves_the_latent_alone(self, models, prompt, image, comfy_nodes):
        positive, negative, latent = self.prepare(models, prompt, image, torch.zeros(1, 32, 32))
        (result,) = comfy_nodes.KSampler().sample(
            models[0], 0, 3, 4.0, "euler", "normal", positive, negative, latent
        )
        assert torch.allclose(result["samples"], latent["samples"], atol=1e-5)

    @pytest.mark.parametrize(
        ("image_shape", "mask_shape", "message"),
        [
            ((1, 32, 32, 3), (1, 32, 48), "48 x 32 px but the picture is 32 x 32"),
            ((2, 32, 32, 3), (3, 32, 32), "2 pictures and mask has 3"),
            ((1, 32, 32, 2), (1, 32, 32), "1, 3 or 4 channels"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, image_shape, mask_shape, message, models, prompt):
        with pytest.raises(ValueError, match=message):
            self.prepare(models, prompt, torch.rand(image_shape), torch.rand(mask_shape))

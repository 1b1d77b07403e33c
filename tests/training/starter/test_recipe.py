"""The recipe's pieces on random or tiny data; the trained weights have tests of their own."""

import copy
import json

import numpy as np
import pytest
import torch
from visage.techniques.mask_weighted_loss import mask_weighted_loss
from visage.training.starter.augment import MIRROR_PAIRS, mirror_labels
from visage.training.starter.dataset import PortraitSet
from visage.training.starter.face_edit import choose_pictures, train_starter_face_edit
from visage.training.starter.inpainting import encode_examples, random_mask
from visage.training.starter.networks import (
    LATENT_SCALE,
    build_scheduler,
    build_text_encoder,
    build_unet,
    build_vae,
)
from visage.training.starter.recipe import RECIPE, read_recipe
from visage.training.starter.tokenizer import load_tokenizer, tokenize, train_tokenizer
from visage.training.starter.unet import min_snr_weight, noise_examples, start_at_zero
from visage.training.starter.vae import standardise_latents, start_with_colours, train_decoder


def portraits(count=6, size=64):
    rng = np.random.default_rng(0)
    labels = np.zeros((count, size, size), np.uint8)
    labels[:, 16:48, 16:48] = 1
    labels[:, 8:16, 16:48] = 17
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return PortraitSet(images, labels, [{}] * count)


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return build_vae({"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1}, 64).eval()


def test_a_decoder_trained_on_leaves_the_latents_as_they_are(vae, tmp_path):
    vae = copy.deepcopy(vae)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    recipe = {"steps": 2, "batch": 1, "crop": 32, "learning_rate": 1e-3, "photo_share": 0.5}
    train_decoder(recipe, 42, vae, portraits(), tmp_path)
    moved = {
        name for name, value in vae.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in moved)


def test_every_text_survives_the_vocabulary(tmp_path):
    texts = ["a photo of a smiling woman with blond hair", "an old man's face, blue light"]
    tokenizer = train_tokenizer(texts, 60, tmp_path)
    strange = "Ünïcode 眼镜 😀 (red:1.3) tab\there"
    ids = tokenize(tokenizer, [strange])[0]
    assert ids.shape == (77,)
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
    words = tokenizer.decode(ids, skip_special_tokens=True).split()
    assert "".join(words) == "".join(strange.lower().split())
    assert torch.equal(tokenize(load_tokenizer(tmp_path), [strange])[0], ids)


def test_common_words_become_single_tokens(tmp_path):
    tokenizer = train_tokenizer(["a woman with hair"] * 3, 60, tmp_path)
    tokens = tokenizer.convert_ids_to_tokens(tokenize(tokenizer, ["woman hair"])[0][1:3])
    assert tokens == ["woman</w>", "hair</w>"]


def test_mirroring_exchanges_left_and_right_parts():
    labels = np.zeros((4, 6), np.uint8)
    labels[1, 0] = MIRROR_PAIRS[0][0]
    mirrored = mirror_labels(labels)
    assert mirrored[1, 5] == MIRROR_PAIRS[0][1]
    assert np.array_equal(mirror_labels(mirrored), labels)


def test_standardised_latents_are_white_and_decode_alike(vae):
    data = portraits(32)
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
        standardise_latents(vae, data, 64)
        images = torch.from_numpy(data.images).permute(0, 3, 1, 2) / 127.5 - 1
        latents = vae.encode(images).latent_dist.mode() * LATENT_SCALE
        after = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    covariance = torch.cov(latents.movedim(1, -1).reshape(-1, 4).T)
    assert (covariance - torch.eye(4)).abs().max() < 1e-2
    assert (after - before).abs().max() < 1e-4


def test_an_untrained_autoencoder_already_carries_the_colours():
    torch.manual_seed(0)
    network = {"block_out_channels": [32, 48, 64, 96], "layers_per_block": 1}
    vae = build_vae(network, 64).eval()
    colours = torch.rand(6, 3, 2, 2) * 2 - 1
    pixels = torch.nn.functional.interpolate(colours, scale_factor=32, mode="bilinear")

    def colour_error():
        with torch.no_grad():
            decoded = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
        return (decoded - pixels).abs().mean()

    assert colour_error() > 0.3
    start_with_colours(vae)
    assert colour_error() < 0.1


def test_masks_cover_something_and_stay_in_range():
    labels = portraits(1).labels[0]
    for seed in range(60):
        mask = random_mask(labels, np.random.default_rng(seed))
        assert mask.shape == labels.shape and mask.dtype == np.float32
        assert 0 < mask.max() <= 1 and mask.min() >= 0, seed


def test_encoded_examples_are_kept_and_reused(vae, tmp_path):
    data, path = portraits(3), tmp_path / "examples.pt"
    first = encode_examples(vae, data, 64, 2, 1, path)
    assert first.latents.shape == (6, 4, 8, 8) and first.concat.shape == (6, 5, 8, 8)
    assert first.portrait.tolist() == [0, 1, 2, 0, 1, 2]
    written = path.stat().st_mtime_ns
    assert torch.equal(encode_examples(vae, data, 64, 2, 1, path).concat, first.concat)
    assert path.stat().st_mtime_ns == written
    other = copy.deepcopy(vae)
    torch.nn.init.zeros_(other.quant_conv.weight)
    assert not torch.equal(encode_examples(other, data, 64, 2, 1, path).concat, first.concat)
    _, shown, noise, timesteps = noise_examples(first, 5, 3, 1, build_scheduler())
    assert shown.shape == (5, 9, 8, 8) and noise.shape == (5, 4, 8, 8)
    assert timesteps.min() >= 0 and timesteps.max() < 1000


def test_mask_weighted_loss_weighs_the_face_21_times_the_background():
    predicted, noise = torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)
    mask = torch.zeros(1, 1, 2, 2)
    mask[..., 0, 0] = 1
    inside, outside = noise.clone(), noise.clone()
    inside[..., 0, 0], outside[..., 1, 1] = 1, 1
    face = mask_weighted_loss(predicted, inside, mask, 0.05)
    background = mask_weighted_loss(predicted, outside, mask, 0.05)
    assert face / background == pytest.approx(1.05 / 0.05)


TRAITS = {
    "sex": "man",
    "style": "photo",
    "hair": "brown",
    "skin": "fair",
    "hat": "none",
    "glasses": "none",
    "smile": False,
    "facial_hair": "none",
    "lipstick": "none",
}


class TestFaceEditPictures:
    def names(self, **traits) -> dict[str, tuple[str, list[str]]]:
        fact = {"captions": ["a man with red hair", "a man"], "traits": {**TRAITS, **traits}}
        return {one.name: (one.parts, one.captions) for one in choose_pictures([fact])}

    def test_the_face_alone_has_captions_and_prompts_without_the_hair(self):
        parts, captions = self.names(smile=True)["00000"]
        assert parts == "face"
        assert captions == [
            "a man with red hair",
            "a man",
            "a photo of a man with fair skin",
            "a photo of a man with a smile",
        ]

    def test_hair_is_painted_under_the_words_that_name_it(self):
        named = ["a photo of a man with red hair", "a man with red hair"]
        assert self.names(hair="red")["00000_hair"] == ("face and hair", named)

    def test_rare_looks_come_once_more(self):
        assert "00000_rare" not in self.names()
        assert self.names(hair="grey", skin="dark")["00000_rare"][1] == [
            "a photo of a man with grey hair",
            "a photo of a man with dark skin",
        ]

    def test_hair_under_a_hat_or_none_is_not_painted(self):
        assert self.names(hat="cap", hair="red").keys() == {"00000"}
        assert self.names(hair="none").keys() == {"00000"}


def test_face_edit_is_learnt_from_the_portraits(vae, tmp_path):
    data = portraits(4)
    fact = {"captions": ["a face", "a man"], "traits": {**TRAITS, "hair": "none"}}
    data = PortraitSet(data.images, data.labels, [fact] * 4)
    tokenizer = train_tokenizer(["a face of a man"], 20, tmp_path / "tokenizer")
    heads = {"num_hidden_layers": 1, "num_attention_heads": 2}
    text = build_text_encoder({"hidden_size": 32, "intermediate_size": 32, **heads}, tokenizer)
    unet = build_unet({"block_out_channels": [32] * 4, "heads": [2] * 4}, 32, 8)
    recipe = {"steps": 1, "batch": 2, "validate_every": 0}
    kv, adapter = train_starter_face_edit(
        recipe, 64, tokenizer, text.eval(), vae, unet, data, tmp_path
    )
    assert len(kv) == 32 and any(value.any() for value in kv.values())
    assert adapter["w2.weight"].shape == (32, 32) and adapter["w2.weight"].any()
    written = (tmp_path / "face_edit_pictures" / "00003.txt").read_text()
    assert written == "a face\na man\na photo of a man with fair skin"


def test_min_snr_weight_is_one_where_noise_dominates():
    weight = min_snr_weight(build_scheduler(), torch.tensor([0, 999]), 5.0).flatten()
    assert weight[1] == 1 and weight[0] < 0.01


def test_the_shipped_recipe_reads_and_a_broken_one_says_so(tmp_path):
    assert read_recipe(RECIPE)["data"]["size"] == 128
    broken = tmp_path / "recipe.json"
    broken.write_text(json.dumps({"seed": 1}))
    with pytest.raises(ValueError, match="lacks the sections"):
        read_recipe(broken)
    with pytest.raises(ValueError, match="cannot be read"):
        read_recipe(tmp_path / "absent.json")


def test_a_unet_that_starts_at_zero_predicts_zero_and_still_learns():
    unet = build_unet({"block_out_channels": [32] * 4, "heads": [1] * 4}, 16, 8)
    start_at_zero(unet)
    predicted = unet(torch.randn(2, 9, 8, 8), torch.tensor([5, 900]), torch.randn(2, 5, 16)).sample
    assert not predicted.any()
    (predicted - 1).square().mean().backward()
    assert unet.conv_out.weight.grad.abs().max() > 0

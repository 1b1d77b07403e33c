"""The stages on photographs, on tiny networks and pictures made of noise."""

import copy
import hashlib
import json

import cv2
import numpy as np
import pytest
import torch
from visage.engines.diffusers import DiffusersEngine
from visage.models.bisenet import BiSeNet
from visage.models.face_classes import CLASSES
from visage.models.face_detector import DetectorNetwork, load_face_detector
from visage.models.face_edit import FaceEditWeights, read_face_edit
from visage.models.face_parser import load_face_parser
from visage.models.starter_files import STARTER, starter_file
from visage.training.precision import pick_device
from visage.training.starter.dataset import PortraitSet
from visage.training.starter.inpainting import LatentSet
from visage.training.starter.networks import build_scheduler, build_unet, build_vae
from visage.training.starter.photo_captions import captions_of, traits_of
from visage.training.starter.photo_recipe import PhotoRecipe
from visage.training.starter.photo_unet import (
    CHUNK,
    ExampleStream,
    FaceEditSwitch,
    Pictures,
    Shares,
    debiased_weight,
    encode_chunk,
    kept_chunks,
    train_photo_unet,
)
from visage.training.starter.photo_vae import (
    DETAILS,
    PatchDiscriminator,
    PerceptualLoss,
    Sources,
    crop_around,
    draw_crops,
    hinge_loss,
    pixel_loss,
    train_photo_vae,
)
from visage.training.starter.photo_views import face_rectangle, photo_view
from visage.training.starter.photographs import Photograph
from visage.training.starter.recipe import RECIPE, read_recipe

LABELS = {
    "gender": "w",
    "age": "middle",
    "hair_colour": "red",
    "hair_length": "long",
    "hair_form": "straight",
    "beard": "none",
    "glasses": "clear",
    "smile": "open",
    "skin": "dark",
    "headwear": "none",
    "lipstick": "0",
    "pose": "front",
    "light": "even",
}
FACE_CLASS = CLASSES.index("skin")


def face_map(size=64):
    labels = np.zeros((size, size), np.uint8)
    labels[size // 4 : size * 3 // 4, size // 4 : size * 3 // 4] = FACE_CLASS
    return labels


def photograph(number, size=96):
    rng = np.random.default_rng(number)
    image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    nothing = np.zeros((0, 4), np.float32)
    return Photograph(
        f"{number}.png", image, nothing, nothing[:, 0], np.zeros((0, 478, 2)), dict(LABELS)
    )


@pytest.fixture(scope="module")
def pictures():
    photos = [photograph(number) for number in range(3)]
    maps = {photo.file: face_map() for photo in photos}
    images = np.random.default_rng(9).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    drawings = PortraitSet(images, np.stack([face_map()] * 2), [{"captions": ["drawn"]}] * 2)
    return Pictures(photos, maps, drawings)


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return build_vae({"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1}, 64).eval()


def test_captions_say_what_the_labels_say_in_the_renderers_words():
    traits = traits_of(LABELS, "a.jpg")
    assert traits["sex"] == "woman" and traits["age"] == "middle-aged"
    assert traits["hair"] == "red" and traits["glasses"] == "glasses"
    assert traits["skin"] in ("brown", "dark") and traits["hat"] == "none"
    captions = captions_of(LABELS, "a.jpg")
    assert "a photo of a woman with red hair" in captions
    assert "a photo of a woman with glasses" in captions
    assert not any("beard" in text or "hat" in text or "bald" in text for text in captions)
    bald = captions_of(LABELS | {"hair_colour": "bald", "hair_length": "bald"}, "a.jpg")
    assert any("bald" in text for text in bald)
    assert not any("hair" in text for text in bald)


def test_labels_that_lack_a_column_are_refused():
    with pytest.raises(ValueError, match=r"a\.jpg.*skin"):
        traits_of({"gender": "w"}, "a.jpg")


def test_the_rectangle_is_that_of_the_largest_face():
    labels = np.zeros((100, 50), np.uint8)
    labels[20:60, 10:40] = FACE_CLASS
    labels[90:94, 0:4] = FACE_CLASS
    assert face_rectangle(labels) == pytest.approx((0.2, 0.2, 0.6, 0.4))
    assert face_rectangle(np.zeros((8, 8), np.uint8)) == (0.25, 0.25, 0.5, 0.5)


def test_a_view_shows_the_face_in_its_middle_with_its_map_in_place():
    image = np.zeros((200, 200, 3), np.uint8)
    labels = np.zeros((100, 100), np.uint8)
    labels[30:60, 40:70] = FACE_CLASS
    image[60:120, 80:140] = 255
    for seed in range(20):
        view, classes = photo_view(image, labels, 64, np.random.default_rng(seed))
        assert view.shape == (64, 64, 3) and classes.shape == (64, 64)
        face = classes == FACE_CLASS
        # The face has between 1 / (1 + 1.2) and 1 / (1 + 0.4) of the view's side.
        assert 0.4**2 < face.mean() < 0.75**2
        assert (np.abs(np.argwhere(face).mean(0) - 31.5) < 14).all()
        light = view.mean(2)
        assert light[face].mean() > 4 * light[~face].mean()


def test_a_crop_lies_near_its_place_and_inside_the_picture():
    picture = np.zeros((100, 120, 3), np.uint8)
    picture[:, 60:] = 200
    assert crop_around(picture, (0.5, 1.0), 32, 1.0).min() == 200
    assert crop_around(picture, (0.5, 0.0), 32, 0.6).max() == 0
    assert crop_around(picture, (0.5, 0.5), 32, 0.1).shape == (32, 32, 3)


def test_crops_come_from_the_kinds_that_there_are():
    white = [np.full((40, 40, 3), 255, np.uint8)]
    recipe = {"batch": 6, "crop": 16, "shares": {"photographs": 0.9, "paintings": 0.1}}
    sources = Sources([], np.zeros((0, 8, 8, 3)), white)
    crops, weights = draw_crops(sources, recipe, np.random.default_rng(0))
    assert crops.shape == (6, 3, 16, 16) and crops.mean() > 0.4
    assert weights.shape == (6, 1, 16, 16) and (weights == 1).all()


def test_eyes_brows_and_lips_weigh_more():
    drawing = np.zeros((1, 32, 32, 3), np.uint8)
    labels = np.full((1, 32, 32), FACE_CLASS, np.uint8)
    labels[0, :, 16:] = DETAILS[0]
    drawing[0, :, 16:] = 255
    recipe = {"batch": 4, "crop": 32, "shares": {"drawings": 1.0}, "details": 3.0}
    sources = Sources([], drawing, [], drawn_labels=labels)
    crops, weights = draw_crops(sources, recipe, np.random.default_rng(0))
    light = crops.mean(1, keepdim=True) > 0
    assert torch.equal(weights, torch.where(light, 3.0, 1.0))


def test_equal_pictures_have_no_loss_and_blurred_ones_have():
    torch.manual_seed(0)
    perceptual = PerceptualLoss(BiSeNet(8))
    pixels = torch.rand(1, 3, 32, 32) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(pixels, 3, 1, 1)
    even = torch.ones(1, 1, 32, 32)
    assert pixel_loss(pixels, pixels, even) == 0 and perceptual(pixels, pixels) == 0
    assert pixel_loss(blurred, pixels, even) > 0.1 and perceptual(blurred, pixels) > 0.01
    assert pixel_loss(blurred, pixels, 3 * even) > pixel_loss(blurred, pixels, even)


def test_the_discriminator_is_told_nothing_once_it_is_sure():
    high, low = torch.full((2, 1, 4, 4), 1.5), torch.full((2, 1, 4, 4), -1.5)
    assert hinge_loss(high, low) == 0
    assert hinge_loss(low, high) == 2.5
    assert PatchDiscriminator()(torch.zeros(2, 3, 32, 32)).shape == (2, 1, 4, 4)


def test_the_autoencoder_learns_and_its_latents_stay_near(vae, pictures, tmp_path):
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    sources = Sources(pictures.photographs, pictures.drawings.images, [])
    fractions = {"photographs": 0.5, "drawings": 0.3, "paintings": 0.2}
    recipe = {"steps": 3, "batch": 1, "crop": 32, "learning_rate": 1e-3, "shares": fractions}
    recipe |= {"perceptual": 0.5, "adversarial": 0.2, "adversarial_from": 1}
    recipe |= {"details": 3.0, "anchor": 0.3, "latent_noise": 0.03}
    train_photo_vae(recipe, 42, vae, BiSeNet(8), sources, tmp_path)
    moved = {
        name.partition(".")[0]
        for name, value in vae.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved == {"encoder", "decoder", "quant_conv", "post_quant_conv"}
    lines = [json.loads(line) for line in (tmp_path / "photo_vae.jsonl").read_text().splitlines()]
    assert all(line["told"] > 0 for line in lines)
    assert lines[0]["moved"] == 0
    assert all(0 < line["moved"] < 0.1 for line in lines[1:])


def test_a_chunk_has_photographs_and_drawings_with_masks(vae, pictures):
    chunk = encode_chunk(vae, pictures, Shares(0.5, 0.0), 64, 20, np.random.default_rng(1))
    assert chunk.latents.shape == (20, 4, 8, 8) and chunk.concat.shape == (20, 5, 8, 8)
    assert 0 < (chunk.portrait < 3).sum() < 20 and chunk.portrait.max() < 5
    assert pictures.own_captions[4] == ["drawn"]
    again = encode_chunk(vae, pictures, Shares(0.5, 0.0), 64, 20, np.random.default_rng(1))
    assert torch.equal(chunk.latents, again.latents)


def test_a_face_in_another_tone_has_captions_that_name_it(pictures):
    own, captions = pictures.own_captions, pictures.captions()
    rng = np.random.default_rng(2)
    drawn = [pictures.draw(Shares(0.5, 1.0), 64, rng) for _ in range(30)]
    numbers = np.array([number for _, _, number in drawn])
    # The two drawings' captions name no tone of skin.
    assert set(numbers[numbers < len(own)]) == {3, 4}
    for number in numbers[numbers >= len(own)]:
        assert all(" skin" in text for text in captions[number])
        assert not set(captions[number]) & set(own[number % len(own)])


def test_the_stream_shows_the_newest_chunks_of_the_steps_size():
    def make(number, size):
        values = torch.full((1, 1), float(number))
        return LatentSet(values, values, torch.tensor([size]))

    recipe = {"sizes": [[0, 128], [100, 192]], "reuse": 2, "window": 3}
    stream = ExampleStream(make, recipe, batch=CHUNK // 10)
    assert stream.every == 21
    assert stream.at(0).latents.flatten().tolist() == [0]
    assert stream.at(84).latents.flatten().tolist() == [2, 3, 4]
    assert set(stream.at(84).portrait.tolist()) == {128}
    assert stream.at(110).latents.flatten().tolist() == [5]
    assert set(stream.at(110).portrait.tolist()) == {192}
    fresh = ExampleStream(make, recipe, batch=CHUNK // 10)
    assert torch.equal(fresh.at(200).latents, stream.at(200).latents)


def test_chunks_are_encoded_once_and_old_ones_forgotten(tmp_path):
    encoded = []

    def encode(number, size):
        encoded.append(number)
        values = torch.full((1, 1), float(number))
        return LatentSet(values, values, torch.tensor([size]))

    def make(digest):
        return kept_chunks(tmp_path, encode, digest, window=2)

    for number in (0, 1, 1):
        assert make("one")(number, 64).latents.item() == number
    assert encoded == [0, 1]
    make("one")(1, 128)
    make("another")(1, 128)
    assert encoded == [0, 1, 1, 1]
    make("another")(2, 128)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.pt", "2.pt"]


@pytest.fixture(scope="module")
def small_unet():
    torch.manual_seed(0)
    network = {"block_out_channels": [16, 16, 16, 16], "heads": [1, 1, 1, 1]}
    return build_unet(network, 192, 8)


def face_edit_of(unet, width=192):
    torch.manual_seed(1)
    kv = {
        name: torch.randn_like(value)
        for name, value in unet.state_dict().items()
        if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))
    }
    adapter = {f"{name}.weight": torch.randn(width, width) for name in ("w1", "w2")}
    return FaceEditWeights(kv, adapter, {})


@torch.no_grad()
def test_the_switch_adds_what_the_face_edit_adds(small_unet):
    weights = face_edit_of(small_unet)
    changed = build_unet({"block_out_channels": [16, 16, 16, 16], "heads": [1, 1, 1, 1]}, 192, 8)
    changed.load_state_dict(small_unet.state_dict())
    parameters = dict(changed.named_parameters())
    for name, delta in weights.kv.items():
        parameters[name] += delta
    switched = copy.deepcopy(small_unet)
    switch = FaceEditSwitch(switched, weights, 0.3)
    shown, text = torch.randn(1, 9, 8, 8), torch.randn(1, 5, 192)

    def run(unet):
        return unet(shown, torch.tensor([500]), text, return_dict=False)[0]

    assert torch.equal(run(switched), run(small_unet))
    assert switch.text(text, torch.ones(1, 8, 8)) is text
    switch.on = True
    assert torch.allclose(run(switched), run(changed), rtol=1e-3, atol=1e-4)
    assert not torch.equal(switch.text(text, torch.ones(1, 8, 8)), text)


def test_noisy_steps_weigh_by_the_square_root_of_noise_over_signal():
    scheduler = build_scheduler()
    times = torch.tensor([100, 900])
    weights = debiased_weight(scheduler, times).flatten()
    alphas = scheduler.alphas_cumprod[times]
    assert torch.allclose(weights**2 * alphas, 1 - alphas)
    assert weights[0] < 1 < weights[1]


def test_the_unet_learns_and_goes_on_where_it_stopped(vae, pictures, tmp_path, small_unet):
    shipped = DiffusersEngine.load()
    recipe = {"steps": 2, "batch": 2, "learning_rate": 1e-3, "sizes": [[0, 64]]}
    recipe |= {"drawn": 0.3, "other_skin": 0.5}
    recipe |= {"reuse": 3, "window": 1, "caption_dropout": 0.1, "ema": 0.9}
    recipe |= {"save_every": 1, "measure_every": 2}

    def run(steps, folder):
        unet = copy.deepcopy(small_unet)
        arguments = (shipped.tokenizer, shipped.text_encoder, vae, pictures, pictures, unet)
        settings = recipe | {"steps": steps}
        return train_photo_unet(settings, 42, *arguments, face_edit_of(unet), 0.3, folder)

    def curve(name):
        lines = (tmp_path / name / "photo_unet.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    moved = run(2, tmp_path / "a")
    assert not torch.equal(moved.conv_in.weight, small_unet.conv_in.weight)
    lines = curve("a")
    assert "held_out_mse" in lines[0] and "held_out_mse" not in lines[1]
    run(3, tmp_path / "a")
    run(3, tmp_path / "b")
    curves = [[line["loss"] for line in curve(name)] for name in ("a", "b")]
    # The rate falls from another step in the longer run, so only the examples are compared here.
    assert len(curves[0]) == len(curves[1]) == 3
    assert curves[0][0] == pytest.approx(curves[1][0], rel=1e-4)


def test_an_export_holds_the_new_parts_and_the_old_rest(tmp_path, monkeypatch, pictures):
    settings = read_recipe(RECIPE)
    settings["photo_unet"]["sizes"] = [[0, 128], [100, 192]]
    recipe = PhotoRecipe(settings, tmp_path, STARTER, tmp_path)
    unet, vae = recipe.engine.unet, recipe.engine.vae
    with torch.no_grad():
        unet.conv_in.bias += 1
        vae.decoder.conv_out.bias += 1
    monkeypatch.setattr(PhotoRecipe, "photo_unet", unet)
    monkeypatch.setattr(PhotoRecipe, "photo_vae", vae)
    monkeypatch.setattr(PhotoRecipe, "drawings", pictures.drawings)
    parser, detector = BiSeNet(width=4, refine=4), DetectorNetwork((4, 4, 4), blocks=1)
    monkeypatch.setattr(PhotoRecipe, "photo_parser", parser)
    monkeypatch.setattr(PhotoRecipe, "photo_detector", detector)
    out = recipe.export(tmp_path / "out")
    made, old = DiffusersEngine.load(out), DiffusersEngine.load()
    assert torch.allclose(made.unet.conv_in.bias, old.unet.conv_in.bias + 1, atol=1e-2)
    assert torch.equal(made.unet.conv_out.bias, old.unet.conv_out.bias)
    assert made.unet.config.sample_size == 24
    preview = json.loads((out / "vae" / "latent_preview.json").read_text())
    assert preview != json.loads((STARTER / "vae" / "latent_preview.json").read_text())
    written = load_face_parser(starter_file("face_parser", out))
    assert written.input_size == 320 and written.network.refine is not None
    head = load_face_detector(starter_file("face_detector", out)).network.head.weight
    assert torch.allclose(head, detector.head.weight, atol=1e-3)
    digest = hashlib.sha256(starter_file("unet", out).read_bytes()).hexdigest()
    edit = read_face_edit(starter_file("face_edit", out))
    assert edit.metadata["visage.base_sha256"] == digest
    shipped = read_face_edit(starter_file("face_edit"))
    assert all(torch.equal(edit.kv[name], value) for name, value in shipped.kv.items())
    with pytest.raises(ValueError, match="exists already"):
        recipe.export(tmp_path / "out")


def test_a_stage_is_run_by_its_name_and_nothing_else_is(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(PhotoRecipe, "photo_adain", property(lambda recipe: trained.append(recipe)))
    recipe = PhotoRecipe(read_recipe(RECIPE), tmp_path, STARTER, tmp_path)
    recipe.run("photo_adain")
    assert trained == [recipe]
    for name in ("vae", "face_edit", "export", "seed"):
        with pytest.raises(ValueError, match=f"no stage '{name}' on photographs; those are photo_"):
            recipe.run(name)


def test_photographs_without_labels_are_named(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    line = {"file": "a.png", "width": 8, "height": 8, "faces": []}
    (tmp_path / "faces.jsonl").write_text(json.dumps(line))
    recipe = PhotoRecipe(read_recipe(RECIPE), tmp_path, STARTER, tmp_path)
    with pytest.raises(ValueError, match=r"labels\.csv"):
        _ = recipe.train_photographs


def test_a_device_that_is_not_there_is_named():
    assert pick_device().type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="CUDA"):
            pick_device("cuda")

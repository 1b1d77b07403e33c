"""Perceptual metrics from weights given as files; the weights here are random."""

import pytest
import torch
from visage.evaluation.face_edit import Pair
from visage.models.checkpoints import write_weights


@pytest.fixture
def pair():
    image = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(64, 64)
    mask[16:48, 16:48] = 1
    return Pair("face", image, mask, "a face")


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """VGG-16's convolutions under torchvision's names."""
    widths = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256}
    widths |= dict.fromkeys((17, 19, 21, 24, 26, 28), 512)
    before, tensors = 3, {}
    for index, width in widths.items():
        tensors[f"features.{index}.weight"] = torch.randn(width, before, 3, 3) * 0.05
        tensors[f"features.{index}.bias"] = torch.zeros(width)
        before = width
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    write_weights(path, tensors, {})
    return path


class TestLpips:
    @pytest.fixture
    def measure(self, vgg):
        pytest.importorskip("torchmetrics")
        pytest.importorskip("torchvision")
        from visage.evaluation.perceptual import background_lpips

        return background_lpips(vgg)

    def test_only_the_background_counts(self, measure, pair):
        inside = torch.where(pair.mask[..., None] > 0, 1 - pair.image, pair.image)
        assert measure(pair.image, pair) == measure(inside, pair) == 0
        assert measure(1 - pair.image, pair) > 0

    def test_other_weights_are_refused(self, tmp_path):
        pytest.importorskip("torchmetrics")
        pytest.importorskip("torchvision")
        from visage.evaluation.perceptual import background_lpips

        path = tmp_path / "other.safetensors"
        write_weights(path, {"head.weight": torch.zeros(2)}, {})
        with pytest.raises(ValueError, match="not torchvision's VGG-16"):
            background_lpips(path)


def test_pickscore_is_the_scaled_cosine(pair, random_starter, tmp_path):
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer
    from visage.evaluation.perceptual import pickscore

    tokenizer = CLIPTokenizer.from_pretrained(random_starter / "tokenizer")
    layers = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    layers["num_attention_heads"] = 2
    config = CLIPConfig(
        text_config={**layers, "vocab_size": len(tokenizer), "eos_token_id": len(tokenizer) - 1},
        vision_config={**layers, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    model = CLIPModel(config)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessor(**size).save_pretrained(tmp_path)
    score = pickscore(tmp_path)(pair.image, pair)
    assert abs(score) <= float(model.logit_scale.detach().exp()) + 1e-3
    assert score != pickscore(tmp_path)(1 - pair.image, pair)

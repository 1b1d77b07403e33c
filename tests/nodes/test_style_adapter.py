"""Load IP-Adapter and Style Adapter, run as ComfyUI runs them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from visage.models.checkpoints import write_weights
from visage.models.face_analyzer import FoundFace

pytestmark = pytest.mark.usefixtures("as_in_a_node")


@pytest.fixture(scope="module")
def model(comfyui_models):
    return comfyui_models[0]


@pytest.fixture
def user_file(comfy_nodes, model, ip_adapter_weights):
    """Puts an IP-Adapter where a user puts it; gives its name."""
    import folder_paths
    from visage.engines.comfyui.adapter import cross_attention
    from visage.models.registry import register_folders

    register_folders(folder_paths)
    folder = Path(folder_paths.get_folder_paths("ipadapter")[0])
    layers = [list(layer.to_k.weight.shape) for *_, layer in cross_attention(model)]

    def write(variant="base", name=None, **weights):
        name = name or f"{variant}.safetensors"
        weights = weights or ip_adapter_weights(
            variant, layers, width=64 if variant == "plus" else 40
        )
        write_weights(folder / name, weights, {}, overwrite=True)
        return name

    return write


@pytest.fixture
def adapter(user_file):
    from visage.nodes.style_adapter import VisageLoadIPAdapter

    return VisageLoadIPAdapter.execute(user_file()).args[0]


@pytest.fixture
def style(model, adapter, clip_vision):
    """Runs Style Adapter with its defaults, but for what is given."""
    from visage.nodes.style_adapter import VisageStyleAdapter

    defaults = {
        put.id: put.default
        for put in VisageStyleAdapter.define_schema().inputs
        if getattr(put, "default", None) is not None
    }
    pictures = torch.rand(2, 40, 32, 3, generator=torch.Generator().manual_seed(1))

    def style(**inputs):
        inputs = {"ipadapter": adapter, "image": pictures, **inputs}
        return VisageStyleAdapter.execute(
            model=model, clip_vision=clip_vision, **{**defaults, **inputs}
        ).args

    return style


def patches(model):
    return model.wrappers.get("diffusion_model", {}).get("visage_style_adapter", [])


class TestLoadIPAdapter:
    @pytest.mark.parametrize("variant", ["base", "plus", "full face", "FaceID"])
    def test_tells_the_variant_by_the_weights(self, variant, user_file):
        from visage.nodes.style_adapter import VisageLoadIPAdapter

        adapter = VisageLoadIPAdapter.execute(user_file(variant, "some.safetensors")).args[0]
        assert adapter.network.variant == variant
        assert adapter.patcher.model is adapter.network

    def test_names_a_lora_and_a_missing_file(self, user_file):
        from visage.nodes.style_adapter import VisageLoadIPAdapter

        name = user_file(name="lora.safetensors", **{"a.lora_up.weight": torch.rand(2, 2)})
        with pytest.raises(ValueError, match="lora.safetensors is not an IP-Adapter"):
            VisageLoadIPAdapter.execute(name)
        message = VisageLoadIPAdapter.validate_inputs("gone.safetensors")
        assert "gone.safetensors" in message
        assert "ipadapter" in message


class TestStyleAdapter:
    def test_patches_a_clone_of_the_model(self, style, model):
        styled, unseen = style()
        assert len(patches(styled)) == 1
        assert not patches(model)
        assert unseen.shape == (2, 40, 32)
        assert not unseen.any()

    @pytest.mark.parametrize(
        "nothing", [{"weight": 0.0}, {"start_percent": 0.5, "end_percent": 0.5}]
    )
    def test_settings_that_do_nothing_leave_no_patch(self, nothing, style):
        assert not patches(style(**nothing)[0])

    def test_nodes_may_follow_each_other(self, style, adapter, clip_vision):
        from visage.nodes.style_adapter import VisageStyleAdapter

        first, _ = style()
        second = VisageStyleAdapter.execute(
            first, adapter, clip_vision, torch.rand(1, 32, 32, 3), 0.3, "linear", 0.0, 1.0,
            "concat", "off",
        ).args[0]  # fmt: skip
        assert len(patches(second)) == 2

    def test_takes_what_another_packs_loader_gives(self, style, adapter):
        parts = {"image_proj": {}, "ip_adapter": {}}
        for name, value in adapter.network.state_dict().items():
            part, inner = name.split(".", 1)
            parts[part][inner] = value
        assert patches(style(ipadapter=parts)[0])

    def test_takes_pictures_with_an_alpha_channel_weights_and_an_unwanted_picture(self, style):
        styled, _ = style(
            image=torch.rand(2, 32, 32, 4),
            picture_weights="1, 0.5",
            block_weights="input: 1",
            negative_image=torch.rand(1, 32, 32, 3),
            region=torch.rand(1, 16, 16),
            combine="average",
        )
        assert patches(styled)

    def test_masks_by_hand(self, style):
        mask = torch.zeros(1, 80, 64)
        mask[:, :20] = 1
        _, unseen = style(reference_mask="mask", style_mask=mask)
        assert unseen.shape == (1, 40, 32)
        assert unseen.mean() == pytest.approx(0.25, abs=0.02)
        with pytest.raises(ValueError, match=r"style_mask.*40.*32|style_mask.*32.*40"):
            style(reference_mask="mask", style_mask=torch.rand(1, 20, 90))
        with pytest.raises(ValueError, match="connect a style_mask"):
            style(reference_mask="mask")

    def test_masks_faces_and_hair_by_itself(self, style, monkeypatch):
        from visage.engines.comfyui import style_pictures

        found = torch.zeros(2, 40, 32)
        found[1, :20] = 1

        def face_mask(image, parser, parts, progress):
            assert parts == ["face and hair"]
            progress(1, 1)
            return SimpleNamespace(mask=found)

        monkeypatch.setattr(style_pictures, "face_mask", face_mask)
        assert torch.equal(style(reference_mask="auto", parser="parser")[1], found)
        with pytest.raises(ValueError, match="connect a parser"):
            style(reference_mask="auto")

    def test_says_once_that_the_weight_is_too_high(self, style, monkeypatch):
        from visage.nodes import notes, style_adapter

        told = []
        monkeypatch.setattr(notes, "tell", lambda *line: told.append(line))
        monkeypatch.setattr(
            style_adapter.VisageStyleAdapter, "hidden", SimpleNamespace(unique_id="7")
        )
        style(weight=0.8)
        assert told == []
        style(weight=1.1)
        ((node, text),) = told
        assert node == "7"
        assert "weight 1.1" in text

    def test_unreadable_picture_weights_are_refused(self, style):
        with pytest.raises(ValueError, match="picture_weights is 'much'"):
            style(picture_weights="much")


class Analyzer:
    """Stands in for a face analyzer: one face in each picture that is not black, known by the
    picture's mean colour.
    """

    name, licence, thresholds = "by colour", "none", None

    def __init__(self, embedding_size=40):
        self.embedding_size = embedding_size

    def find(self, image):
        face = FoundFace((1.0, 1.0, 9.0, 9.0), 0.9, torch.zeros(5, 2))
        return [face] if float(image.max()) > 0 else []

    def embed(self, image, faces):
        colour = torch.nn.functional.pad(image.mean((0, 1)), (0, self.embedding_size - 3))
        return torch.nn.functional.normalize(colour, dim=0).expand(len(faces), -1)


class TestFaceID:
    @pytest.fixture
    def face_id(self, user_file):
        from visage.nodes.style_adapter import VisageLoadIPAdapter

        return VisageLoadIPAdapter.execute(user_file("FaceID")).args[0]

    @pytest.fixture
    def given(self, monkeypatch):
        """What the patch is made of."""
        from visage.nodes import style_adapter

        given = []
        whole = style_adapter.apply_style_adapter

        def record(model, adapter, pictures, negative, settings):
            given[:] = [pictures, negative]
            return whole(model, adapter, pictures, negative, settings)

        monkeypatch.setattr(style_adapter, "apply_style_adapter", record)
        return given

    def test_a_face_takes_the_place_of_the_style(self, style, face_id, given):
        pictures = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, None, None].expand(2, 32, 32, 3)
        styled, unseen = style(ipadapter=face_id, image=pictures, faces=Analyzer())
        assert len(patches(styled)) == 1 and not unseen.any()
        people, negative = given
        assert [person.argmax().item() for person in people] == [0, 2]
        assert all(person.shape == (1, 40) for person in people)
        assert negative.shape == (1, 40) and not negative.any()

    def test_a_negative_picture_is_a_person_to_avoid(self, style, face_id, given):
        green = torch.tensor([0, 1.0, 0]).expand(1, 32, 32, 3)
        style(ipadapter=face_id, faces=Analyzer(), negative_image=green)
        assert given[1].argmax() == 1

    def test_what_is_missing_is_named(self, style, face_id):
        with pytest.raises(ValueError, match="Connect faces from Load Face Analyzer"):
            style(ipadapter=face_id)
        with pytest.raises(ValueError, match="'by colour' finds no face"):
            style(ipadapter=face_id, faces=Analyzer(), image=torch.zeros(1, 32, 32, 3))
        with pytest.raises(ValueError, match="of 40 numbers, and this face analyzer's have 128"):
            style(ipadapter=face_id, faces=Analyzer(128))


class TestTheEncoderOfAnAdapter:
    """Load IP-Adapter's second output."""

    @pytest.fixture
    def encoder_file(self, comfy_nodes, write_random):
        """Puts a CLIP vision file of these widths where a user puts it."""
        import folder_paths

        folder = Path(folder_paths.get_folder_paths("clip_vision")[0])
        folder.mkdir(parents=True, exist_ok=True)

        def write(name, hidden, projection):
            shapes = {
                "vision_model.embeddings.class_embedding": [hidden],
                "visual_projection.weight": [projection, hidden],
            }
            write_random(folder / name, shapes)
            folder_paths.filename_list_cache.clear()

        return write

    @pytest.mark.parametrize(
        ("variant", "name"), [("base", "b.safetensors"), ("plus", "a.safetensors")]
    )
    def test_is_known_by_its_width_and_loaded_when_it_is_used(
        self, user_file, encoder_file, monkeypatch, variant, name
    ):
        from visage.nodes import style_adapter

        encoder_file("a.safetensors", 64, 24)
        encoder_file("b.safetensors", 16, 40)
        loaded = []
        fake = SimpleNamespace(image_size=224)
        monkeypatch.setattr(
            style_adapter, "load_encoder_file", lambda path: loaded.append(path.name) or fake
        )
        encoder = style_adapter.VisageLoadIPAdapter.execute(user_file(variant)).args[1]
        assert not loaded
        assert encoder.image_size == 224
        assert encoder.image_size == 224
        assert loaded == [name]

    def test_says_what_is_needed_where_none_fits(self, user_file, encoder_file):
        from visage.nodes.style_adapter import VisageLoadIPAdapter

        encoder_file("a.safetensors", 48, 24)
        encoder_file("b.safetensors", 16, 24)
        encoder = VisageLoadIPAdapter.execute(user_file("plus")).args[1]
        with pytest.raises(FileNotFoundError, match="hidden_states are 64 wide.*a.safetensors.*48"):
            encoder.encode_image(None)

    def test_a_face_id_adapter_has_none(self, user_file):
        from visage.nodes.style_adapter import VisageLoadIPAdapter

        assert VisageLoadIPAdapter.execute(user_file("FaceID")).args[1] is None

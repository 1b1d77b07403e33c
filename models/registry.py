"""Which model files the nodes take: their folder, extensions, licence, and where to get them.

ComfyUI's `folder_paths` module is passed in, so that this also serves where there is no ComfyUI;
nor does it need torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType

from .starter_files import FILES, STARTER, starter_file

BUILT_IN = "starter (built in)"


@dataclass(frozen=True)
class ModelKind:
    """A kind of model file; `folder` is both ComfyUI's folder key and the folder's name.

    `known_files` are names that public files of this kind go by, and `marks` prefixes of tensor
    names that only this kind has. `built_in` says that the starter has one.
    """

    key: str
    folder: str
    extensions: frozenset[str]
    what: str
    licence: str
    where_from: str
    known_files: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    built_in: bool = True

    def how_to_get(self) -> str:
        """Where such a file comes from, as nodes and `visage doctor` say it."""
        return f"Get it at: {self.where_from} (licence: {self.licence})"


KINDS: dict[str, ModelKind] = {
    kind.key: kind
    for kind in (
        ModelKind(
            key="face_parser",
            folder="visage_face_parsers",
            extensions=frozenset({".safetensors", ".pth", ".pt", ".ckpt"}),
            what="a BiSeNet or SegFormer face parser with the 19 CelebAMask-HQ classes",
            licence="code MIT; trained on CelebAMask-HQ, which is for non-commercial research",
            where_from=(
                "https://github.com/zllrunning/face-parsing.PyTorch (79999_iter.pth), "
                "https://github.com/xinntao/facexlib/releases (parsing_bisenet.pth), "
                "https://github.com/yakhyo/face-parsing/releases (resnet18.pt, resnet34.pt) or "
                "https://huggingface.co/jonathandinu/face-parsing (model.safetensors and "
                "config.json, in a folder of their own)"
            ),
            known_files=("79999_iter.pth", "parsing_bisenet.pth", "resnet18.pt", "resnet34.pt"),
            marks=("cp.resnet.", "fpn.backbone."),
        ),
        ModelKind(
            key="face_edit",
            folder="visage_face_edits",
            extensions=frozenset({".safetensors"}),
            what="face-edit weights for a 9-channel inpainting model",
            licence="that of the data it was trained on",
            where_from="`visage train face-edit` or the node Train Face Edit, on your own model",
            marks=("visage_text_adapter.",),
        ),
        ModelKind(
            key="ip_adapter",
            # Spelled as other packs spell it, so that all see one folder.
            folder="ipadapter",
            extensions=frozenset({".safetensors", ".bin"}),
            what="an IP-Adapter for the checkpoint's family (SD 1.5 or SDXL)",
            licence="Apache-2.0; FaceID files: non-commercial research",
            where_from="the links in https://github.com/tencent-ailab/IP-Adapter",
            known_files=(
                "ip-adapter_sd15.safetensors",
                "ip-adapter-plus_sd15.safetensors",
                "ip-adapter-plus-face_sd15.safetensors",
                "ip-adapter_sdxl_vit-h.safetensors",
            ),
            marks=("image_proj.", "ip_adapter."),
        ),
        ModelKind(
            key="clipseg",
            folder="visage_clipseg",
            extensions=frozenset({".safetensors", ".bin"}),
            what="CLIPSeg's weights, beside its config.json and its tokenizer's files",
            licence="Apache-2.0",
            where_from="https://huggingface.co/CIDAS/clipseg-rd64-refined (all files)",
            marks=("clip.text_model.", "clip.vision_model."),
            built_in=False,
        ),
        ModelKind(
            key="segment_anything",
            folder="visage_segment_anything",
            extensions=frozenset({".safetensors", ".bin"}),
            what="a Segment Anything model, beside its config.json and preprocessor_config.json",
            licence="Apache-2.0",
            where_from="https://huggingface.co/facebook/sam-vit-base (all files)",
            marks=("mask_decoder.",),
            built_in=False,
        ),
        ModelKind(
            key="clip",
            folder="visage_clip",
            extensions=frozenset({".safetensors", ".bin"}),
            what="CLIP's weights, beside its config.json and its tokenizer's files",
            licence="MIT",
            where_from="https://huggingface.co/openai/clip-vit-base-patch32 (all files)",
            built_in=False,
        ),
        ModelKind(
            key="face_analyzer",
            folder="visage_face_analyzers",
            extensions=frozenset({".onnx"}),
            what="YuNet and SFace in one folder, which find faces and tell people apart",
            licence="YuNet: MIT; SFace: Apache-2.0",
            where_from=(
                "https://github.com/opencv/opencv_zoo (face_detection_yunet_2023mar.onnx, "
                "face_recognition_sface_2021dec.onnx)"
            ),
        ),
        ModelKind(
            key="insightface",
            # Spelled as other packs spell it, so that all see one folder.
            folder="insightface",
            extensions=frozenset({".onnx"}),
            what="an unpacked InsightFace pack such as buffalo_l in a folder of its own",
            licence="non-commercial research only",
            where_from="https://github.com/deepinsight/insightface/releases (buffalo_l.zip)",
        ),
        ModelKind(
            key="vgg19",
            folder="visage_vgg",
            extensions=frozenset({".safetensors", ".pth"}),
            what="VGG-19, whose features tell textures apart",
            licence="BSD-3-Clause; trained on ImageNet, which is for non-commercial research",
            where_from="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            known_files=("vgg19-dcbb9e9d.pth",),
            built_in=False,
        ),
    )
}

COMFYUI_KINDS: dict[str, ModelKind] = {
    kind.key: kind
    for kind in (
        ModelKind(
            key="checkpoint",
            folder="checkpoints",
            extensions=frozenset({".safetensors", ".ckpt", ".pt", ".pth"}),
            what="a checkpoint; face editing takes a Stable Diffusion 1.5 inpainting one",
            licence="CreativeML OpenRAIL-M",
            where_from=(
                "https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-inpainting "
                "(sd-v1-5-inpainting.ckpt)"
            ),
            known_files=("sd-v1-5-inpainting.ckpt", "sd-v1-5-inpainting.safetensors"),
            marks=("model.diffusion_model.",),
        ),
        ModelKind(
            key="clip_vision",
            folder="clip_vision",
            extensions=frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt"}),
            what="a CLIP image encoder, which an IP-Adapter needs",
            licence="MIT",
            where_from=(
                "https://huggingface.co/h94/IP-Adapter (models/image_encoder/model.safetensors)"
            ),
            marks=("vision_model.",),
        ),
        ModelKind(
            key="lora",
            folder="loras",
            extensions=frozenset({".safetensors", ".ckpt", ".pt", ".pth", ".bin"}),
            what="a LoRA for the checkpoint's family",
            licence="its maker's",
            where_from="Train Style LoRA, kohya's tools, PEFT, or the maker of a style",
            marks=("lora_unet_", "lora_te_", "base_model.model."),
        ),
    )
}
"""Kinds that ComfyUI's own nodes load, which our workflows use."""

ALL_KINDS = {**KINDS, **COMFYUI_KINDS}


def kind_of(
    file_name: str, tensors: Iterable[str] = (), metadata: Mapping[str, str] = MappingProxyType({})
) -> str | None:
    """The key of a file's kind, by what it contains or by its name; None if unknown."""
    if metadata.get("visage.kind") in ALL_KINDS:
        return metadata["visage.kind"]
    names = tuple(tensors)
    for key, kind in ALL_KINDS.items():
        if kind.marks and any(name.startswith(kind.marks) for name in names):
            return key
    return next((key for key, kind in ALL_KINDS.items() if file_name in kind.known_files), None)


def register_folders(folder_paths: ModuleType) -> None:
    """Make ComfyUI list our model folders, beside what its user has set; doing it again is safe."""
    for kind in KINDS.values():
        default = str(Path(folder_paths.models_dir) / kind.folder)
        folder_paths.add_model_folder_path(kind.folder, default)
        paths, extensions = folder_paths.folder_names_and_paths[kind.folder]
        # An empty set of extensions would list every file.
        folder_paths.folder_names_and_paths[kind.folder] = (paths, extensions | kind.extensions)


def options(key: str, folder_paths: ModuleType) -> list[str]:
    """Return the names that a file widget offers: the built-in starter where there is one, then
    the user's files.
    """
    register_folders(folder_paths)
    built_in = [BUILT_IN] if key in FILES and (STARTER / FILES[key]).is_file() else []
    return [*built_in, *folder_paths.get_filename_list(KINDS[key].folder)]


def analyzer_packs(folder_paths: ModuleType) -> dict[str, list[Path]]:
    """The folders of face-analysis files that the user has, by name, and the files in each.

    The name is the folder's path below the folder of its kind, or that folder's own name.
    """
    register_folders(folder_paths)
    packs: dict[str, list[Path]] = {}
    for key in ("face_analyzer", "insightface"):
        folder = KINDS[key].folder
        found: dict[str, list[Path]] = {}
        for name in folder_paths.get_filename_list(folder):
            parent = Path(name).parent
            pack = folder if parent == Path() else parent.as_posix()
            found.setdefault(pack, []).append(Path(folder_paths.get_full_path(folder, name)))
        # A name that both kinds have is that of the first.
        packs = found | packs
    return packs


def locate(key: str, name: str, folder_paths: ModuleType) -> Path:
    """Return the path of a file that a widget offered.

    Raises FileNotFoundError that says which folders were searched, what they hold, and where such
    a file comes from.
    """
    if name == BUILT_IN:
        return starter_file(key)
    kind = KINDS[key]
    found = [option for option in options(key, folder_paths) if option != BUILT_IN]
    path = folder_paths.get_full_path(kind.folder, name)
    if path is None:
        raise FileNotFoundError(
            f"No file {name!r}, which should be {kind.what}. "
            f"Searched: {', '.join(folder_paths.get_folder_paths(kind.folder))}. "
            f"Found: {', '.join(found) or 'nothing'}. {kind.how_to_get()}"
            f"{f'; or choose {BUILT_IN!r}' if kind.built_in else ''}."
        )
    return Path(path)

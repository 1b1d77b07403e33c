"""The kinds of model files that nodes take: folder, extensions, licence, and where to get them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelKind:
    """A kind of model file; `folder` is both ComfyUI's folder key and the folder's name.

    `known_files` are names that public files of this kind go by, and `marks` prefixes of tensor
    names that only this kind has. `adds` says what such a file makes possible, and `built_in` that
    the starter has one.
    """

    key: str
    folder: str
    extensions: frozenset[str]
    what: str
    adds: str
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
            adds="face masks by a parser that learned from thousands of photographs",
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
            adds="face edits by weights of your own",
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
            adds="the look of reference pictures on Stable Diffusion",
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
            adds="masks from any words",
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
            adds="masks from any words, with finer edges",
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
            adds="the words for Segment Anything",
            licence="MIT",
            where_from="https://huggingface.co/openai/clip-vit-base-patch32 (all files)",
            marks=("text_projection.",),
            built_in=False,
        ),
        ModelKind(
            key="face_analyzer",
            folder="visage_face_analyzers",
            extensions=frozenset({".onnx", ".dat"}),
            what="YuNet and SFace in one folder, which find faces and tell people apart",
            adds="faces found and told apart by OpenCV's networks",
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
            adds="faces found and told apart by InsightFace's networks",
            licence="non-commercial research only",
            where_from="https://github.com/deepinsight/insightface/releases (buffalo_l.zip)",
        ),
        ModelKind(
            key="inswapper",
            # InsightFace's own folder, where other packs look as well.
            folder="insightface",
            extensions=frozenset({".onnx"}),
            what="a face swapper of inswapper's format",
            adds="a network that gives a face another identity, in Bring Face",
            licence="non-commercial research only",
            where_from="the maker of your inswapper_128.onnx; InsightFace offers it no longer",
            known_files=("inswapper_128.onnx", "inswapper_128_fp16.onnx"),
            built_in=False,
        ),
        ModelKind(
            key="vgg19",
            folder="visage_vgg",
            extensions=frozenset({".safetensors", ".pth"}),
            what="VGG-19, whose features tell textures apart",
            adds="Gatys' method in Neural Style, and style scores",
            licence="BSD-3-Clause; trained on ImageNet, which is for non-commercial research",
            where_from="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            known_files=("vgg19-dcbb9e9d.pth",),
            built_in=False,
        ),
        ModelKind(
            key="fast_style",
            folder="visage_fast_styles",
            extensions=frozenset({".safetensors", ".pth", ".pt"}),
            what="a fast style network of the layout of PyTorch's fast_neural_style examples",
            adds="styles that paint a picture in one pass",
            licence="BSD-3-Clause for the examples' files; that of the painting for your own",
            where_from=(
                "`visage train fast-style PICTURE`, the node Train Fast Style, or the saved models "
                "of https://github.com/pytorch/examples (fast_neural_style)"
            ),
            known_files=("candy.pth", "mosaic.pth", "rain_princess.pth", "udnie.pth"),
            marks=("deconv1.conv2d.", "res1.conv1.conv2d."),
            built_in=False,
        ),
        ModelKind(
            key="adain",
            folder="visage_adain",
            extensions=frozenset({".safetensors", ".pth", ".pt"}),
            what="AdaIN's encoder or decoder, or a pair in one file",
            adds="the style of any picture in one pass",
            licence="MIT for the public files; their encoder was trained on ImageNet, which is for "
            "non-commercial research",
            where_from=(
                "https://github.com/naoto0804/pytorch-AdaIN/releases (vgg_normalised.pth and "
                "decoder.pth; both are needed)"
            ),
            known_files=("vgg_normalised.pth", "decoder.pth"),
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
            adds="real photographs at 512 px, where the starter paints small drawn faces",
            licence="CreativeML OpenRAIL-M",
            where_from=(
                "https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-inpainting "
                "(sd-v1-5-inpainting.ckpt, under any name)"
            ),
            known_files=("sd-v1-5-inpainting.ckpt", "sd-v1-5-inpainting.safetensors"),
            marks=("model.diffusion_model.",),
        ),
        ModelKind(
            key="clip_vision",
            folder="clip_vision",
            extensions=frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt"}),
            what="a CLIP image encoder, which an IP-Adapter needs",
            adds="the eyes of an IP-Adapter",
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
            adds="styles and people that LoRAs have learned",
            licence="its maker's",
            where_from="Train Style LoRA, kohya's tools, PEFT, or the maker of a style",
            marks=("lora_unet_", "lora_te_", "base_model.model."),
        ),
    )
}
"""Kinds that ComfyUI's own nodes load, which our workflows use."""

ALL_KINDS = {**KINDS, **COMFYUI_KINDS}

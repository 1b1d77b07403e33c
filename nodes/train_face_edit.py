"""Fine-tuning of the face editor on the canvas."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management
import folder_paths
import torch
from comfy_api.latest import io

from ..engines.comfyui.face_edit import apply_face_edit
from ..engines.comfyui.native_size import chosen_size
from ..engines.comfyui.progress import LearningProgress, Progress, loss_map, stop_if_interrupted
from ..engines.comfyui.training import make_trainable
from ..models import registry
from ..models.face_edit import read_face_edit, read_lora_part
from ..models.face_parser import load_face_parser
from ..models.starter_files import starter_file
from ..techniques.text_adapter import FaceAwareTextAdapter
from ..training.face_edit.config import FaceEditConfig
from .menu import menu
from .notes import node_id
from .sockets import FaceParserSocket, TextAdapterSocket

WORLD = "drawn faces (built in)"
WORLD_PORTRAITS = 48
WORLD_SIZE = 128
RUNS = "visage_training"


class VisageTrainFaceEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageTrainFaceEdit",
            display_name="Train Face Edit",
            **menu("Training", "fine-tune", "train inpainting"),
            description="Fine-tunes an inpainting model on faces: its cross-attention K and V "
            "projections and the face-aware text adapter, with a mask-weighted loss. Interrupting "
            "saves the run at its last step; running it again goes on from there.",
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The inpainting model to fine-tune (9 channels)."),
                io.Clip.Input("clip", tooltip="The model's text encoder; it stays as it is."),
                io.Vae.Input("vae", tooltip="The model's VAE; it stays as it is."),
                io.Combo.Input(
                    "dataset",
                    options=[WORLD, *folder_paths.get_input_subfolders()],
                    tooltip="A folder in ComfyUI's input folder: CelebAMask-HQ as it is published, "
                    "or pictures with a .txt caption and maybe a .mask.png each. Or a few dozen "
                    "faces that Visage draws itself, to try the node.",
                ),
                io.String.Input(
                    "name",
                    default="my_face_edit",
                    tooltip="The result is models/visage_face_edits/NAME.safetensors; the run's "
                    "checkpoints, curve and validation pictures lie in the output folder under "
                    "visage_training/NAME.",
                ),
                io.Int.Input(
                    "steps",
                    default=12500,
                    min=1,
                    max=10_000_000,
                    tooltip="Training steps; the paper takes 12,500 of 16 pictures.",
                ),
                io.Int.Input("batch", default=16, min=1, max=1024, tooltip="Pictures in one step."),
                io.Int.Input(
                    "micro_batch",
                    default=0,
                    min=0,
                    max=1024,
                    tooltip="Pictures on the device at once, to save memory. It must divide the "
                    "batch. 0: all.",
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=0,
                    max=2048,
                    step=8,
                    tooltip="Width and height of the training pictures. 0: the model's own size, "
                    "such as 512 for SD 1.5.",
                ),
                io.Float.Input(
                    "kv_learning_rate",
                    default=5e-5,
                    min=0.0,
                    max=1.0,
                    step=1e-6,
                    round=1e-7,
                    tooltip="AdamW's learning rate for the K/V projections.",
                ),
                io.Float.Input(
                    "adapter_learning_rate",
                    default=1e-4,
                    min=0.0,
                    max=1.0,
                    step=1e-6,
                    round=1e-7,
                    tooltip="AdamW's learning rate for the text adapter.",
                ),
                io.Float.Input(
                    "alpha",
                    default=0.05,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Weight of the background in the loss. The face's weight is 1 higher.",
                ),
                io.Float.Input(
                    "adapter_strength",
                    default=0.3,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How strongly the adapter acts. Use the same in Face-Aware Text.",
                ),
                io.Float.Input(
                    "mask_sigma",
                    default=0.0,
                    min=0.0,
                    max=64.0,
                    step=0.5,
                    tooltip="Softness in pixels of the masks that the model is shown; 0 is binary, "
                    "as in the paper.",
                ),
                io.Int.Input(
                    "training_seed",
                    default=42,
                    min=0,
                    max=2**64 - 1,
                    tooltip="Seed of the split into training and evaluation pictures and of every "
                    "random draw.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["fp32", "bf16", "fp16"],
                    default="fp32",
                    tooltip="Precision of the computation. The trained weights are always fp32.",
                ),
                io.Boolean.Input(
                    "gradient_checkpointing",
                    default=False,
                    tooltip="Saves memory; each step takes about a third longer.",
                ),
                io.Int.Input(
                    "save_every",
                    default=500,
                    min=1,
                    max=1_000_000,
                    tooltip="Steps between checkpoints.",
                ),
                io.Int.Input(
                    "validate_every",
                    default=500,
                    min=0,
                    max=1_000_000,
                    tooltip="Steps between validation pictures, which are edits of pictures that "
                    "are not trained on. 0: none.",
                ),
                FaceParserSocket.Input(
                    "parser",
                    optional=True,
                    tooltip="Finds the faces in pictures without masks; the built-in parser where "
                    "nothing is connected.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model_out",
                    display_name="model",
                    tooltip="The model with the fine-tuned projections.",
                ),
                TextAdapterSocket.Output(
                    "adapter", display_name="adapter", tooltip="For Face-Aware Text."
                ),
                io.LoraModel.Output(
                    "lora",
                    display_name="lora",
                    tooltip="The K/V part alone, for ComfyUI's own LoRA nodes.",
                ),
                io.LossMap.Output(
                    "loss", display_name="loss", tooltip="Every step's loss, for Plot Loss Graph."
                ),
                io.String.Output(
                    "file", display_name="file", tooltip="The file for Load Face Edit."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, name: str = "") -> bool | str:
        if not name or Path(name).name != name or name.startswith("."):
            return f"The name {name!r} must be a plain file name, without folders."
        return True

    @classmethod
    def execute(
        cls, model, clip, vae, dataset: str, name: str, size: int, training_seed: int,
        parser=None, **settings,
    ) -> io.NodeOutput:  # fmt: skip
        trainer = _trainer()
        config = FaceEditConfig(size=chosen_size(size, model), seed=training_seed, **settings)
        runs = Path(folder_paths.get_output_directory()) / RUNS
        folder = _world(runs) if dataset == WORLD else _input_folder(dataset)
        shown = LearningProgress(node_id(cls), config.steps)

        def watch(progress) -> None:
            shown.losses = progress.losses
            shown.update(progress.step, progress.steps)
            stop_if_interrupted()

        device = comfy.model_management.get_torch_device()
        # Nodes run in inference mode, where nothing can learn.
        with torch.inference_mode(False):
            trained, shown.losses = trainer.train_face_edit(
                make_trainable(model, clip, vae),
                folder,
                config,
                runs / name,
                cache=runs / "cache",
                parser=parser or load_face_parser(starter_file("face_parser")),
                accelerator=trainer.make_accelerator(cpu=device.type == "cpu"),
                resume=True,
                on_step=watch,
            )
        file = registry.publish(trained, "face_edit", f"{name}.safetensors", folder_paths)
        weights = read_face_edit(file)
        adapter = weights.adapter and FaceAwareTextAdapter.from_weights(weights.adapter)
        return io.NodeOutput(
            apply_face_edit(model, weights, 1.0),
            adapter,
            read_lora_part(file),
            loss_map(shown.losses),
            file.name,
            ui=shown.ui(),
        )


def _trainer():
    try:
        from ..training.face_edit import trainer
    except ModuleNotFoundError as error:
        raise ValueError(
            f"Training needs the Python package {error.name}, which is not installed in ComfyUI's "
            f"environment: python -m pip install {error.name}."
        ) from error
    return trainer


def _world(runs: Path) -> Path:
    """The drawn faces, made once beside the runs."""
    from ..world.export import export_portraits

    folder, progress = runs / "drawn_faces", Progress()
    for done in export_portraits(folder, WORLD_PORTRAITS, WORLD_SIZE, "train", None, workers=1):
        progress(done, WORLD_PORTRAITS)
    return folder


def _input_folder(name: str) -> Path:
    root = Path(folder_paths.get_input_directory()).resolve()
    folder = (root / name).resolve()
    if not folder.is_relative_to(root) or not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {name!r} in ComfyUI's input folder {root}.")
    return folder


NODES: list[type[io.ComfyNode]] = [VisageTrainFaceEdit]

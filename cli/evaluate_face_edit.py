"""`visage evaluate face-edit`: the paper's tables on any dataset that the trainer reads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .output import say

if TYPE_CHECKING:
    from torch import Tensor

    from ..evaluation.face_edit import Method, Pair, Row


def add_face_edit_command(kinds: argparse._SubParsersAction) -> None:
    """Add `visage evaluate face-edit`."""
    command = kinds.add_parser(
        "face-edit",
        help="compare the face editor with inpainting, Blended Latent Diffusion and its variants",
        description="Edits pictures of the dataset's evaluation split with every method and writes "
        "a table, plots and the pictures. Columns whose weights are not given are left out.",
    )
    command.add_argument("dataset", type=Path, help="as for `visage train face-edit`")
    command.add_argument("--base", type=Path, help="diffusers folder (default: the starter)")
    command.add_argument("--face-edit", type=Path, help="trained file (default: the starter's)")
    command.add_argument("--plain-loss", type=Path, help="a file trained with --loss plain")
    command.add_argument("--pairs", type=int, default=100, help="pictures (%(default)s)")
    command.add_argument("--seed", type=int, default=42, help="split and noise (%(default)s)")
    command.add_argument(
        "--evaluation-share",
        type=float,
        default=1 / 3,
        help="the split; 1 takes all pictures",
    )
    command.add_argument("--size", type=int, default=512, help="in pixels (%(default)s)")
    command.add_argument("--steps", type=int, default=20, help="sampling steps (%(default)s)")
    command.add_argument("--guidance", type=float, default=5.0, help="(%(default)s)")
    command.add_argument(
        "--sigma", type=float, help="softness of the mask in pixels (default: SIZE / 64)"
    )
    command.add_argument("--vgg", type=Path, help="torchvision's vgg16-397923af.pth, for LPIPS")
    command.add_argument("--pickscore", type=Path, help="the folder of PickScore's model")
    command.add_argument(
        "--embedder",
        type=Path,
        help="the starter's face embedder, for Frechet distance and identity of drawn faces",
    )
    command.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="a row for pictures made elsewhere, with the names of the dataset's",
    )
    command.add_argument("--out", type=Path, default=Path("runs/evaluate_face_edit"))
    command.add_argument(
        "--address",
        help="measure each method by itself on a Ray cluster, whose machines share the files; "
        "local: in parallel on this machine",
    )
    command.set_defaults(run=run_face_edit)


@dataclass(frozen=True)
class Measured:
    """Rows of the table, reasons for absent columns, the first of `count` pairs with each method's
    edit of it, the names of the metrics, and the device."""

    rows: list[Row]
    absent: dict[str, str]
    first: Pair
    count: int
    shown: dict[str, Tensor]
    metrics: list[str]
    device: str


def run_face_edit(args: argparse.Namespace) -> int:
    """Edit, measure, and print the table."""
    from ..evaluation.face_edit import METHODS, write_report

    compare = {}
    for text in args.compare:
        name, separator, folder = text.partition("=")
        if not separator or not Path(folder).is_dir():
            raise ValueError(f"--compare {text}: give NAME=FOLDER with a folder of pictures.")
        compare[name] = Path(folder).resolve()
    measured = (_on_cluster if args.address else _measure)(args, METHODS, compare)
    rows = measured.rows
    about = {
        "dataset": args.dataset.name,
        "pairs": measured.count,
        "size": args.size,
        "steps": args.steps,
        "seed": args.seed,
        "device": measured.device,
    }
    print(write_report(args.out, rows, measured.absent, about))
    if find_spec("matplotlib") is None:
        print("No plots: matplotlib is not installed (pip install matplotlib).", file=sys.stderr)
        return 0
    from ..evaluation import face_edit_plots as plots

    for column in ("psnr_background", *measured.metrics):
        plots.plot_spread(rows, column, args.out / f"{column}.png")
    plots.plot_profile(measured.first, measured.shown, args.out / "profile.png")
    plots.plot_differences(measured.first, measured.shown, args.out / "differences.png")
    return 0


def _on_cluster(
    args: argparse.Namespace, methods: Sequence[Method], compare: dict[str, Path]
) -> Measured:
    """Measure each method, and the pictures made elsewhere, as tasks on a Ray cluster."""
    from ..batch.cluster import fan_out, here_or

    paths = {name: value.resolve() for name, value in vars(args).items() if isinstance(value, Path)}
    # The parser's function cannot be sent to other machines.
    args = argparse.Namespace(**{**vars(args), **paths, "run": None})
    tasks = {method.name: partial(_measure, args, [method], {}) for method in methods}
    if compare:
        tasks["pictures made elsewhere"] = partial(_measure, args, [], compare)
    found = list(fan_out(tasks, here_or(args.address), say).values())
    rows = [row for part in found for row in part.rows]
    shown = {name: picture for part in found for name, picture in part.shown.items()}
    return replace(found[0], rows=rows, shown=shown)


def _measure(
    args: argparse.Namespace, methods: Sequence[Method], compare: dict[str, Path]
) -> Measured:
    """Measure the rows of some methods, and of pictures made elsewhere."""
    import numpy as np
    import torch
    from PIL import Image

    from ..engines.diffusers import DiffusersEngine
    from ..evaluation.face_edit import EditSettings, Weights, choose_pairs, run_table
    from ..evaluation.perceptual import background_lpips, pickscore
    from ..models.face_edit import read_face_edit
    from ..models.face_parser import load_face_parser
    from ..models.starter_files import STARTER, starter_file
    from ..techniques.text_adapter import FaceAwareTextAdapter
    from ..training.face_edit.dataset import read_dataset, split_dataset

    examples = read_dataset(args.dataset)
    fraction = args.evaluation_share
    _, chosen = split_dataset(examples, fraction, args.seed)
    parser = load_face_parser(starter_file("face_parser"))
    pairs, problems = choose_pairs(chosen, args.pairs, args.size, parser=parser)
    for line in problems:
        print(f"left out: {line}", file=sys.stderr)
    if not pairs:
        raise ValueError(f"None of the {len(chosen)} evaluation pictures can be used.")
    base = args.base or STARTER
    device = "cuda" if torch.cuda.is_available() else "cpu"
    files = {
        "tuned": args.face_edit or (None if args.base else starter_file("face_edit")),
        "plain loss": args.plain_loss,
    }
    loaded: dict[str, Weights] = {}

    def weights(name: str) -> Weights | None:
        if name != "base" and files[name] is None:
            return None
        if name not in loaded:
            loaded.clear()  # keep only one UNet in memory
            trained = None if name == "base" else read_face_edit(files[name])
            engine = DiffusersEngine.load(base, trained, device=device)
            adapter = trained and trained.adapter
            loaded[name] = Weights(engine, adapter and FaceAwareTextAdapter.from_weights(adapter))
        return loaded[name]

    shown: dict[str, torch.Tensor] = {}

    def keep(method: str, pair, edited) -> None:
        if pair is pairs[0]:
            shown[method] = edited
        folder = args.out / method.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        picture = (edited * 255).round().byte().numpy()
        Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"{pair.name}.png")

    metrics, absent = {}, {} if device == "cuda" else {"memory": "there is no GPU"}
    for column, given, build in (
        ("lpips_background", args.vgg, background_lpips),
        ("pickscore", args.pickscore, pickscore),
    ):
        if given is None:
            absent[column] = "its weights were not given"
        else:
            metrics[column] = build(given)
    features = _drawn_faces(args.dataset, args.embedder, args.size) if args.embedder else None
    if features is None:
        reason = "no face embedder was given"
        absent |= {"frechet": reason, "identity": reason}
    sigma = args.size / 64 if args.sigma is None else args.sigma
    settings = EditSettings(args.steps, args.guidance, sigma, round(sigma / 2))
    rows = run_table(
        pairs,
        weights,
        settings,
        metrics,
        features,
        args.seed,
        methods=methods,
        compare=compare,
        keep=keep,
        say=say,
    )
    return Measured(rows, absent, pairs[0], len(pairs), shown, list(metrics), device)


def _drawn_faces(dataset: Path, embedder: Path, size: int):
    """Make a function for the vector of a drawn face, aligned by the renderer's landmarks."""
    import json

    import numpy as np

    from ..evaluation.realism import features_of
    from ..models.face_embedder import load_face_embedder
    from ..world.export import CAPTION_FILE, SETTINGS_FILE

    files = [dataset / name for name in (CAPTION_FILE, SETTINGS_FILE)]
    if not all(file.is_file() for file in files):
        raise ValueError(
            f"--embedder is for drawn faces only, and {dataset} was not written by "
            "`visage data render`. Leave it out."
        )
    records = [json.loads(line) for line in files[0].read_text(encoding="utf-8").splitlines()]
    scale = size / json.loads(files[1].read_text(encoding="utf-8"))["size"]
    landmarks = {
        Path(record["image"]).stem: np.array(record["landmarks"]) * scale for record in records
    }
    vectors = features_of(load_face_embedder(embedder))

    def features(picture, pair) -> np.ndarray:
        image = (picture * 255).round().byte().numpy()
        return vectors([image], [landmarks[pair.name]])[0]

    return features

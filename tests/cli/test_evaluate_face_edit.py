"""`visage evaluate face-edit` with a face embedder, on drawn faces."""

import json

import torch
from visage.cli.main import main
from visage.models.checkpoints import write_weights
from visage.models.face_edit import write_face_edit
from visage.models.face_embedder import EmbedderNetwork
from visage.world.export import export_portraits


def test_drawn_faces_are_compared_by_the_embedder(random_starter, tmp_path, capsys):
    for _ in export_portraits(tmp_path / "world", 3, 64, "test", None, workers=1):
        pass
    torch.manual_seed(0)
    embedder = tmp_path / "embedder.safetensors"
    write_weights(embedder, EmbedderNetwork().state_dict(), {"visage.kind": "face_embedder"})
    trained = tmp_path / "face_edit.safetensors"
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    write_face_edit(trained, {name: torch.zeros(64, 48)}, None, {})
    options = ["--base", str(random_starter), "--face-edit", str(trained), "--size", "64"]
    options += ["--steps", "1", "--evaluation-share", "0.9", "--out", str(tmp_path / "out")]
    options += ["--embedder", str(embedder)]
    assert main(["evaluate", "face-edit", str(tmp_path / "world"), *options]) == 0
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    ours = next(row for row in table["rows"] if row["name"] == "ours")
    assert len(ours["values"]["identity"]) == 3 and len(ours["values"]["frechet"]) == 1
    assert table["absent"].keys() - {"memory"} == {"lpips_background", "pickscore"}

    (tmp_path / "world" / "captions.jsonl").rename(tmp_path / "captions.jsonl")
    assert main(["evaluate", "face-edit", str(tmp_path / "world"), *options]) == 2
    assert "is for drawn faces only" in capsys.readouterr().err

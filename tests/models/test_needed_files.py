"""Which files a workflow names, and which of them are not there."""

from visage.models.needed_files import missing_files, needed_files

PROMPT = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
    "2": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
    "3": {"class_type": "VisageLoadIPAdapter", "inputs": {"file": "starter (built in)"}},
    "4": {
        "class_type": "DualCLIPLoader",
        "inputs": {"clip_name1": "l.safetensors", "clip_name2": "t5.safetensors"},
    },
    "5": {"class_type": "KSampler", "inputs": {"steps": 2}},
}


def test_each_file_is_named_once_with_its_folder():
    assert needed_files(PROMPT) == [
        ("checkpoints", "a.safetensors"),
        ("text_encoders", "l.safetensors"),
        ("text_encoders", "t5.safetensors"),
    ]


def test_what_lies_in_its_folder_is_not_missing(tmp_path):
    (tmp_path / "l.safetensors").touch()
    folders = {"text_encoders": [tmp_path / "elsewhere", tmp_path]}
    assert missing_files(PROMPT, folders) == [
        ("checkpoints", "a.safetensors"),
        ("text_encoders", "t5.safetensors"),
    ]

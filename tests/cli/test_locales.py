"""The nodes' texts in every language are whole and made from one table each."""

import json

import pytest
from visage.cli import locales
from visage.cli.locales import LOCALES, TABLES, definitions, texts_of, translated, write


def load(path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


ENGLISH = load(LOCALES / "en" / "nodeDefs.json")
INFO = {
    "VisageThing": {
        "display_name": "Thing",
        "description": "Does it.",
        "input": {
            "required": {"image": ["IMAGE", {"tooltip": "The picture."}]},
            "optional": {"how_much": ["INT", {"tooltip": "How much."}]},
        },
        "output_name": ["image"],
        "output_tooltips": ["The picture."],
    },
    "KSampler": {},
}


@pytest.mark.parametrize("language", TABLES)
def test_every_text_is_translated_and_nothing_else_is_in_the_table(language):
    table = load(TABLES[language])
    assert set(table) == set(texts_of(ENGLISH)), "run `visage locales`"
    assert [text for text, translation in table.items() if not translation] == []


@pytest.mark.parametrize("language", TABLES)
def test_the_file_that_comfyui_reads_is_made_from_the_table(language):
    made = translated(ENGLISH, load(TABLES[language]))
    assert load(LOCALES / language / "nodeDefs.json") == made, "run `visage locales`"


def test_korean_is_korean():
    table = load(TABLES["ko"])
    foreign = [
        text
        for text, translation in table.items()
        if " " in text and not any("가" <= letter <= "힣" for letter in translation)
    ]
    assert foreign == []


def test_definitions_have_comfyuis_layout_and_only_our_nodes():
    assert definitions(INFO) == {
        "VisageThing": {
            "display_name": "Thing",
            "description": "Does it.",
            "inputs": {
                "image": {"name": "image", "tooltip": "The picture."},
                "how_much": {"name": "how_much", "tooltip": "How much."},
            },
            "outputs": {"0": {"name": "image", "tooltip": "The picture."}},
        }
    }


def test_a_new_text_is_reported_and_an_old_one_dropped(tmp_path, monkeypatch):
    table = tmp_path / "korean.json"
    table.write_text(json.dumps({"The picture.": "사진.", "Gone": "없음"}))
    monkeypatch.setattr(locales, "LOCALES", tmp_path)
    monkeypatch.setattr(locales, "TABLES", {"ko": table})
    missing = write(definitions(INFO))
    assert missing == {"ko": ["Thing", "Does it.", "image", "how_much", "How much."]}
    assert load(table)["The picture."] == "사진."
    assert load(table)["Thing"] == ""
    assert "Gone" not in load(table)
    korean = load(tmp_path / "ko" / "nodeDefs.json")["VisageThing"]
    assert korean["outputs"]["0"] == {"name": "image", "tooltip": "사진."}

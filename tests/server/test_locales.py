"""ComfyUI serves the nodes' texts, and they are those of the nodes that it has."""

import json

from visage.cli.locales import LOCALES, definitions


def test_the_english_file_says_what_the_nodes_say(server):
    written = json.loads((LOCALES / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    assert written == definitions(server.get("/object_info")), "run `visage locales`"


def test_comfyui_serves_every_language(server):
    served = server.get("/i18n")
    for language in ("en", "ko"):
        path = LOCALES / language / "nodeDefs.json"
        assert served[language]["nodeDefs"] == json.loads(path.read_text(encoding="utf-8"))


def test_the_menu_is_korean(server):
    """The page looks each part of a category up by itself."""
    served = server.get("/i18n")["ko"]["nodeCategories"]
    paths = {
        info["category"]
        for name, info in server.get("/object_info").items()
        if name.startswith("Visage")
    }
    parts = {part for path in paths for part in path.split("/")} - {"Visage"}
    assert parts == set(served)
    assert all("가" <= text[0] <= "힣" for text in served.values())

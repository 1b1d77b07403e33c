"""Captions of a labelled photograph, in the renderer's words."""

from __future__ import annotations

from zlib import crc32

from ...world.captions import write_captions, write_prompts

HAIR_LENGTHS = {"short": "short", "medium": "bob", "long": "long"}
HAIR_FORMS = {"curly": "curly", "wavy": "wavy"}
SKINS = {"light": ("pale", "fair"), "medium": ("tan", "olive"), "dark": ("brown", "dark")}
# Traits that the labels do not have are left out of captions.
UNKNOWN = {
    "hair_style": "",
    "fringe": False,
    "eyes": "none",
    "eyes_closed": False,
    "makeup": False,
    "freckles": False,
    "earrings": False,
    "necklace": False,
    "necktie": False,
    "rosy": False,
    "mouth_open": False,
    "sad": False,
    "clothes": "none",
    "light": "neutral",
    "style": "photo",
}


def traits_of(labels: dict[str, str], file: str) -> dict:
    """Convert a row of `labels.csv` to the renderer's traits.

    The labels have three tones of skin and the renderer six: the file's name chooses one of two.
    Raises ValueError for a row with missing columns or an unknown tone of skin.
    """
    try:
        tones = SKINS[labels["skin"]]
        unseen = labels["hair_colour"] in ("bald", "hidden", "mixed")
        length, form = labels["hair_length"], labels["hair_form"]
        style = "bald" if length == "bald" else HAIR_FORMS.get(form, HAIR_LENGTHS.get(length, ""))
        return UNKNOWN | {
            "sex": {"m": "man", "w": "woman"}.get(labels["gender"], "person"),
            "age": {"middle": "middle-aged"}.get(labels["age"], labels["age"]),
            "hair": "none" if unseen else labels["hair_colour"],
            "hair_style": style,
            "glasses": {"clear": "glasses", "sun": "sunglasses"}.get(labels["glasses"], "none"),
            "facial_hair": {"full": "beard"}.get(labels["beard"], labels["beard"]),
            "smile": labels["smile"] != "none",
            "skin": tones[crc32(file.encode()) // 10 % 2],
            "hat": {"cap": "cap", "hat": "brim"}.get(labels["headwear"], "none"),
            "hat_colour": "dark",
            "lipstick": "red" if labels["lipstick"] == "1" else "none",
        }
    except KeyError as error:
        raise ValueError(
            f"labels.csv has {labels or 'no row'} for {file}; {error} is missing or not known."
        ) from error


def captions_of(labels: dict[str, str], file: str) -> list[str]:
    """Write captions of many lengths, and prompts that name one trait each."""
    traits = traits_of(labels, file)
    return [*write_captions(traits, crc32(file.encode())), *write_prompts(traits).values()]

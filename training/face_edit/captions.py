"""English captions from CelebA's 40 attributes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection

CAPTIONS = 10

_MEDIA = ("a photo of", "a portrait of", "a close-up photo of", "a photograph of the face of", "")
# Attributes that follow "with ...", each with one or more wordings.
_WITH = {
    "5_o_Clock_Shadow": ("stubble", "a five o'clock shadow"),
    "Arched_Eyebrows": ("arched eyebrows",),
    "Bags_Under_Eyes": ("bags under the eyes",),
    "Bangs": ("bangs", "a fringe"),
    "Big_Lips": ("full lips", "big lips"),
    "Big_Nose": ("a big nose",),
    "Black_Hair": ("black hair",),
    "Blond_Hair": ("blond hair",),
    "Brown_Hair": ("brown hair",),
    "Bushy_Eyebrows": ("bushy eyebrows",),
    "Double_Chin": ("a double chin",),
    "Eyeglasses": ("glasses", "eyeglasses"),
    "Goatee": ("a goatee",),
    "Gray_Hair": ("gray hair", "grey hair"),
    "Heavy_Makeup": ("heavy makeup",),
    "High_Cheekbones": ("high cheekbones",),
    "Mouth_Slightly_Open": ("an open mouth", "the mouth slightly open"),
    "Mustache": ("a mustache", "a moustache"),
    "Narrow_Eyes": ("narrow eyes",),
    "Oval_Face": ("an oval face",),
    "Pale_Skin": ("pale skin",),
    "Pointy_Nose": ("a pointy nose",),
    "Receding_Hairline": ("a receding hairline",),
    "Rosy_Cheeks": ("rosy cheeks",),
    "Sideburns": ("sideburns",),
    "Straight_Hair": ("straight hair",),
    "Wavy_Hair": ("wavy hair",),
    "Wearing_Earrings": ("earrings",),
    "Wearing_Hat": ("a hat",),
    "Wearing_Lipstick": ("lipstick",),
    "Wearing_Necklace": ("a necklace",),
    "Wearing_Necktie": ("a necktie", "a tie"),
}
# Attributes that stand before the noun. "Attractive" (a judgement) and "No_Beard" (the usual case)
# are not mentioned.
_BEFORE = {"Smiling": "smiling", "Bald": "bald", "Chubby": "chubby", "Blurry": "blurred"}


def write_captions(attributes: Collection[str], name: str) -> list[str]:
    """Return CAPTIONS captions of a picture with these attributes; each names some of them.

    The same name and attributes give the same captions on every machine.
    """
    words = f"{name} {' '.join(sorted(attributes))}"
    draw = random.Random(hashlib.sha256(words.encode()).digest())  # noqa: S311
    return [_caption(attributes, draw) for _ in range(CAPTIONS)]


def _caption(attributes: Collection[str], draw: random.Random) -> str:
    before = [word for key, word in _BEFORE.items() if key in attributes and draw.random() < 0.7]
    if draw.random() < 0.4:
        before.append("young" if "Young" in attributes else "older")
    noun = "man" if "Male" in attributes else "woman"
    subject = " ".join([*before, noun if draw.random() < 0.85 else "person"])
    article = "an" if subject[0] in "aeiou" else "a"
    found = [draw.choice(_WITH[key]) for key in sorted(attributes) if key in _WITH]
    details = draw.sample(found, min(len(found), draw.randint(1, 4)))
    text = f"{draw.choice(_MEDIA)} {article} {subject}".strip()
    if not details:
        return text
    *most, last = details
    return f"{text} with {', '.join(most)} and {last}" if most else f"{text} with {last}"

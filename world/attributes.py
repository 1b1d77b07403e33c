"""CelebA's 40 attributes and richer traits, read from the parameters and from the labels."""

import numpy as np

from .circumstance import Circumstance
from .identity import Identity
from .labels import ATTRIBUTES, LABEL


class _Seen:
    """Tells which parts are visible in a label map; stray pixels do not count."""

    def __init__(self, labels: np.ndarray) -> None:
        self.counts = np.bincount(labels.ravel(), minlength=len(LABEL))
        self.least = max(2, int(labels.size * 6e-5))

    def __call__(self, *names: str) -> bool:
        return sum(int(self.counts[LABEL[name]]) for name in names) >= self.least


def describe_attributes(person: Identity, now: Circumstance, labels: np.ndarray) -> dict[str, bool]:
    """The 40 attributes; "Attractive" is always False, since it is a judgement and not a fact."""
    seen = _Seen(labels)
    hair = now.hair_style != "bald" and seen("hair")
    colour = now.hair_colour if hair else "none"
    woolly = now.hair_style in ("wavy", "curly", "afro", "messy")
    truth = dict.fromkeys(ATTRIBUTES, False)
    truth.update(
        {
            "5_o_Clock_Shadow": now.facial_hair == "stubble",
            "Arched_Eyebrows": person.brow_arch > 0.055,
            "Bags_Under_Eyes": person.bags > 0.5,
            "Bald": now.hair_style == "bald" and now.hat == "none",
            "Bangs": hair and now.fringe > 0 and now.hat == "none",
            "Big_Lips": person.upper_lip + person.lower_lip > 0.185,
            "Big_Nose": person.nose_width > 0.19,
            "Black_Hair": colour == "black",
            "Blond_Hair": colour == "blond",
            "Blurry": now.blurry,
            "Brown_Hair": colour in ("brown", "dark brown"),
            "Bushy_Eyebrows": person.brow_thick > 0.056,
            "Chubby": person.chubby > 0.62,
            "Double_Chin": person.chubby > 0.85,
            "Eyeglasses": seen("glasses"),
            "Goatee": now.facial_hair == "goatee",
            "Gray_Hair": colour in ("grey", "white"),
            "Heavy_Makeup": now.makeup > 0.65,
            "High_Cheekbones": person.cheekbone + 0.5 * max(now.smile, 0) > 0.85,
            "Male": person.male,
            "Mouth_Slightly_Open": now.mouth_open > 0.05,
            "Mustache": now.facial_hair in ("moustache", "goatee", "beard"),
            "Narrow_Eyes": person.eye_open * (1 - now.eyes_closed) < 0.8,
            "No_Beard": now.facial_hair in ("none", "moustache"),
            "Oval_Face": person.jaw < 0.80 and person.chubby < 0.4,
            "Pale_Skin": person.melanin < 0.12,
            "Pointy_Nose": person.nose_width < 0.152 and person.nose_bridge > 1.0,
            "Receding_Hairline": now.hair_style == "receding" and now.hat == "none",
            "Rosy_Cheeks": now.blush > 0.5,
            "Sideburns": person.male and hair and now.hair_style not in ("buzz", "receding"),
            "Smiling": now.smile > 0.4,
            "Straight_Hair": hair and not woolly,
            "Wavy_Hair": hair and woolly,
            "Wearing_Earrings": seen("earring"),
            "Wearing_Hat": seen("hat"),
            "Wearing_Lipstick": now.lipstick != "none",
            "Wearing_Necklace": seen("necklace"),
            "Wearing_Necktie": now.necktie,
            "Young": person.age < 45,
        }
    )
    return truth


def describe_traits(person: Identity, now: Circumstance, labels: np.ndarray, style: str) -> dict:
    """Named facts beyond the 40 attributes, for captions and classifiers ("none" if absent)."""
    seen = _Seen(labels)
    hair = now.hair_style != "bald" and seen("hair")
    return {
        "style": style,
        "sex": "man" if person.male else "woman",
        "age": person.age_name,
        "years": person.age,
        "skin": person.skin_name,
        "eyes": person.eye_colour if seen("left_eye", "right_eye") else "none",
        "eyes_closed": now.eyes_closed == 1.0,
        "hair": now.hair_colour if hair else "none",
        "hair_style": now.hair_style if now.hat == "none" or hair else "none",
        "fringe": hair and now.fringe > 0 and now.hat == "none",
        "smile": now.smile > 0.4,
        "sad": now.smile < -0.2,
        "mouth_open": now.mouth_open > 0.05,
        "facial_hair": now.facial_hair,
        "glasses": now.glasses if seen("glasses") else "none",
        "hat": now.hat if seen("hat") else "none",
        "hat_colour": now.hat_colour if seen("hat") else "none",
        "lipstick": now.lipstick,
        "makeup": now.makeup > 0.65,
        "freckles": person.freckles > 0,
        "earrings": seen("earring"),
        "necklace": seen("necklace"),
        "necktie": now.necktie,
        "clothes": now.clothes if seen("clothes") else "none",
        "clothes_colour": now.clothes_colour if seen("clothes") else "none",
        "light": now.light_name,
        "background": now.background,
        "rosy": now.blush > 0.5,
    }

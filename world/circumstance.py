"""What changes between pictures of a person: pose, expression, light, hair, clothes, background."""

from dataclasses import dataclass

import numpy as np

from .identity import Identity

HAIR_COLOURS = {
    "black": (30, 26, 26),
    "dark brown": (62, 42, 32),
    "brown": (104, 70, 46),
    "blond": (206, 168, 108),
    "red": (160, 76, 40),
    "grey": (146, 144, 142),
    "white": (206, 204, 198),
    "pink": (222, 116, 160),
    "blue": (64, 104, 190),
    "green": (74, 150, 92),
    "purple": (120, 72, 160),
}
WEAR_COLOURS = {
    "white": (226, 226, 222),
    "black": (36, 36, 40),
    "grey": (126, 128, 132),
    "red": (178, 38, 42),
    "blue": (46, 84, 160),
    "navy": (34, 44, 82),
    "green": (52, 116, 70),
    "yellow": (222, 186, 62),
    "orange": (220, 112, 40),
    "pink": (222, 140, 164),
    "purple": (108, 66, 140),
    "brown": (112, 76, 52),
    "beige": (206, 184, 150),
    "turquoise": (58, 150, 156),
}
LIGHTS = {
    "neutral": (1.0, 1.0, 1.0),
    "warm": (1.10, 0.98, 0.85),
    "cool": (0.88, 0.98, 1.14),
    "red": (1.35, 0.62, 0.55),
    "blue": (0.60, 0.82, 1.40),
    "green": (0.72, 1.18, 0.74),
    "purple": (1.08, 0.66, 1.25),
}
HAIR_COLOUR_ODDS = {
    "black": 1,
    "dark brown": 1,
    "brown": 1.2,
    "blond": 1.4,
    "red": 0.9,
    "grey": 0.6,
    "white": 0.3,
    "pink": 0.22,
    "blue": 0.22,
    "green": 0.16,
    "purple": 0.2,
}
EARRING_ODDS = {"none": 0.5, "stud": 0.2, "hoop": 0.16, "drop": 0.14}
NECKLACE_ODDS = {"none": 0.66, "chain": 0.14, "pearls": 0.1, "pendant": 0.1}
FRAME_COLOURS = ((24, 22, 24), (70, 44, 28), (150, 124, 70), (120, 30, 36), (44, 60, 96))
LIPSTICKS = {
    "red": (176, 30, 44),
    "pink": (208, 92, 116),
    "plum": (120, 36, 66),
    "coral": (214, 96, 80),
}


@dataclass(frozen=True)
class Circumstance:
    """Angles in radians; positions and sizes as fractions of the picture; amounts 0..1."""

    seed: int
    centre: tuple[float, float]
    face_height: float
    roll: float
    yaw: float
    pitch: float
    gaze: tuple[float, float]
    smile: float
    mouth_open: float
    teeth: bool
    eyes_closed: float
    brow_raise: float
    light_angle: float
    light_height: float
    light_hardness: float
    light_name: str
    exposure: float
    fill: float
    rim: float
    hair_style: str
    hair_colour: str
    hair_volume: float
    hair_length: float
    hair_part: float
    hair_wave: float
    fringe: float
    ears_covered: bool
    facial_hair: str
    facial_hair_amount: float
    lipstick: str
    makeup: float
    blush: float
    glasses: str
    glasses_shape: str
    glasses_colour: tuple[int, int, int]
    earrings: str
    earring_gold: bool
    necklace: str
    hat: str
    hat_colour: str
    clothes: str
    clothes_colour: str
    clothes_second: str
    clothes_pattern: str
    necktie: bool
    background: str
    background_blur: float
    blurry: bool


def _pick(rng: np.random.Generator, options: dict[str, float]) -> str:
    odds = np.array(list(options.values()))
    return str(rng.choice(list(options), p=odds / odds.sum()))


def _pose(rng: np.random.Generator) -> dict:
    wide = rng.random() < 0.12
    size = (
        rng.uniform(0.35, 0.75)
        if rng.random() < 0.35
        else np.clip(rng.normal(0.55, 0.05), 0.4, 0.7)
    )
    roll = rng.normal(0, np.radians(13 if wide else 5.5))
    limit = np.radians(36 if wide else 15)
    slack = 0.5 * (1.0 - size) + 0.08
    return {
        "centre": (
            float(0.5 + np.clip(rng.normal(0, 0.045), -0.16, 0.16) * (0.6 + slack)),
            float(0.53 + np.clip(rng.normal(0, 0.035), -0.12, 0.12)),
        ),
        "face_height": float(size),
        "roll": float(np.clip(roll, -limit, limit)),
        "yaw": float(np.clip(rng.normal(0, np.radians(11)), -0.46, 0.46)),
        "pitch": float(np.clip(rng.normal(0, np.radians(5)), -0.21, 0.21)),
        "gaze": (
            float(np.clip(rng.normal(0, 0.1), -0.3, 0.3)),
            float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)),
        ),
    }


def _expression(rng: np.random.Generator) -> dict:
    mood = _pick(rng, {"neutral": 0.36, "smile": 0.26, "laugh": 0.2, "open": 0.1, "sad": 0.08})
    smile, mouth_open, teeth = 0.0, 0.0, False
    if mood == "neutral":
        smile = rng.uniform(-0.1, 0.18)
    elif mood == "smile":
        smile = rng.uniform(0.5, 1.0)
    elif mood == "laugh":
        smile, mouth_open, teeth = rng.uniform(0.7, 1.15), rng.uniform(0.35, 1.0), True
    elif mood == "open":
        smile, mouth_open, teeth = (
            rng.uniform(-0.1, 0.2),
            rng.uniform(0.3, 1.1),
            bool(rng.random() < 0.4),
        )
    else:
        smile = rng.uniform(-0.55, -0.25)
    return {
        "smile": float(smile),
        "mouth_open": float(mouth_open),
        "teeth": teeth,
        "eyes_closed": 1.0
        if rng.random() < 0.06
        else float(np.clip(rng.normal(0.02, 0.08), 0, 0.35)),
        "brow_raise": float(np.clip(rng.normal(0, 0.4), -1, 1)),
    }


def _light(rng: np.random.Generator) -> dict:
    return {
        "light_angle": float(np.clip(rng.normal(0, 0.75), -1.5, 1.5)),
        "light_height": float(np.clip(rng.normal(0.55, 0.28), -0.35, 1.1)),
        "light_hardness": float(rng.beta(1.6, 2.2)),
        "light_name": _pick(
            rng,
            {
                "neutral": 0.5,
                "warm": 0.2,
                "cool": 0.14,
                "red": 0.04,
                "blue": 0.05,
                "green": 0.03,
                "purple": 0.04,
            },
        ),
        "exposure": float(np.exp(rng.normal(0, 0.14))),
        "fill": float(rng.uniform(0.3, 0.75)),
        "rim": float(rng.uniform(0, 1)) if rng.random() < 0.45 else 0.0,
    }


def _hair(rng: np.random.Generator, person: Identity) -> dict:
    dark = person.melanin > 0.6
    if person.male:
        bald = 0.04 + 0.16 * person.receding
        styles = {
            "short": 0.26, "swept": 0.17, "messy": 0.13, "buzz": 0.1,
            "receding": 0.22 * person.receding, "bald": bald, "curly": 0.06,
            "afro": 0.02 + 0.07 * dark, "wavy": 0.04, "long": 0.04, "bun": 0.02,
        }  # fmt: skip
    else:
        styles = {
            "bob": 0.18, "long": 0.24, "wavy": 0.2, "curly": 0.1, "ponytail": 0.1, "bun": 0.08,
            "short": 0.08, "swept": 0.08, "messy": 0.03, "afro": 0.02 + 0.08 * dark,
            "buzz": 0.01, "bald": 0.012,
        }  # fmt: skip
    style = _pick(rng, styles)
    colour = person.natural_hair if rng.random() < 0.55 else _pick(rng, HAIR_COLOUR_ODDS)
    long_styles = ("bob", "long", "wavy", "curly")
    with_fringe = (*long_styles, "ponytail", "bun", "short", "messy", "swept")
    fringe_odds = 0.3 if style in with_fringe else 0
    return {
        "hair_style": style,
        "hair_colour": colour,
        "hair_volume": float(rng.uniform(0, 1)),
        "hair_length": float(rng.uniform(0, 1)),
        "hair_part": float(rng.uniform(-0.45, 0.45)),
        "hair_wave": float(rng.uniform(0.6, 1.2)),
        "fringe": float(rng.uniform(0.5, 1.0)) if rng.random() < fringe_odds else 0.0,
        "ears_covered": bool(rng.random() < 0.7) if style in long_styles else False,
    }


def _worn(rng: np.random.Generator, person: Identity) -> dict:
    woman = not person.male
    facial = "none"
    if person.male:
        facial = _pick(
            rng, {"none": 0.48, "stubble": 0.17, "moustache": 0.08, "goatee": 0.09, "beard": 0.18}
        )
    made_up = woman and rng.random() < 0.55
    hat = _pick(rng, {"none": 0.82, "beanie": 0.07, "cap": 0.06, "brim": 0.05})
    clothes = _pick(
        rng, {"crew": 0.32, "v-neck": 0.17, "collar": 0.24, "turtleneck": 0.1, "scoop": 0.17}
    )
    if clothes == "scoop" and person.male:
        clothes = "crew"
    return {
        "facial_hair": facial,
        "facial_hair_amount": float(rng.uniform(0.35, 1.0)),
        "lipstick": str(rng.choice(list(LIPSTICKS))) if made_up and rng.random() < 0.8 else "none",
        "makeup": float(rng.uniform(0.3, 1.0)) if made_up else 0.0,
        "blush": float(
            rng.uniform(0.3, 1.0) if made_up and rng.random() < 0.6 else 0.3 * rng.random()
        ),
        "glasses": _pick(rng, {"none": 0.74, "glasses": 0.2, "sunglasses": 0.06}),
        "glasses_shape": _pick(rng, {"round": 0.3, "rectangle": 0.4, "wayfarer": 0.3}),
        "glasses_colour": tuple(int(c) for c in rng.permutation(FRAME_COLOURS)[0]),
        "earrings": _pick(rng, EARRING_ODDS if woman else {"none": 0.94, "stud": 0.06}),
        "earring_gold": bool(rng.random() < 0.5),
        "necklace": _pick(rng, NECKLACE_ODDS if woman else {"none": 0.93, "chain": 0.07}),
        "hat": hat,
        "hat_colour": str(rng.choice(list(WEAR_COLOURS))),
        "clothes": clothes,
        "clothes_colour": str(rng.choice(list(WEAR_COLOURS))),
        "clothes_second": str(rng.choice(list(WEAR_COLOURS))),
        "clothes_pattern": _pick(rng, {"plain": 0.72, "stripes": 0.14, "knit": 0.14}),
        "necktie": clothes == "collar" and person.male and bool(rng.random() < 0.4),
    }


def sample_circumstance(seed: int, identity: Identity) -> Circumstance:
    """Draw a situation for a person; the same seed and identity give the same situation."""
    rng = np.random.default_rng([0xC1C, seed])
    return Circumstance(
        seed=seed,
        **_pose(rng),
        **_expression(rng),
        **_light(rng),
        **_hair(rng, identity),
        **_worn(rng, identity),
        background=_pick(rng, {"gradient": 0.3, "cloud": 0.22, "photo": 0.38, "plain": 0.1}),
        background_blur=float(rng.uniform(0, 1)),
        blurry=bool(rng.random() < 0.04),
    )

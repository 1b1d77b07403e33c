"""Who a person is: everything that stays when light, hair or expression change."""

from dataclasses import dataclass

import numpy as np

# Display colours of skin from least to most melanin.
SKIN_TONES = np.array(
    [
        (248, 220, 205),
        (240, 202, 178),
        (225, 180, 150),
        (194, 146, 114),
        (142, 100, 76),
        (92, 63, 51),
    ],
    np.float32,
)
SKIN_NAMES = ("pale", "fair", "tan", "olive", "brown", "dark")
EYE_COLOURS = {
    "brown": (104, 66, 38),
    "dark brown": (62, 40, 28),
    "hazel": (126, 104, 56),
    "green": (92, 124, 84),
    "blue": (84, 130, 170),
    "grey": (126, 138, 146),
}


@dataclass(frozen=True)
class Identity:
    """Lengths are in head units: hairline to chin is 2, the eyes sit near v = -0.2."""

    seed: int
    male: bool
    age: int
    melanin: float
    undertone: float
    redness: float
    face_width: float
    forehead: float
    cheek: float
    jaw: float
    chin_width: float
    chin_length: float
    chubby: float
    eye_spacing: float
    eye_width: float
    eye_open: float
    eye_tilt: float
    eye_height: float
    eye_colour: str
    lid_crease: float
    brow_height: float
    brow_arch: float
    brow_thick: float
    brow_tilt: float
    brow_length: float
    nose_width: float
    nose_length: float
    nose_bridge: float
    nose_tip: float
    mouth_width: float
    mouth_height: float
    upper_lip: float
    lower_lip: float
    lip_bow: float
    ear_size: float
    ear_out: float
    hairline: float
    receding: float
    cheekbone: float
    bags: float
    wrinkles: float
    freckles: float
    moles: tuple[tuple[float, float, float], ...]
    natural_hair: str
    texture: float

    @property
    def skin_name(self) -> str:
        return SKIN_NAMES[min(5, int(self.melanin * 6))]

    @property
    def age_name(self) -> str:
        return "young" if self.age < 35 else "middle-aged" if self.age < 55 else "old"

    def skin_colour(self) -> np.ndarray:
        """Display colour [3] of the bare skin."""
        at = self.melanin * (len(SKIN_TONES) - 1)
        low = min(int(at), len(SKIN_TONES) - 2)
        base = SKIN_TONES[low] + (SKIN_TONES[low + 1] - SKIN_TONES[low]) * (at - low)
        warm = np.array([0.0, 3.0, -6.0], np.float32) * self.undertone
        return base + warm + np.array([2.0, -7.0, -5.0], np.float32) * self.redness


def _around(rng: np.random.Generator, mean: float, spread: float, limit: float = 2.2) -> float:
    return float(mean + spread * np.clip(rng.standard_normal(), -limit, limit))


def _natural_hair(rng: np.random.Generator, melanin: float, age: int) -> str:
    if rng.random() < np.clip((age - 45) / 30, 0, 0.9):
        return "grey" if rng.random() < 0.65 else "white"
    if melanin > 0.62:
        return str(rng.choice(["black", "black", "black", "dark brown"]))
    names = ["black", "dark brown", "brown", "blond", "red"]
    light = 1.0 - melanin / 0.62
    odds = np.array([0.3 - 0.12 * light, 0.26, 0.2, 0.04 + 0.26 * light, 0.02 + 0.1 * light])
    return str(rng.choice(names, p=odds / odds.sum()))


def sample_person(seed: int) -> Identity:
    """Draw a person; the same seed gives the same person."""
    rng = np.random.default_rng([0x1DE, seed])
    male = bool(rng.random() < 0.5)
    age = int(np.clip(18 + 62 * rng.beta(1.3, 2.1), 18, 80))
    melanin = float(np.clip(rng.beta(1.1, 1.5), 0.0, 0.98))
    sign = 1.0 if male else -1.0
    old = float(np.clip((age - 35) / 40, 0, 1))
    dark = melanin > 0.55
    eye_names = list(EYE_COLOURS)
    eye_odds = [0.3, 0.6, 0.05, 0.02, 0.02, 0.01] if dark else [0.25, 0.12, 0.15, 0.16, 0.22, 0.1]
    moles = tuple(
        (
            float(rng.uniform(-0.55, 0.55)),
            float(rng.uniform(-0.7, 0.85)),
            float(rng.uniform(0.01, 0.02)),
        )
        for _ in range(int(rng.choice([0, 0, 1, 1, 2, 3])))
    )
    return Identity(
        seed=seed,
        male=male,
        age=age,
        melanin=melanin,
        undertone=_around(rng, 0.1, 0.7),
        redness=float(rng.random()),
        face_width=_around(rng, 0.735 + 0.012 * sign, 0.035),
        forehead=_around(rng, 1.0, 0.035),
        cheek=_around(rng, 1.0, 0.03),
        jaw=_around(rng, 0.80 + 0.045 * sign, 0.045),
        chin_width=_around(rng, 0.285 + 0.05 * sign, 0.045),
        chin_length=_around(rng, 1.0 + 0.015 * sign, 0.04),
        chubby=float(np.clip(_around(rng, 0.25, 0.3), 0, 1)),
        eye_spacing=_around(rng, 0.332, 0.016),
        eye_width=_around(rng, 0.163 - 0.003 * sign, 0.009),
        eye_open=_around(rng, 0.92 - 0.06 * sign - 0.12 * old, 0.13),
        eye_tilt=_around(rng, 0.045 - 0.02 * sign - 0.05 * old, 0.055),
        eye_height=_around(rng, -0.205, 0.02),
        eye_colour=str(rng.choice(eye_names, p=eye_odds)),
        lid_crease=float(np.clip(_around(rng, 0.7, 0.35), 0, 1.2)),
        brow_height=_around(rng, 0.205 - 0.02 * sign, 0.02),
        brow_arch=float(np.clip(_around(rng, 0.045 - 0.02 * sign, 0.022), 0, 0.1)),
        brow_thick=float(np.clip(_around(rng, 0.042 + 0.011 * sign, 0.011), 0.02, 0.075)),
        brow_tilt=_around(rng, 0.0, 0.05),
        brow_length=_around(rng, 1.0, 0.07),
        nose_width=float(_around(rng, 0.158 + 0.012 * sign, 0.014) + 0.045 * melanin),
        nose_length=_around(rng, 0.318, 0.028),
        nose_bridge=_around(rng, 1.05 + 0.12 * sign - 0.3 * melanin, 0.14),
        nose_tip=_around(rng, 1.0, 0.18),
        mouth_width=_around(rng, 0.268 + 0.01 * sign, 0.022),
        mouth_height=_around(rng, 0.565, 0.024),
        upper_lip=float(
            np.clip(
                _around(rng, 0.062 - 0.008 * sign - 0.018 * old, 0.011) + 0.03 * melanin, 0.03, 0.11
            )
        ),
        lower_lip=float(
            np.clip(
                _around(rng, 0.092 - 0.008 * sign - 0.02 * old, 0.014) + 0.03 * melanin, 0.05, 0.15
            )
        ),
        lip_bow=float(np.clip(_around(rng, 0.5, 0.25), 0, 1)),
        ear_size=_around(rng, 1.0 + 0.06 * sign + 0.08 * old, 0.08),
        ear_out=float(np.clip(_around(rng, 0.5, 0.3), 0, 1.2)),
        hairline=_around(rng, -0.9 - 0.04 * old * max(sign, 0), 0.05),
        receding=float(np.clip(rng.random() * (0.35 + 0.9 * old), 0, 1)) if male else 0.05 * old,
        cheekbone=float(np.clip(_around(rng, 0.5, 0.3), 0, 1.2)),
        bags=float(np.clip(0.7 * rng.random() * (0.35 + old) + 0.1 * old, 0, 1)),
        wrinkles=float(np.clip((age - 38) / 36, 0, 1) * rng.uniform(0.6, 1.0)),
        freckles=float(rng.uniform(0.5, 1.0)) if melanin < 0.4 and rng.random() < 0.22 else 0.0,
        moles=moles,
        natural_hair=_natural_hair(rng, melanin, age),
        texture=float(rng.uniform(0.5, 1.3)),
    )

"""Colour of the face before light: melanin, blood, freckles, moles, make-up, brows, beard."""

import numpy as np

from .canvas import linear, rgb
from .circumstance import HAIR_COLOURS, Circumstance
from .fields import bump, cloud, grain, sample, smooth, strands
from .frame import Frame
from .identity import Identity
from .mouth import Mouth, lip_colour


def brow_cover(person: Identity, now: Circumstance, frame: Frame, side: float):
    """(slice, solid coverage, hair coverage) of one eyebrow; side is -1 or 1 in u."""
    s, e = person.eye_spacing, person.eye_height
    where = frame.region(side * s, e - person.brow_height, 0.36)
    u, v = frame.u[where] * side, frame.v[where]
    along = (u - (s - 0.165)) * (1.0 / (0.37 * person.brow_length))
    a = np.clip(along, 0, 1)
    rise = 0.02 * now.brow_raise
    arch = person.brow_arch * (1.0 - ((a - 0.62) * 1.6) ** 2)
    middle = e - person.brow_height - rise - arch - person.brow_tilt * (a - 0.3) * 0.5
    middle += 0.03 * min(now.smile, 0.0) * (a - 0.5) * -2.0
    thick = person.brow_thick * (0.62 + 0.5 * smooth(a, 0.0, 0.25) - 0.85 * smooth(a, 0.45, 1.0))
    inside = np.minimum(thick - np.abs(v - middle), np.minimum(along, 1.0 - along) * 0.34)
    solid = frame.coverage(inside, 1.0)
    slant = (v - middle) * 0.9
    hair = sample(
        strands(21, 3.0, 24.0), (u + v * 0.5) * 160, (v * 0.8 - u * 0.55 - slant * 0.2) * 330 + 40
    )
    soft = smooth(inside, -0.012, 0.024)
    return where, solid, np.clip(soft * (0.90 + 0.14 * hair), 0, 1)


def beard_cover(person: Identity, now: Circumstance, frame: Frame) -> np.ndarray | None:
    """Density 0..1 of facial hair over the head planes."""
    if now.facial_hair == "none":
        return None
    u, v = frame.u, frame.v
    au = np.abs(u)
    m, smile = person.mouth_height, max(now.smile, 0)
    width = person.mouth_width * (1 + 0.22 * smile)
    moustache_line = m - person.upper_lip * 0.8 - 0.035 + 0.16 * (au / width) ** 2
    moustache = smooth(0.066 - np.abs(v - moustache_line), -0.012, 0.03) * smooth(
        au, width * 1.25, width * 1.0
    )
    chin = smooth(au, 0.30, 0.20) * smooth(v, m + 0.13, m + 0.2)
    link = bump(au, v, width * 1.12, m + 0.1, 0.06, 0.16)
    if now.facial_hair == "moustache":
        return np.clip(moustache * 1.1, 0, 1)
    if now.facial_hair == "goatee":
        return np.clip(moustache + chin + link, 0, 1)
    cheek_line = 0.60 - 0.78 * smooth(au, 0.30, 0.70) * (0.85 + 0.15 * now.facial_hair_amount)
    cheek = smooth(v, cheek_line - 0.05, cheek_line + 0.07) * smooth(au, 0.16, 0.34)
    full = np.clip(moustache + chin + link + cheek, 0, 1)
    lips = bump(u, v, 0, m + 0.045, width * 0.95, 0.115)
    return full * (1.0 - np.clip(lips * 1.25 - 0.35, 0, 1) * smooth(v, m - 0.02, m + 0.02))


def hair_tone(name: str, person: Identity) -> np.ndarray:
    """Linear colour [3, 1, 1] of brows and beard for `name` hair; dyed hair leaves them natural."""
    if name in ("pink", "blue", "green", "purple"):
        name = person.natural_hair
    tone = linear(HAIR_COLOURS[name])
    if name in ("grey", "white"):
        return linear(HAIR_COLOURS["grey"]) * 0.55
    return tone * 0.5 if name in ("blond", "red") else tone * 0.8


def albedo(
    person: Identity, now: Circumstance, frame: Frame, mouth: Mouth, brows: list[tuple]
) -> np.ndarray:
    """Linear skin colour [3, h, w] of the head slice, lips and hair of the face included."""
    u, v = frame.u, frame.v
    au = np.abs(u)
    base = linear(person.skin_colour())
    e = person.eye_height
    light = 1.0 - person.melanin
    blood = 0.30 * bump(au, v, 0.42, 0.22, 0.24, 0.22) + 0.34 * bump(u, v, 0, 0.24, 0.14, 0.13)
    blood += 0.16 * bump(u, v, 0, 0.9, 0.2, 0.14) + 0.10
    blood *= 0.5 + 0.6 * person.redness
    patch = sample(cloud(31, 1.3), u * 90 + person.seed % 211, v * 90)
    blood += 0.045 * patch * person.texture
    blush = 0.6 * now.blush * bump(au, v, 0.44, 0.2, 0.2, 0.15)
    blood = (blood + blush) * (0.35 + 0.65 * light)
    mottled = 1.0 + 0.014 * person.texture * sample(
        grain(12, 9.0), u * 180, v * 180 + person.seed % 89
    )
    under = (0.10 + 0.30 * person.bags) * bump(
        au, v, person.eye_spacing - 0.02, e + 0.115, 0.14, 0.045
    )
    sockets = 0.14 * bump(au, v, person.eye_spacing - 0.03, e - 0.03, 0.18, 0.10)
    if person.male and now.facial_hair in ("none", "stubble"):
        under = under + 0.07 * light * smooth(v, 0.42, 0.75) * smooth(au, 0.66, 0.45)
    tone = mottled * (1.0 - under - sockets)
    skin = np.empty((3, *u.shape), np.float32)
    skin[0] = base[0] * tone * (1.0 - 0.05 * blood)
    skin[1] = base[1] * tone * (1.0 - 0.62 * blood)
    skin[2] = base[2] * tone * (1.0 - 0.56 * blood)
    if person.freckles:
        dots = sample(grain(41, 3.2), u * 230 + person.seed % 53, v * 230)
        spread = np.clip(bump(u, v, 0, 0.12, 0.62, 0.3) + 0.3, 0, 1)
        amount = smooth(dots, 1.1, 1.9) * (0.55 * person.freckles) * spread
        skin += amount * (base * rgb(0.55, 0.36, 0.28) - skin)
    for mu, mv, size in person.moles:
        spot = bump(u, v, mu, mv, size, size)
        skin += (0.75 * spot) * (base * rgb(0.22, 0.14, 0.11) - skin)
    if now.makeup:
        shadow_colour = base * rgb(0.5, 0.32, 0.36)
        lid = 0.6 * now.makeup * bump(au, v, person.eye_spacing, e - 0.085, 0.17, 0.055)
        skin += lid * (shadow_colour - skin)
    _lips(person, now, frame, mouth, skin, base)
    beard = beard_cover(person, now, frame)
    if beard is not None:
        _beard(person, now, frame, mouth, beard, skin)
    tone = hair_tone(now.hair_colour if person.age > 60 else person.natural_hair, person)
    for where, _, hair in brows:
        part = skin[:, where[0], where[1]]
        part += (0.9 * hair) * (tone - part)
    return skin


def _lips(person, now, frame, mouth: Mouth, skin, base) -> None:
    u, v = frame.u[mouth.where], frame.v[mouth.where]
    part = skin[:, mouth.where[0], mouth.where[1]]
    colour = lip_colour(person, now, base)
    creases = 1.0 + 0.07 * sample(strands(51, 3.0, 30.0), v * 120, u * 260)
    cover = np.clip(mouth.upper + mouth.lower, 0, 1)
    strength = 0.92 if now.lipstick != "none" else 0.8 if person.male else 0.9
    shade = np.where(mouth.upper > mouth.lower, 0.86, 1.0).astype(np.float32) * creases
    part += (strength * cover) * (colour * shade - part)
    part *= 1.0 - 0.8 * mouth.seam * rgb(0.85, 1.0, 1.0)


def _beard(person, now, frame, mouth: Mouth, density, skin) -> None:
    u, v = frame.u, frame.v
    cover = np.clip(mouth.upper + mouth.lower, 0, 1)
    density[mouth.where] *= 1.0 - 0.92 * cover
    colour = now.hair_colour if now.hair_style != "bald" else person.natural_hair
    tone = hair_tone(colour, person)
    hair = sample(strands(61, 2.6, 40.0), v * 190 + u * 40, u * 280 + 0.6 * np.sin(v * 9) * 20)
    if now.facial_hair == "stubble":
        dots = sample(grain(62, 3.0), u * 300, v * 300)
        amount = density * np.clip(0.34 + 0.2 * dots, 0, 1) * (0.5 + 0.5 * now.facial_hair_amount)
        skin += amount * (tone - skin)
        return
    amount = np.clip(density * (1.15 + 0.35 * hair), 0, 1) * (0.75 + 0.22 * now.facial_hair_amount)
    strand = tone * (1.0 + 0.38 * hair)
    skin += amount * (np.maximum(strand, 0.0) - skin)


def beard_height(person: Identity, now: Circumstance, frame: Frame) -> np.ndarray | float:
    """Height that a grown beard adds (a stubble adds none)."""
    if now.facial_hair in ("none", "stubble"):
        return 0.0
    u, v = frame.u, frame.v
    hair = sample(strands(61, 2.6, 40.0), v * 190 + u * 40, u * 280 + 0.6 * np.sin(v * 9) * 20)
    cover = beard_cover(person, now, frame)
    return cover * (0.03 + 0.006 * hair) * now.facial_hair_amount

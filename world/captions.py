"""English captions of 5 to 20 words, each naming a random subset of what the picture shows."""

import numpy as np

CAPTIONS = 10
MEDIUM = {
    "photo": [
        "a photo of",
        "a portrait of",
        "portrait of",
        "a close-up photo of",
        "a photograph of",
        "",
    ],
    "watercolour": ["a watercolour of", "a watercolour painting of", "watercolour portrait of"],
    "oil": ["an oil painting of", "an oil portrait of", "oil painting portrait of"],
    "pencil": ["a pencil drawing of", "a pencil sketch of", "pencil portrait of"],
    "ink": ["an ink drawing of", "a pen and ink portrait of", "ink drawing portrait of"],
    "mosaic": ["a mosaic of", "a pixel mosaic of", "mosaic portrait of"],
    "poster": ["a poster of", "a flat colour poster of", "poster portrait of"],
    "pastel": ["a pastel drawing of", "a pastel portrait of", "soft pastel painting of"],
}
HAIR_SHAPES = {
    "buzz": ["very short", "buzz cut"],
    "short": ["short"],
    "swept": ["swept", "short swept"],
    "messy": ["messy", "short messy"],
    "receding": ["thinning", "receding"],
    "bob": ["bob cut", "chin-length"],
    "long": ["long", "long straight"],
    "wavy": ["wavy", "long wavy"],
    "curly": ["curly"],
    "afro": ["afro", "big curly"],
    "ponytail": ["tied back", "pulled back"],
    "bun": ["tied up", "pinned up"],
}
HATS = {"beanie": "beanie", "cap": "cap", "brim": "hat with a brim"}
CLOTHES = {
    "crew": "shirt",
    "scoop": "top",
    "v-neck": "v-neck shirt",
    "collar": "collared shirt",
    "turtleneck": "turtleneck",
}


def write_captions(traits: dict, seed: int) -> list[str]:
    """Write CAPTIONS captions of one picture; they depend on the seed alone."""
    rng = np.random.default_rng([0xCA9, seed])
    return [_caption(traits, rng) for _ in range(CAPTIONS)]


def _one(rng: np.random.Generator, options) -> str:
    return str(options[int(rng.integers(len(options)))])


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _details(traits: dict, rng: np.random.Generator) -> list[str]:
    """The details that a caption may name, each in words that follow "with"."""
    found = []
    if traits["hair"] != "none":
        colour = "gray" if traits["hair"] == "grey" and rng.random() < 0.3 else traits["hair"]
        shape = HAIR_SHAPES.get(traits["hair_style"])
        roll = rng.random()
        if roll < 0.5 or shape is None:
            found.append(f"{colour} hair")
        elif roll < 0.85:
            found.append(f"{_one(rng, shape)} {colour} hair")
        else:
            found.append(f"{_one(rng, shape)} hair")
        if traits["fringe"]:
            found.append(_one(rng, ["bangs", "a fringe"]))
    if traits["glasses"] == "glasses":
        found.append(_one(rng, ["glasses", "eyeglasses"]))
    elif traits["glasses"] == "sunglasses":
        found.append(_one(rng, ["sunglasses", "dark sunglasses"]))
    tone = {"grey": "grey ", "white": "white "}.get(traits["hair"], "")
    found += {
        "stubble": ["stubble"],
        "moustache": [f"a {tone}moustache" if rng.random() < 0.7 else "a mustache"],
        "goatee": ["a goatee"],
        "beard": [f"a {tone}beard"],
    }.get(traits["facial_hair"], [])
    if traits["hat"] != "none":
        found.append(
            _with_article(f"{traits['hat_colour']} {_one(rng, [HATS[traits['hat']], 'hat'])}")
        )
    if traits["eyes_closed"]:
        found.append("closed eyes")
    elif traits["eyes"] != "none" and traits["glasses"] != "sunglasses":
        found.append(f"{traits['eyes']} eyes")
    if traits["lipstick"] != "none":
        found.append(f"{traits['lipstick']} lipstick" if rng.random() < 0.7 else "lipstick")
    for key, words in (
        ("makeup", ["heavy makeup"]),
        ("freckles", ["freckles"]),
        ("earrings", ["earrings"]),
        ("necklace", ["a necklace"]),
        ("necktie", ["a necktie", "a tie"]),
        ("rosy", ["rosy cheeks"]),
        ("mouth_open", ["an open mouth", "mouth open"]),
        ("smile", ["a smile", "a big smile"]),
    ):
        if traits[key] and rng.random() < 0.8:
            found.append(_one(rng, words))
    if traits["clothes"] != "none" and rng.random() < 0.6:
        found.append(_with_article(f"{traits['clothes_colour']} {CLOTHES[traits['clothes']]}"))
    return found


def _subject(traits: dict, rng: np.random.Generator) -> str:
    words = []
    if traits["smile"] and rng.random() < 0.6:
        words.append(_one(rng, ["smiling", "happy", "smiling"]))
    elif traits["sad"] and rng.random() < 0.6:
        words.append(_one(rng, ["sad", "frowning"]))
    if rng.random() < 0.4:
        words.append("elderly" if traits["age"] == "old" and rng.random() < 0.3 else traits["age"])
    if traits["hair_style"] == "bald" and traits["hat"] == "none" and rng.random() < 0.85:
        words.append("bald")
    noun = traits["sex"] if rng.random() < 0.85 else "person"
    skin = f" with {traits['skin']} skin" if rng.random() < 0.16 else ""
    text = " ".join([*words, noun])
    return _with_article(text) + skin


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _caption(traits: dict, rng: np.random.Generator) -> str:
    details = _details(traits, rng)
    count = min(len(details), int(rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 4])))
    picked = [details[i] for i in rng.permutation(len(details))[:count]]
    subject = _subject(traits, rng)
    text = f"{_one(rng, MEDIUM[traits['style']])} {subject}".strip()
    if picked:
        text += (" and " if " with " in subject else " with ") + _join(picked)
    if traits["light"] != "neutral" and rng.random() < 0.4:
        text += f", {traits['light']} light"
    return text


def write_prompts(traits: dict) -> dict[str, str]:
    """Prompts that ask for the traits of a picture, one for each trait."""
    looks = {"skin": f"{traits['skin']} skin"}
    if traits["hair"] != "none":
        looks["hair"] = f"{traits['hair']} hair"
    if traits["smile"]:
        looks["smile"] = "a smile"
    if traits["glasses"] != "none":
        looks["glasses"] = traits["glasses"]
    if traits["facial_hair"] != "none":
        article = "" if traits["facial_hair"] == "stubble" else "a "
        looks["facial_hair"] = article + traits["facial_hair"]
    if traits["lipstick"] != "none":
        looks["lipstick"] = f"{traits['lipstick']} lipstick"
    medium = MEDIUM[traits["style"]][0]
    return {trait: f"{medium} a {traits['sex']} with {look}" for trait, look in looks.items()}


def write_scene_captions(people: list[tuple[bool, bool]], style: str, seed: int) -> list[str]:
    """Captions of a scene; people: (is a man, smiles) of each person."""
    rng = np.random.default_rng([0xCA9, 1, seed])
    men = sum(male for male, _ in people)
    groups = [_count(men, "man", "men"), _count(len(people) - men, "woman", "women")]
    who = [_join([g for g in groups if g]), _count(len(people), "person", "people")]
    captions = []
    for _ in range(CAPTIONS):
        text = f"{_one(rng, MEDIUM[style])} {_one(rng, who)}".strip()
        if all(smiles for _, smiles in people) and rng.random() < 0.6:
            text += " smiling"
        captions.append(text)
    return captions


def _count(number: int, one: str, many: str) -> str:
    words = ("", f"a {one}", f"two {many}", f"three {many}", f"four {many}", f"five {many}")
    return words[number]

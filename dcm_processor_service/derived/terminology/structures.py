"""Finds structures by everyday names, and the names of models' labels (``SOURCES.md`` names the tables' sources)."""

from __future__ import annotations

import csv
import difflib
import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources

from dcm_processor_service.derived.terminology.spelling import american
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import Code

__all__ = ["SIDES", "Structure", "find_structure", "label_names", "split_side"]

SIDES = {
    "left": Code("7771000", "SCT", "Left"),
    "right": Code("24028007", "SCT", "Right"),
    "bilateral": Code("51440002", "SCT", "Right and left"),
}
_CATEGORIES = {
    "123037004": Code("123037004", "SCT", "Anatomical Structure"),
    "85756007": Code("85756007", "SCT", "Tissue"),
    "49755003": Code("49755003", "SCT", "Morphologically Abnormal Structure"),
    "260787004": Code("260787004", "SCT", "Physical object"),
}
_SYNONYMS = {
    "bladder": "urinary_bladder", "trunk": "body_trunc", "torso": "body_trunc", "small intestine": "small_bowel",
    "myocardium": "heart_myocardium", "left ventricle": "heart_ventricle_left",
    "right ventricle": "heart_ventricle_right", "left atrium": "heart_atrium_left",
    "right atrium": "heart_atrium_right", "adrenal": "adrenal_gland",
    "thyroid": "thyroid_gland", "parotid": "parotid_gland", "jaw": "mandible", "pulmonary nodule": "lung_nodules",
    "liver lesion": "liver_lesions", "hepatic vessels": "liver_vessels", "hepatic vessel": "liver_vessels",
    "portal and splenic veins": "portal_vein_and_splenic_vein", "ivc": "inferior_vena_cava",
    "postcava": "inferior_vena_cava", "svc": "superior_vena_cava", "kideny": "kidney",
    "peripheral zone": "prostate_peripheral_zone", "transition zone": "prostate_transition_zone",
    "transitional zone": "prostate_transition_zone", "central gland": "prostate_central_gland",
    "central zone": "prostate_central_zone", "prostate or uterus": "prostate_uterus",
    "tumour core": "tumor_core", "whole tumour": "whole_tumor", "enhancing tumour": "enhancing_tumor",
    "gd enhancing tumor": "enhancing_tumor", "non enhancing tumour": "non_enhancing_tumor",
    "non enhancing tumor core": "non_enhancing_tumor", "peritumoral edema": "edema", "necrotic core": "necrosis",
    "renal cortex": "kidney_cortex", "renal medulla": "kidney_medulla", "anterior hippocampus": "hippocampus_anterior",
    "posterior hippocampus": "hippocampus_posterior", "accumbens area": "nucleus_accumbens",
    "caudate": "caudate_nucleus", "pallidum": "globus_pallidus", "thalamus proper": "thalamus",
    "3rd ventricle": "third_ventricle", "4th ventricle": "fourth_ventricle", "airways": "airway", "bronchi": "bronchus",
    "lv": "heart_ventricle_left", "rv": "heart_ventricle_right", "lv pool": "heart_ventricle_left",
    "rv pool": "heart_ventricle_right", "left ventricular cavity": "heart_ventricle_left",
    "left ventricular pool": "heart_ventricle_left", "right ventricular pool": "heart_ventricle_right",
    "left ventricular myocardium": "left_ventricle_myocardium", "tool": "surgical_instrument",
    "tools": "surgical_instrument", "instrument": "surgical_instrument",
    "cerebellum white matter": "cerebellar_white_matter", "inf lat vent": "inferior_horn_of_lateral_ventricle",
    "temporal horn of lateral ventricle": "inferior_horn_of_lateral_ventricle", "ventral dc": "ventral_diencephalon",
    "entorhinal cortex": "entorhinal_area", "mpog postcentral gyrus": "postcentral_gyrus_medial_segment",
    "mprg precentral gyrus": "precentral_gyrus_medial_segment",
    "msfg superior frontal gyrus": "superior_frontal_gyrus_medial_segment",
    "opifg opercular part of the ifg": "opercular_part_of_the_inferior_frontal_gyrus",
    "orifg orbital part of the ifg": "orbital_part_of_the_inferior_frontal_gyrus",
    "trifg triangular part of the ifg": "triangular_part_of_the_inferior_frontal_gyrus",
    "colon cancer primaries": "colon neoplasm",
}  # fmt: skip
_ABBREVIATED = re.compile(r"((?:left|right)-)?[a-z]+--+(.+)")
"""Names with an abbreviation, such as Right-AnG---angular-gyrus."""
_VERTEBRA = re.compile(r"(?:vertebrae?\s*)?([ctls]\s?\d{1,2})(?:\s*vertebrae?)?")
_MORPHOLOGIES = {
    "tumor": Code("108369006", "SCT", "Neoplasm"),
    "neoplasm": Code("108369006", "SCT", "Neoplasm"),
    "metastasis": Code("14799000", "SCT", "Neoplasm, Secondary"),
    "lesion": Code("52988006", "SCT", "Lesion"),
    "cyst": Code("367643001", "SCT", "Cyst"),
    "nodule": Code("27925004", "SCT", "Nodule"),
    "mass": Code("4147007", "SCT", "Mass"),
}
_PLURALS = {
    "tumors": "tumor", "tumour": "tumor", "tumours": "tumor", "neoplasms": "neoplasm", "metastases": "metastasis",
    "lesions": "lesion", "cysts": "cyst", "nodules": "nodule", "masses": "mass",
}  # fmt: skip
_ORGANS = {
    "pancreatic": "pancreas", "hepatic": "liver", "renal": "kidney", "pulmonary": "lung", "splenic": "spleen",
    "prostatic": "prostate", "cerebral": "brain", "colonic": "colon", "gastric": "stomach", "adrenal": "adrenal_gland",
}  # fmt: skip
_ABNORMAL = "49755003"
_MODELS = ("totalsegmentator", "monai")


@dataclass(frozen=True)
class Structure:
    """The code, category, side and colour of one structure."""

    name: str
    code: Code | None
    """None if no public table has a code for it."""

    category: Code | None = None
    side: Code | None = None
    rgb: tuple[int, int, int] | None = None
    region: Code | None = None
    """The organ in which the structure is found; only for something in an organ, such as a tumor."""


def split_side(name: str) -> tuple[str, str]:
    """Splits a name into the name without its side, in lower case, and the side. Any word of the name may be the side.

    Example:
        >>> split_side("Left kidney"), split_side("kidney_left"), split_side("rib_left_3"), split_side("liver")
        (('kidney', 'left'), ('kidney', 'left'), ('rib 3', 'left'), ('liver', ''))
    """
    words = re.findall(r"[^\W_]+", name.lower())
    sides = [word for word in words if word in SIDES]
    if len(sides) != 1 or len(words) == 1:
        return " ".join(words), ""
    words.remove(sides[0])
    return " ".join(words), sides[0]


def find_structure(name: str) -> Structure | None:
    """Returns the structure of a name, ignoring case, spaces, underscores and plural; None if there is none.

    Example:
        >>> find_structure("vertebrae_L5").code.meaning, find_structure("left kidney").side.meaning
        ('L5 vertebra', 'Left')
        >>> find_structure("lung nodule").code.meaning, find_structure("unheard of") is None
        ('Nodule', True)
    """
    spellings = [each for spelled in dict.fromkeys((name, american(name))) for each in _spellings(spelled)]
    for spelling in spellings:
        base, side = split_side(spelling)
        found = _of_side(_key(base), side)
        if found is not None and found.category == _CATEGORIES[_ABNORMAL]:
            return replace(found, side=found.side or SIDES.get(side), region=_organ(base)[1])
        if found is not None:
            return found
    return next((found for found in map(_lesion, spellings) if found is not None), None)


def _lesion(name: str) -> Structure | None:
    """Returns the structure of a lesion in an organ, such as a pancreatic tumor; None for any other name."""
    base, side = split_side(name)
    morphology, organ = _organ(base)
    if morphology is None or organ is None:
        return None
    return Structure(name, morphology, _CATEGORIES[_ABNORMAL], SIDES.get(side), None, organ)


def _organ(base: str) -> tuple[Code | None, Code | None]:
    """Returns the code of the lesion that is the last word of a name, and the code of the organ in the words before."""
    *words, last = base.split() or [""]
    morphology = _MORPHOLOGIES.get(_PLURALS.get(last, last))
    if morphology is None or not words:
        return morphology, None
    whole = find_structure(" ".join(_ORGANS.get(word, word) for word in words))
    return morphology, None if whole is None or whole.region is not None else whole.code


def _spellings(name: str) -> list[str]:
    words = " ".join(re.findall(r"[^\W_]+", name.lower()))
    found = [words]
    if words in _SYNONYMS:
        found.insert(0, _SYNONYMS[words])
    base, side = split_side(words)
    abbreviated = _ABBREVIATED.fullmatch(name.lower())
    if abbreviated is not None and base not in _SYNONYMS:
        return _spellings(f"{abbreviated[1] or ''}{abbreviated[2]}")
    if base in _SYNONYMS:
        found.append(f"{_SYNONYMS[base]} {side}")
    vertebra = _VERTEBRA.fullmatch(words)
    if vertebra is not None:
        found.append(f"vertebrae {vertebra[1]}")
    forms = (base, base.removesuffix("s"), f"{base}s", f"{base}es", base.removesuffix(" muscle"))
    return [*found, *(f"{each} {side}" for each in forms)]


def _key(base: str) -> str:
    return base.replace(" ", "")


def _of_side(base: str, side: str) -> Structure | None:
    rows = _table().get(base, {})
    if side in rows:
        return rows[side]
    if side:
        whole = rows.get("")
        return None if whole is None else Structure(whole.name, whole.code, whole.category, SIDES[side], whole.rgb)
    pair = [rows[each] for each in ("left", "right") if each in rows]
    if len(pair) == len(SIDES) - 1 and pair[0].code == pair[1].code:  # left and right differ only in the side
        return Structure(base, pair[0].code, pair[0].category, None, pair[0].rgb)
    return None


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, Structure]]:
    table: dict[str, dict[str, Structure]] = {}
    for row in csv.DictReader(_text("structures.csv").splitlines()):
        base, side = split_side(row["name"])
        table.setdefault(_key(base), {})[side] = Structure(
            row["name"],
            Code(row["value"], row["scheme"], row["meaning"]) if row["value"] else None,
            _CATEGORIES.get(row["category"]),
            SIDES.get(row["side"].lower()),
            _rgb(row["rgb"]),
        )
    return table


def _rgb(written: str) -> tuple[int, int, int] | None:
    parts = [int(part) for part in written.split()]
    return (parts[0], parts[1], parts[2]) if parts else None


def _text(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


def label_names(table: str) -> dict[int, str]:
    """Returns the names of a model's labels: ``totalsegmentator``, or ``totalsegmentator:`` and one of its tasks.

    ``monai:`` and the name of a bundle, such as ``monai:swin_unetr_btcv_segmentation``, name a table of MONAI's zoo.

    Raises:
        DerivedObjectError: There is no such table; the message names similar ones.

    Example:
        >>> names = label_names("totalsegmentator")
        >>> names[1], names[5], label_names("totalsegmentator:lung_nodules")[2]
        ('spleen', 'liver', 'lung_nodules')
    """
    tables = _tables()
    found = tables.get(f"{table}:total" if ":" not in table else table)
    if found is None:
        near = difflib.get_close_matches(table, tables, n=5, cutoff=0.4)
        raise DerivedObjectError(
            f"there is no table of labels {table!r}: say 'totalsegmentator', 'totalsegmentator:TASK' or 'monai:BUNDLE' "
            f"(such as {', '.join(near) or 'totalsegmentator:total_mr'}), or give the names by label, such as "
            "{1: 'liver'}"
        )
    return found


@lru_cache(maxsize=1)
def _tables() -> dict[str, dict[int, str]]:
    """Returns the names by label of each model and task.

    The files hold each table only once: a task whose labels equal those of another task has the name of that task.
    """
    found: dict[str, dict[int, str]] = {}
    for model in _MODELS:
        read: dict[str, list[str] | dict[str, str] | str] = json.loads(_text(f"{model}.json"))
        for task, labels in read.items():
            if isinstance(labels, str):
                found[f"{model}:{task}"] = found[labels]
            elif isinstance(labels, dict):
                found[f"{model}:{task}"] = {int(label): name for label, name in labels.items()}
            else:
                found[f"{model}:{task}"] = dict(enumerate(labels, start=1))
    return found

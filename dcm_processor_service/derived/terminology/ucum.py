"""Checks whether a text is a unit of UCUM, the Unified Code for Units of Measure (ucum.org; PS3.16, section 7.2.2).

It knows the units of medicine and physics, with prefixes, exponents, products, quotients and annotations, such as
``mm2/s``, ``kg/m2``, ``10*6/ml`` and ``g/ml{SUVbw}``.
"""

from __future__ import annotations

import difflib
import re

__all__ = ["is_unit", "nearest_unit"]

_PREFIXES = (
    "Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", "d", "c", "m", "u", "n", "p", "f", "a", "z", "y", "Ki",
    "Mi", "Gi", "Ti",
)  # fmt: skip
_METRIC = (
    "m", "s", "g", "rad", "K", "C", "cd", "mol", "sr", "Hz", "N", "Pa", "J", "W", "A", "V", "F", "Ohm", "S", "Wb",
    "Cel", "T", "H", "lm", "lx", "Bq", "Gy", "Sv", "L", "l", "ar", "t", "bar", "u", "eV", "pc", "kat", "U",
    "[iU]", "[IU]", "[hnsf'U]", "eq", "osm", "B", "Ci", "R", "RAD", "REM", "cal", "G", "St", "P", "Mx", "Oe",
    "st", "g%", "cal_th", "[Cal]", "m[H2O]", "m[Hg]", "bit", "By", "Bd", "dyn", "erg",
)  # fmt: skip
_PLAIN = (
    "1", "10*", "10^", "%", "[ppth]", "[ppm]", "[ppb]", "[pptr]", "[pi]", "deg", "'", "''", "gon", "min", "h",
    "d", "a", "a_t", "a_j", "wk", "mo", "mo_s", "mo_j", "mo_g", "att", "[in_i]", "[ft_i]", "[yd_i]", "[mi_i]",
    "[lb_av]", "[oz_av]", "[degF]", "[pH]", "[hp_X]", "[drp]", "[Amb'a'1'U]", "[arb'U]", "[USP'U]", "[GPL'U]",
    "[MPL'U]", "[APL'U]", "[bdsk'U]", "[HPF]", "[LPF]", "[CFU]", "[PFU]", "[diop]", "[mesh_i]", "[Ch]", "[MET]",
    "[c]", "[G]", "[e]", "[k]", "bit_s", "circ", "sph",
)  # fmt: skip
_UNITS = frozenset([*_PLAIN, *_METRIC, *(prefix + unit for prefix in _PREFIXES for unit in _METRIC)])
_COMMON = (
    "1", "%", "mm", "cm", "m", "um", "mm2", "cm2", "m2", "mm3", "cm3", "ml", "l", "s", "ms", "min", "h", "d",
    "wk", "mo", "a", "/min", "/s", "{counts}/s", "kg", "g", "mg", "kg/m2", "mm2/s", "ml/min", "ml/s", "cm/s",
    "m/s", "Bq/ml", "kBq/ml", "MBq", "g/ml", "g/ml{SUVbw}", "g/cm3", "mg/cm3", "[hnsf'U]", "mm[Hg]", "kPa", "Gy",
    "mGy", "mSv", "T", "Hz", "deg", "rad", "Cel", "mmol/l", "mg/dl",
)  # fmt: skip
_EVERYDAY = {
    "percent": "%", "pixel": "{pixel}", "pixels": "{pixel}", "voxels": "{voxel}", "voxel": "{voxel}", "cc": "cm3",
    "sec": "s", "second": "s", "seconds": "s", "minutes": "min", "hours": "h", "days": "d", "years": "a", "year": "a",
    "months": "mo", "bpm": "/min", "mmhg": "mm[Hg]", "suv": "g/ml{SUVbw}", "degrees": "deg", "bqml": "Bq/ml",
    "gml": "g/ml", "liter": "l", "litre": "l", "none": "1", "ratio": "1", "micron": "um",
}  # fmt: skip


def is_unit(text: str) -> bool:
    """Returns whether a text is a unit in the case-sensitive form of UCUM.

    Example:
        >>> is_unit("mm2/s"), is_unit("10*6/ml"), is_unit("mm^3"), is_unit("bananas")
        (True, True, False, False)
    """
    if not text or not text.isascii() or re.search(r"\s", text):
        return False
    inner = re.compile(r"\(([^()]*)\)")
    while match := inner.search(text):
        if not is_unit(match[1]):
            return False
        text = f"{text[: match.start()]}1{text[match.end() :]}"
    parts = re.split(r"[./](?![^{}\[]*[}\]])", text.removeprefix("/"))
    return all(map(_is_component, parts))


def _is_component(text: str) -> bool:
    if re.fullmatch(r"\d+(\{[^{}]*\})?|\{[^{}]*\}", text):
        return True
    body = re.sub(r"\{[^{}]*\}$", "", text)
    if body in _UNITS:
        return True
    match = re.fullmatch(r"(.+?)([+-]?\d+)", body)
    return match is not None and match[1] in _UNITS


def nearest_unit(text: str) -> str:
    """Returns the unit that was probably meant; empty if no unit is similar.

    Example:
        >>> nearest_unit("mm^3"), nearest_unit("Percent"), nearest_unit("bananas")
        ('mm3', '%', '')
    """
    plain = text.strip().replace("²", "2").replace("³", "3").replace("µ", "u").replace("^", "").replace("**", "")
    if plain.lower() in _EVERYDAY:
        return _EVERYDAY[plain.lower()]
    plain = plain.replace(" ", "")
    if is_unit(plain):
        return plain
    by_lower = {unit.lower(): unit for unit in _COMMON}
    near = difflib.get_close_matches(plain.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[near[0]] if near else ""

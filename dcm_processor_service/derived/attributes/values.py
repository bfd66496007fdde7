"""Checks values against their VR: length, characters, range (PS3.5, section 6.2)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from pydicom.multival import MultiValue

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement

__all__ = ["value_problem", "written"]

_LENGTHS = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "PN": 64, "UI": 64, "DS": 16, "IS": 12}
_FORMS = {
    "AS": (re.compile(r"\d{3}[DWMY]"), "three digits and D, W, M or Y", "write 045Y, 006M, 003W or 010D"),
    "CS": (re.compile(r"[A-Z0-9 _]*"), "upper-case letters, digits, space and underscore", "write it so"),
    "DA": (re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"), "YYYYMMDD", "write it so, or leave it empty"),
    "TM": (
        re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?"),
        "HHMMSS.FFFFFF, from the left as far as known",
        "write it so, or leave it empty",
    ),
    "DT": (re.compile(r"\d{4,14}(\.\d{1,6})?([+-]\d{4})?"), "YYYYMMDDHHMMSS.FFFFFF&ZZXX", "write it so"),
    "UI": (
        re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*"),
        "numbers without leading zeros, joined by full stops",
        "make UIDs with keyed_uid() or pydicom's generate_uid()",
    ),
    "IS": (re.compile(r" *[+-]?\d+ *"), "a whole number", "write a whole number"),
    "DS": (
        re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *"),
        "a finite decimal number",
        "write it with pydicom's format_number_as_ds",
    ),
}
_NO_CONTROL = frozenset({"AE", "CS", "LO", "PN", "SH"})
_IS_RANGE = 2**31


def value_problem(element: DataElement) -> tuple[str, str] | None:
    """Returns the rule that a value breaks, and the remedy; None if it breaks none, or its VR has no rule here."""
    vr = str(element.VR)
    if (vr not in _LENGTHS and vr not in _FORMS) or element.is_empty:
        return None
    value = element.value
    for part in value if isinstance(value, MultiValue | list) else (value,):
        found = _part_problem(vr, part)
        if found is not None:
            return found
    return None


def written(part: Any) -> str:
    """Returns a single value as the file spells it."""
    original = getattr(part, "original_string", None)
    return original if isinstance(original, str) and original else str(part)


def _part_problem(vr: str, part: Any) -> tuple[str, str] | None:
    spelt = written(part)
    if not spelt:
        return None
    limit = _LENGTHS.get(vr)
    longest = max(map(len, spelt.split("="))) if vr == "PN" else len(spelt)
    form, words, remedy = _FORMS.get(vr, (None, "", ""))
    rule = ""
    if limit is not None and longest > limit:
        rule, remedy = f"a value of {vr} has at most {limit} characters", "shorten it"
    elif form is not None and not form.fullmatch(spelt):
        rule = f"a value of {vr} is {words}"
    elif vr in _NO_CONTROL and not spelt.isprintable():
        rule, remedy = f"a value of {vr} has no control characters", "remove them"
    elif vr == "IS" and not -_IS_RANGE <= int(spelt) < _IS_RANGE:
        rule, remedy = "a value of IS fits 32 bits", "write a smaller number"
    elif vr == "DS" and not math.isfinite(float(spelt)):
        rule, remedy = "a value of DS is finite", "write a finite number"
    elif vr == "PN" and (spelt.count("=") > 2 or any(group.count("^") > 4 for group in spelt.split("="))):  # noqa: PLR2004 three groups of five parts
        rule, remedy = "a name has at most three groups of five parts", "write family^given^middle^prefix^suffix"
    return (f"{rule} (PS3.5, section 6.2)", remedy) if rule else None

"""Finds coded concepts by name, in the tables of pydicom (PS3.16)."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.sr.codedict import codes

from dcm_processor_service.derived.attributes.wording import require_line
from dcm_processor_service.derived.terminology.spelling import american
from dcm_processor_service.derived.terminology.ucum import is_unit, nearest_unit
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import Code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["checked_code", "code_item", "find_code", "find_unit", "in_context", "unit_name"]

_SH, _LO = 16, 64
_SCHEMES = ("SCT", "DCM", "UCUM", "LN", "FMA", "RADLEX", "NCIt", "UMLS", "BARI", "IBSI", "MA", "NEU")


def code_item(code: Code) -> Dataset:
    """Returns the item of a code sequence (PS3.3, section 8.8); long and URN values have attributes of their own.

    Example:
        >>> code_item(Code("10200004", "SCT", "Liver")).CodeMeaning
        'Liver'
    """
    item = Dataset()
    if code.value.startswith(("urn:", "http:", "https:")):
        item.URNCodeValue = code.value
    elif len(code.value) > 16:  # noqa: PLR2004 SH
        item.LongCodeValue = code.value
    else:
        item.CodeValue = code.value
    if "URNCodeValue" not in item:
        item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def checked_code(code: Code) -> Code:
    """Returns a code of the caller after checking its texts.

    Raises:
        DerivedObjectError: Its value, scheme or meaning is empty, too long or no line of text.
    """
    require_line("the value of a code", code.value)
    require_line("the scheme of a code", code.scheme, _SH)
    require_line("the meaning of a code", code.meaning, _LO)
    return code


def find_code(name: Code | str, contexts: Sequence[int] = ()) -> Code:
    """Returns the coded concept of a name, ignoring case, spaces and punctuation; a code is returned unchanged.

    Args:
        name: Meaning or keyword of the code, such as ``"liver"`` or ``"Left kidney"``.
        contexts: Numbers of context groups (CID) that are searched first, so that a name with several codes gets the
            one that fits.

    Raises:
        DerivedObjectError: No concept has the name; the message lists similar names.

    Example:
        >>> find_code("liver")
        Code(value='10200004', scheme='SCT', meaning='Liver')
    """
    if isinstance(name, Code):
        return checked_code(name)
    if not isinstance(name, str):
        raise DerivedObjectError("a coded concept is neither a name nor a code: give one, such as 'liver'")
    wanted = _normal(name)
    for spelling in dict.fromkeys((wanted, _normal(american(name)))):
        for context in contexts:
            found = _of_context(context).get(spelling)
            if found is not None:
                return found
        found = _of_everything().get(spelling)
        if found is not None:
            return found
    near = difflib.get_close_matches(wanted, {**_of_everything(), **_contexts(tuple(contexts))}, n=5, cutoff=0.6)
    names = ", ".join(repr(_of_everything()[each].meaning) for each in near if each in _of_everything())
    raise DerivedObjectError(
        f"no coded concept is called {name!r}"
        + (f"; similar ones: {names}" if names else "")
        + "; or give a code of your own: Code(value, scheme, meaning), with a scheme such as '99MYLAB'"
    )


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _scheme_order(scheme: str) -> int:
    return _SCHEMES.index(scheme) if scheme in _SCHEMES else len(_SCHEMES)


def _add(table: dict[str, Code], members: Mapping[str, Any]) -> None:
    for keyword, known in members.items():
        code = Code(str(known.value), str(known.scheme_designator), str(known.meaning))
        table.setdefault(_normal(keyword), code)
        table.setdefault(_normal(code.meaning), code)


@lru_cache(maxsize=1)
def _of_everything() -> dict[str, Code]:
    table: dict[str, Code] = {}
    for scheme in sorted(codes.schemes(), key=_scheme_order):
        _add(table, getattr(codes, scheme).concepts)
    return table


@lru_cache(maxsize=64)
def _of_context(context: int) -> dict[str, Code]:
    table: dict[str, Code] = {}
    _add(table, getattr(codes, f"cid{context}").concepts)
    return table


def _contexts(contexts: tuple[int, ...]) -> dict[str, Code]:
    return {name: code for context in contexts for name, code in _of_context(context).items()}


def in_context(code: Code, context: int) -> bool:
    """Returns whether a context group (CID) has the code.

    Example:
        >>> in_context(find_code("Smoothing"), 7203)
        True
    """
    return any((each.value, each.scheme) == (code.value, code.scheme) for each in _of_context(context).values())


def find_unit(unit: Code | str) -> Code:
    """Returns the code of a unit in UCUM, such as ``mm2/s`` (PS3.16, section 7.2.2).

    Raises:
        DerivedObjectError: ``unit`` is not a unit of UCUM; the message names a similar one.

    Example:
        >>> find_unit("ml").meaning, find_unit("HU").value, find_unit("1").meaning
        ('milliliter', "[hnsf'U]", 'no units')
    """
    if isinstance(unit, Code):
        return checked_code(unit)
    given: object = unit
    if not isinstance(given, str):
        raise DerivedObjectError(f"a unit is a text or a Code, no {type(given).__name__}: give '1' for a pure number")
    known = _UNITS.get(unit)
    if known is None and not is_unit(unit):
        near = nearest_unit(unit)
        raise DerivedObjectError(
            f"{unit!r} is not a unit of UCUM"
            + (f": {near!r} is" if near else "")
            + "; give a unit as UCUM writes it, '1' for a pure number, or a Code of your own"
        )
    return known or Code(unit, "UCUM", unit)


def unit_name(unit: Code) -> Code | str:
    """Returns the name of a unit of UCUM as :func:`find_unit` takes it; another code is returned unchanged.

    Example:
        >>> unit_name(find_unit("HU")), unit_name(find_unit("ml"))
        ('HU', 'ml')
    """
    if unit.scheme != "UCUM":
        return unit
    known = next((name for name, code in _UNITS.items() if code.value == unit.value), unit.value)
    return known if known in _UNITS or is_unit(known) else unit


_UNITS = {
    "1": Code("1", "UCUM", "no units"),
    "": Code("1", "UCUM", "no units"),
    "%": Code("%", "UCUM", "Percent"),
    "mm": Code("mm", "UCUM", "millimeter"),
    "mm2": Code("mm2", "UCUM", "square millimeter"),
    "mm3": Code("mm3", "UCUM", "cubic millimeter"),
    "cm": Code("cm", "UCUM", "centimeter"),
    "cm3": Code("cm3", "UCUM", "cubic centimeter"),
    "ml": Code("ml", "UCUM", "milliliter"),
    "HU": Code("[hnsf'U]", "UCUM", "Hounsfield unit"),
    "deg": Code("deg", "UCUM", "degree"),
    "SUVbw": Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"),
}

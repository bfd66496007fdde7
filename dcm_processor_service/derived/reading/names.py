"""Reads codes, sides and colours of derived objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.imaging.headers.values import item, items, numbers, text
from dcm_processor_service.models.derived import Code

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydicom import Dataset

__all__ = ["code_in", "code_of_item", "is_any_of", "rgb_of_lab", "side_in"]

_SIDES = frozenset(
    {
        ("7771000", "SCT"), ("24028007", "SCT"), ("51440002", "SCT"), ("66459002", "SCT"),
        ("G-A101", "SRT"), ("G-A100", "SRT"), ("G-A102", "SRT"), ("G-A103", "SRT"),
    }
)  # fmt: skip
_MOST_LAB = 65535.0
_D65 = (0.9505, 1.0, 1.0889)
_LINEAR_RGB = ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))


def code_in(dataset: Dataset | None, keyword: str) -> Code | None:
    """Returns the code in a sequence of one item (PS3.3, section 8.8); None if there is none.

    Example:
        >>> from pydicom import Dataset
        >>> from pydicom.sr.codedict import codes
        >>> code_in(Dataset(), "ConceptNameCodeSequence") is None
        True
    """
    found = None if dataset is None else item(dataset, keyword)
    return None if found is None else code_of_item(found)


def code_of_item(found: Dataset) -> Code | None:
    """Returns the code of an item; None where it has no value."""
    value = next((v for key in ("CodeValue", "LongCodeValue", "URNCodeValue") if (v := text(found, key))), "")
    if not value:
        return None
    return Code(value, text(found, "CodingSchemeDesignator"), text(found, "CodeMeaning"))


def is_any_of(code: Code | None, known: Iterable[tuple[str, str]]) -> bool:
    """Returns whether a code is among the given pairs of value and scheme."""
    return code is not None and (code.value, code.scheme) in set(known)


def side_in(dataset: Dataset | None, *keywords: str) -> Code | None:
    """Returns the side among the modifiers in the given sequences, as a code of SNOMED CT or of the older SRT."""
    if dataset is None:
        return None
    found = (code_of_item(each) for keyword in keywords for each in items(dataset, keyword))
    return next((code for code in found if is_any_of(code, _SIDES)), None)


def rgb_of_lab(dataset: Dataset, keyword: str = "RecommendedDisplayCIELabValue") -> tuple[int, int, int] | None:
    """Returns a CIE L*a*b* colour (PS3.3, section C.10.7.1.1) as sRGB, with white point D65 as writers use it.

    Example:
        >>> from pydicom import Dataset
        >>> segment = Dataset()
        >>> segment.RecommendedDisplayCIELabValue = [65535, 32896, 32896]
        >>> rgb_of_lab(segment)
        (255, 255, 255)
    """
    values = numbers(dataset, keyword, count=3)
    if values is None:
        return None
    lightness = values[0] / _MOST_LAB * 100
    a, b = (value / _MOST_LAB * 255 - 128 for value in values[1:])
    y = (lightness + 16) / 116
    xyz = [white * _from_lab(part) for white, part in zip(_D65, (y + a / 500, y, y - b / 200), strict=True)]
    red, green, blue = (
        round(255 * _gamma(min(1.0, max(0.0, sum(f * part for f, part in zip(row, xyz, strict=True))))))
        for row in _LINEAR_RGB
    )
    return red, green, blue


def _from_lab(part: float) -> float:
    return part**3 if part > 6 / 29 else 3 * (6 / 29) ** 2 * (part - 4 / 29)


def _gamma(part: float) -> float:
    return 12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055  # noqa: PLR2004 sRGB

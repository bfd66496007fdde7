"""Finds the unit of an image's values: the caller's, or the source's if the values still have it.

The unit of a volume is kept, except for masks and probabilities (values from 0 to 1). Hounsfield units, of a volume or
of values computed from a CT, are kept only if some values are as low as those of air and lung, since no mask, label
map, probability, distance or score has such values. For a PET whose source states a unit, the caller must state the
unit, because the values do not show whether they still have the source's unit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dcm_processor_service.derived.attributes.wording import require_line
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.frames.units import unit_of
from dcm_processor_service.imaging.headers.values import numbers, text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.derived.attributes.modality import ImageClass
    from dcm_processor_service.derived.inputs import PlacedArray
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import ImageOptions

__all__ = ["with_unit"]

_HOUNSFIELD = "HU"
_NO_UNIT = "NONE"
_PET_UNITS = (
    "NONE", "BQML", "GML", "CNTS", "CPS", "PROPCNTS", "PROPCPS", "PCNT", "CM2", "CM2ML", "1CM", "MLML", "MLG", "MLMING",
    "MLMINML", "MGMINML", "UMOLML", "UMOLMINML", "STDDEV",
)  # fmt: skip
"""What Units (0054,1001) of a PET can be (PS3.3, section C.8.9.1.1.3)."""
_LO = 64
_AIR_HU = -200
"""A number below the values of fat and above those of lung."""


def with_unit(options: ImageOptions, given: PlacedArray, source: Source, image_class: ImageClass) -> ImageOptions:
    """Returns the options with the unit of the values, and with the source's window if the unit is HU.

    ``units="source"`` means the unit of the source.

    Raises:
        DerivedObjectError: ``units`` is None, the image is a PET, its source states a unit, and the values are not all
            from 0 to 1; or ``units`` is ``source``, and the source states no unit; or ``units`` is not one line of
            text, or for a PET not one of its units.
    """
    unit = options.units
    _check_stated(unit, source, image_class)
    if unit == "source":
        unit = given.unit or _stated(source, image_class)
        if not unit:
            raise DerivedObjectError("the source does not state the unit of its values: name it instead of 'source'")
    elif unit is None and image_class == "pt":
        if not _are_fractions(given.array) and _stated(source, "pt"):
            raise DerivedObjectError(
                "the unit of the PET's values is not known: say units='source' if it is still that of the source, or "
                "units='GML' for SUV by body weight (PS3.3, section C.8.9.1.1.3), or units='NONE'"
            )
        unit = _NO_UNIT
    elif unit is None and (given.unit == _HOUNSFIELD or _is_computed_from_ct(given, source, image_class)):
        unit = _HOUNSFIELD if bool(given.array.min() <= _AIR_HU) else None
    elif unit is None and given.unit and not _are_fractions(given.array):
        unit = given.unit
    window = options.window
    if window is None and unit == _HOUNSFIELD and isinstance(source, SourceSeries) and source.modality == "CT":
        window = _window(source)
    return replace(options, units=unit, window=window)


def _check_stated(unit: str | None, source: Source, image_class: ImageClass) -> None:
    """Refuses units that the attribute of the class cannot hold: one of a list for PET, a line of text for others."""
    if unit in (None, "", "source"):
        return
    require_line("units", unit, _LO)
    if image_class == "pt" and unit not in {*_PET_UNITS, _stated(source, "pt")}:
        raise DerivedObjectError(
            f"{unit!r} is not a unit of a PET: say one of {', '.join(_PET_UNITS)} (PS3.3, section C.8.9.1.1.3), "
            "or units='source' if it is still that of the source"
        )


def _is_computed_from_ct(given: PlacedArray, source: Source, image_class: ImageClass) -> bool:
    is_ct = isinstance(source, SourceSeries) and source.modality == "CT"
    return is_ct and image_class == "ct" and not given.unit and given.array.dtype.kind != "b"


def _stated(source: Source, image_class: ImageClass) -> str:
    if not isinstance(source, SourceSeries):
        return ""
    if image_class == "pt":
        return text(source.first, "Units")
    if stated := text(source.first, "RescaleType"):
        return stated
    return unit_of(source.frames[0]) if source.modality == "CT" and source.frames else ""


def _are_fractions(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "b" or bool(array.min() >= 0 and array.max() <= 1)


def _window(source: SourceSeries) -> tuple[float, float] | None:
    """Returns the first linear window of the source."""
    if text(source.first, "VOILUTFunction") not in {"", "LINEAR"}:
        return None
    center, width = (numbers(source.first, f"Window{what}") for what in ("Center", "Width"))
    return (center[0], width[0]) if center and width and width[0] >= 1 else None

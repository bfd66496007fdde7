"""Finds code, category, side and colour for the name of a segment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from dcm_processor_service.derived.attributes.wording import require_line
from dcm_processor_service.derived.objects.highdicom_bridge import code_of
from dcm_processor_service.derived.terminology.codes import checked_code, find_code, in_context
from dcm_processor_service.derived.terminology.structures import SIDES, find_structure, split_side
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import Code

if TYPE_CHECKING:
    from dcm_processor_service.derived.attributes.composite import Composite
    from dcm_processor_service.models.derived import SegmentationOptions

__all__ = ["ANATOMY", "SegmentName", "described"]

_PROPERTY_TYPES = (7166, 7159, 7151)
_STRUCTURE_SCHEMES = frozenset({"SCT", "FMA", "RADLEX", "NCIt", "UMLS", "NEU", "BARI", "MA"})
_STRUCTURE_CONTEXTS = (7193, 7196, 7197, 7198, 6102, 6104)
_QUALIFIERS = (2, 5, 6, 42, 211, 212, 230, 242, 3627, 3703, 4206, 4411, 7461, 7464, 7469, 7470, 10072)
"""Context groups (CID) of concepts that are not structures: directions, answers, colours, quantities and statistics."""
_PARTS = 3
"""The number of components of a colour."""
_SIDES = 244
"""The context group (CID) of sides; their codes may name the halves of a structure, so they are allowed."""
_NO_STRUCTURES = ("(qualifier value)", "(observable entity)", "(procedure)", "(attribute)", "(organism)", "(situation)")
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
_SPATIAL = Code("309825002", "SCT", "Spatial and Relational Concept")
_BACKGROUND = "125040"
_CATEGORIES = (
    (7193, Code("260787004", "SCT", "Physical object")),
    (7197, Code("91720002", "SCT", "Body Substance")),
    (7198, Code("105590001", "SCT", "Substance")),
    (7159, Code("49755003", "SCT", "Morphologically Abnormal Structure")),
    (7166, Code("85756007", "SCT", "Tissue")),
)
"""The category (CID 7150) of the structures in each context group."""


@dataclass(frozen=True)
class SegmentName:
    """The label, code, category, side and colour of one segment."""

    label: str
    code: Code
    category: Code
    side: Code | None = None
    color_lab: tuple[float, float, float] | None = None
    color_rgb: tuple[int, int, int] | None = None
    region: Code | None = None
    """The organ in which the structure was found; None if the structure is not something in an organ, as a tumor is."""

    @classmethod
    def of(
        cls,
        label: str,
        code: Code | str | None = None,
        category: Code | str | None = None,
        color_lab: tuple[float, float, float] | None = None,
        color_rgb: tuple[int, int, int] | None = None,
    ) -> SegmentName:
        """Looks up code, category and colour if they are not given.

        Raises:
            DerivedObjectError: The name has no code.
        """
        require_line("the name of a segment", label)
        found = find_structure(label if code is None else code) if not isinstance(code, Code) else None
        chosen: Code
        side = None
        if isinstance(code, Code):
            chosen = checked_code(code)
        elif found is not None and found.code is not None:
            chosen, side = found.code, found.side
        elif found is not None:
            raise DerivedObjectError(
                f"no public terminology has a code for {found.name!r}: give one of your own, "
                "Code(value, scheme, meaning), with a scheme such as '99MYLAB'"
            )
        else:
            base, which = split_side(code or label)
            chosen, side = find_code(base if which else code or label, _PROPERTY_TYPES), SIDES.get(which)
            _require_structure(code or label, chosen)
        known = found.category if found is not None else None
        own = find_code(category, (7150,)) if category is not None else known or _category_of(chosen)
        _require_colours(color_rgb, color_lab)
        rgb = color_rgb or (found.rgb if found is not None and color_lab is None else None)
        return cls(label, chosen, own, side, color_lab, rgb, found.region if found is not None else None)


def _parts(color: object) -> list[float]:
    """Returns the three components of a colour; an empty list if the value does not have three numbers."""
    parts = [*color] if isinstance(color, Iterable) and not isinstance(color, str | bytes) else []
    return parts if len(parts) == _PARTS and all(isinstance(part, Real) for part in parts) else []


def _require_colours(rgb: tuple[int, int, int] | None, lab: tuple[float, float, float] | None) -> None:
    """Refuses values that are not a colour.

    Raises:
        DerivedObjectError: A component is out of its range.
    """
    parts = _parts(rgb)
    if rgb is not None and not (parts and all(0 <= part <= 255 and part == int(part) for part in parts)):  # noqa: PLR2004 8 bits
        raise DerivedObjectError("color_rgb is red, green and blue as whole numbers from 0 to 255: change it")
    parts = _parts(lab)
    if lab is not None and not (parts and 0 <= parts[0] <= 100 and all(-128 <= part <= 127 for part in parts[1:])):  # noqa: PLR2004 CIE
        raise DerivedObjectError("color_lab is L* from 0 to 100, and a* and b* from -128 to 127: change it")


def _require_structure(name: str, code: Code) -> None:
    """Refuses a concept that has the name but is not a structure, such as a direction or a quantity.

    Raises:
        DerivedObjectError: The concept is not a structure.
    """
    known = (*_STRUCTURE_CONTEXTS, *_PROPERTY_TYPES)
    is_qualifier = any(in_context(code, each) for each in _QUALIFIERS) and not in_context(code, _SIDES)
    is_structure = code.scheme in _STRUCTURE_SCHEMES and not is_qualifier
    if not (is_structure or any(in_context(code, each) for each in known)) or code.meaning.endswith(_NO_STRUCTURES):
        raise DerivedObjectError(
            f"no structure is called {name!r}: the concept of that name, {code.meaning!r} of {code.scheme}, is not a "
            "structure; say what the segment shows, or give a code: Code(value, scheme, meaning)"
        )


def _category_of(code: Code) -> Code:
    if code.value == _BACKGROUND:
        return _SPATIAL
    return next((category for context, category in _CATEGORIES if in_context(code, context)), ANATOMY)


def described(
    highdicom: Any, number: int, name: SegmentName, composite: Composite, options: SegmentationOptions
) -> Any:
    """Returns the item of SegmentSequence (0062,0002) for highdicom, without the side."""
    producer = composite.recipe.producer
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=options.algorithm_name or producer.service_name,
        family=code_of(find_code(options.algorithm_family, (7162,))),
        version=producer.version,
        source=producer.manufacturer,
    )
    color = highdicom.color.CIELabColor
    shown = color.from_rgb(*name.color_rgb) if name.color_rgb else color(*name.color_lab) if name.color_lab else None
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name.label[:64],
        segmented_property_category=code_of(name.category),
        segmented_property_type=code_of(name.code),
        algorithm_type=options.algorithm_type,
        algorithm_identification=None if options.algorithm_type == "MANUAL" else algorithm,
        tracking_uid=composite.uids.other(f"tracking {name.label}"),
        tracking_id=name.label[:64],
        display_color=shown,
        anatomic_regions=None if name.region is None else [code_of(name.region)],
    )

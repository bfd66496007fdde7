"""Checks masks and label maps before an object is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dcm_processor_service.derived.terminology.structures import find_structure, label_names
from dcm_processor_service.errors import DerivedObjectError, UnsupportedValueError
from dcm_processor_service.models.derived import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.derived.placement import Placement

__all__ = ["chosen_labels", "holds_fractions", "require_one_grid", "whole_numbers"]

_SAME_PLACE_MM = 1e-3
_MOST_NAMED = 10


def whole_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """Returns a label map as integers.

    Raises:
        DerivedObjectError: The label map holds fractions, NaN or infinity, or is not of numbers.
    """
    if array.dtype.kind in "bui":
        return array.astype(np.uint8) if array.dtype.kind == "b" else array
    if array.dtype.kind != "f" or not np.isfinite(array).all() or (array != (whole := array.astype(np.int64))).any():
        raise DerivedObjectError("the label map holds fractions or values that are not numbers: give whole numbers")
    return whole


def chosen_labels(array: NDArray[Any], labels: Mapping[int, Code | str] | str) -> Mapping[int, Code | str]:
    """Returns the names of the labels that become structures.

    Args:
        array: A label map, whole numbers.
        labels: Names by label, or the name of a model's table of labels.

    Raises:
        DerivedObjectError: The label map holds negative numbers, a label is below 1, or none has a name.
    """
    low = int(array.min())
    if low < 0:
        raise DerivedObjectError(f"the label map holds {low}, and labels are 0 or more: check how it was made")
    if not isinstance(labels, str):
        _require_names(labels)
    chosen = labels if not isinstance(labels, str) else _occurring(array, label_names(labels))
    wrong = [label for label in chosen if label < 1]
    if not chosen or wrong:
        raise DerivedObjectError(f"labels are counted from 1, and at least one needs a name; given: {sorted(chosen)}")
    return chosen


def _require_names(labels: object) -> None:
    """Refuses ``labels`` that do not map each label to a name or code, such as a mapping of names to labels.

    Raises:
        DerivedObjectError: ``labels`` are no such mapping.
    """
    pairs = labels.items() if isinstance(labels, Mapping) else [(None, None)]
    for label, name in pairs:
        if not isinstance(label, (int, np.integer)) or not isinstance(name, (str, Code)):
            raise DerivedObjectError("labels are names, or codes, by whole number, and these are not: {1: 'liver'}")


def _occurring(array: NDArray[Any], names: Mapping[int, str]) -> dict[int, Code | str]:
    """Returns the labels of a model that occur in the label map, with their names."""
    occur = set(np.flatnonzero(np.bincount(array.ravel(order="K"))).tolist()) - {0}
    unknown = sorted(occur - names.keys())
    if unknown:
        raise DerivedObjectError(
            f"the table has no names for the labels {unknown[:10]}: take the table of the task that made the label map"
        )
    if not occur:
        raise DerivedObjectError("the label map is empty: give the names of the labels that were looked for, by label")
    chosen: dict[int, Code | str] = {label: name for label, name in names.items() if label in occur}
    _require_codes({label: names[label] for label in chosen})
    return chosen


def _require_codes(names: Mapping[int, str]) -> None:
    """Refuses labels of a model for which no terminology has a code, and lists them in one message.

    Raises:
        DerivedObjectError: There are labels without a code.
    """
    found = {label: find_structure(name) for label, name in names.items()}
    without = [label for label, structure in found.items() if structure is not None and structure.code is None]
    if without:
        named = ", ".join(f"{label} ({names[label]})" for label in without[:_MOST_NAMED])
        further = f" and {len(without) - _MOST_NAMED} more" if len(without) > _MOST_NAMED else ""
        raise DerivedObjectError(
            f"no public terminology has a code for the labels {named}{further}: give labels={{label: name or code}} "
            "with a code of your own for these, Code(value, scheme, meaning), and a scheme such as '99MYLAB'"
        )


def require_one_grid(placements: Sequence[Placement]) -> None:
    """Refuses masks on different grids.

    Raises:
        UnsupportedValueError: The masks lie on different grids.
    """
    first = placements[0]
    for other in placements[1:]:
        same = other.array.shape[:3] == first.array.shape[:3] and all(
            np.allclose(own, those, atol=_SAME_PLACE_MM)
            for own, those in ((other.affine_lps, first.affine_lps), (other.origins, first.origins))
        )
        if not same or other.frame_of_reference_uid != first.frame_of_reference_uid:
            raise UnsupportedValueError("the masks lie on different grids; resample them to one, or to the source's")


def holds_fractions(
    masks: Mapping[str, NDArray[Any]], kind: Literal["binary", "fractional", "labelmap"] | None = None
) -> bool:
    """Tells whether masks are to be stored as fractions.

    Args:
        masks: Arrays of the masks by name.
        kind: Kind that the caller asked for; None if it follows from the values.

    Raises:
        DerivedObjectError: There is no mask, or the values of a mask do not fit the kind.
    """
    if not masks:
        raise DerivedObjectError(
            "there are no segments: name each that was looked for, with an empty mask if not found"
        )
    for mask in masks.values():
        if 0 in mask.shape:
            raise DerivedObjectError(
                f"masks of shape {mask.shape} have no voxel: give (column, row, slice), each at least 1"
            )
    fractional = kind == "fractional"
    for name, mask in masks.items():
        if mask.dtype.kind not in "buif" or not mask.min() >= 0 or not mask.max() <= 1:
            raise DerivedObjectError(
                f"the mask of {name!r} holds values other than 0 to 1: give booleans, or masks_of() a label map"
            )
        if mask.dtype.kind == "f" and not np.isin(mask, (0, 1)).all():
            if kind in {"binary", "labelmap"}:
                raise DerivedObjectError(f"the mask of {name!r} holds fractions: threshold it, or make it fractional")
            fractional = True
    return fractional

"""The actions of the Basic Application Confidentiality Profile for each attribute (PS3.15, table E.1-1).

The table comes from dicom-anonymizer, which follows each edition of the standard. Its functions are not used: they stop
at the top level of a dataset, empty the sequences that hold references, and keep one list of UIDs for a whole process.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from dcm_processor_service.errors import ConfigurationError

__all__ = ["CHARACTERISTICS", "DESCRIPTIONS", "EDITION", "Action", "Kept", "Profile", "confidentiality_profile"]

EDITION = "2026c"
"""Edition of the standard whose table is used."""

Kept: TypeAlias = Literal["characteristics", "descriptions"]
"""What an option of the profile keeps: the patient's age, sex, size and weight, or descriptions of the procedure."""

CHARACTERISTICS = frozenset({"PatientAge", "PatientSex", "PatientSize", "PatientWeight"})
"""Attributes that the Retain Patient Characteristics Option keeps here (PS3.15, E.3.7)."""

DESCRIPTIONS = frozenset(
    {
        "AcquisitionProtocolDescription",
        "PerformedProcedureStepDescription",
        "ProtocolName",
        "RequestedProcedureDescription",
        "SeriesDescription",
        "StudyDescription",
    }
)
"""Attributes that the Clean Descriptors Option keeps here, without known values of the patient (PS3.15, E.3.5)."""

_FREE_TEXT = (0x0040, 0xA160)
"""TextValue is not in the table, which replaces ContentSequence as a whole; a pull cleans the sequence's items."""


class Action(Enum):
    """What the profile does with an attribute."""

    REMOVE = "X"
    EMPTY = "Z"
    REPLACE = "D"
    REFERENCES = "U"
    """Replaces UIDs, each by the same substitute everywhere; in a sequence, the UIDs of its items."""


class _Range(NamedTuple):
    group: int
    element: int
    group_mask: int
    element_mask: int


class Profile:
    """The action for each attribute, by tag."""

    def __init__(self, actions: dict[tuple[int, int], Action], ranges: list[_Range]) -> None:
        self._actions = actions
        self._ranges = ranges

    def action(self, group: int, element: int) -> Action | None:
        """Returns the action for the attribute (group,element); None for an attribute that stays."""
        found = self._actions.get((group, element))
        if found is None and any(
            group & one.group_mask == one.group and element & one.element_mask == one.element for one in self._ranges
        ):
            return Action.REMOVE
        return found


_CATEGORIES = {
    "D_TAGS": Action.REPLACE,
    "Z_TAGS": Action.EMPTY,
    "X_TAGS": Action.REMOVE,
    "U_TAGS": Action.REFERENCES,
    "Z_D_TAGS": Action.REPLACE,
    "X_Z_TAGS": Action.EMPTY,
    "X_D_TAGS": Action.REPLACE,
    "X_Z_D_TAGS": Action.REPLACE,
    "X_Z_U_STAR_TAGS": Action.REFERENCES,
}
"""The action for each list of the table; where the table leaves a choice, the action that keeps any object valid."""


@lru_cache(maxsize=1)
def confidentiality_profile() -> Profile:
    """Returns the actions of the table.

    Raises:
        ConfigurationError: The library that holds the table is not installed.

    Example:
        >>> profile = confidentiality_profile()
        >>> profile.action(0x0010, 0x0010), profile.action(0x0028, 0x0010)
        (<Action.EMPTY: 'Z'>, None)
    """
    try:
        from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

        table = dicom_anonymization_database_selector(f"dicomfields_{EDITION}")
    except (ImportError, ValueError) as error:  # a version without this edition raises the latter
        raise ConfigurationError(
            f"a session is pulled without the patient by the profile of PS3.15, whose table of {EDITION} is not "
            "installed; pip install 'dcm-processor-service[deid]'"
        ) from error
    actions: dict[tuple[int, int], Action] = {_FREE_TEXT: Action.REPLACE}
    ranges: list[_Range] = []
    for category, action in _CATEGORIES.items():
        for tag in table[category]:
            if len(tag) > 2:  # noqa: PLR2004  a tag has two parts, a range of repeating groups two masks as well
                group, element, group_mask, element_mask = tag
                ranges.append(_Range(group & group_mask, element & element_mask, group_mask, element_mask))
            else:
                actions[tag] = action
    return Profile(actions, ranges)

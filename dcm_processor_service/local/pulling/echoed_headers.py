"""Lists the attributes that a pull removes from headers; session data may repeat them under keys of the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from dcm_processor_service.local.pulling.confidentiality_profile import Profile

__all__ = ["removed_keywords"]

_SUBSTITUTED = frozenset({"PatientID", "PatientName"})
_PATIENT = 0x0010
"""The group of DICOM attributes whose dates and times are removed. Dates of other groups are moved, or stay."""


def removed_keywords(profile: Profile, kept: Collection[str]) -> frozenset[str]:
    """Returns the keywords of the attributes whose values are removed from headers.

    Args:
        profile: The table.
        kept: Keywords that an option of the profile keeps.
    """
    from pydicom.datadict import dictionary_VR, keyword_dict

    found = set()
    for keyword, tag in keyword_dict.items():
        group, element, vr = tag >> 16, tag & 0xFFFF, dictionary_VR(tag)
        moved = vr in {"SQ", "UI"} or (vr in {"DA", "DT", "TM"} and group != _PATIENT)
        if keyword and not moved and profile.action(group, element):
            found.add(keyword)
    return frozenset(found - _SUBSTITUTED - set(kept))

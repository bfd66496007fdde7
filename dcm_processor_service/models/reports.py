"""Options of reports besides their content: title, observer, language."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.keywords import refuses_unknown_keywords

if TYPE_CHECKING:
    from dcm_processor_service.models.derived import Code

__all__ = ["ENGLISH", "PersonObserver", "ReportOptions"]

ENGLISH = "en"
_LONGEST_NAME = 64
_PERSON_NAME = re.compile(r"[^\\\x00-\x1f\x7f=^]+(\^[^\\\x00-\x1f\x7f=^]*){0,4}")


@refuses_unknown_keywords
@dataclass(frozen=True)
class PersonObserver:
    """A person who observed what a report says, in place of the service (PS3.16, TID 1003).

    The report names who looked at the images. This is not a signature: the report stays unverified.

    Raises:
        UnsupportedValueError: The name is not a person's name as DICOM writes it, or the organization or login holds
            control characters.

    Example:
        >>> PersonObserver("Rossi^Anna", organization="General Hospital")
        PersonObserver(organization='General Hospital')
    """

    name: str = field(repr=False)
    """``family^given^middle^prefix^suffix``, at most 64 characters (PS3.5, section 6.2.1)."""

    organization: str = ""

    login: str = field(default="", repr=False)
    """The person's name in the system that was used."""

    def __post_init__(self) -> None:
        """Refuses a name, organization or login that DICOM cannot hold.

        Raises:
            UnsupportedValueError: One of the three is unusable; see :class:`PersonObserver`.
        """
        if len(self.name) > _LONGEST_NAME or not _PERSON_NAME.fullmatch(self.name):
            raise UnsupportedValueError(
                "the observer's name is not a person's name: give family^given^middle^prefix^suffix, at most 64 "
                "characters, without '\\' and '='"
            )
        if not (self.organization + self.login).isprintable():
            raise UnsupportedValueError("the observer's organization or login holds control characters: take them out")


@dataclass(frozen=True)
class ReportOptions:
    """Arguments of ``text_report`` and ``measurement_report`` of ``derive``, which explain them.

    Example:
        >>> ReportOptions("Diagnostic imaging report").language
        'en'
    """

    title: Code | str
    observer: PersonObserver | None = None
    language: Code | str = ENGLISH

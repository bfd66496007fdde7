"""Refuses a UID of several subjects: the platform stores a study twice if two peers send it; no store may choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.errors import AmbiguousSeriesError
from dcm_processor_service.models import SubjectLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COPIES_SHOWN", "refuse_copies"]

COPIES_SHOWN = 5


def refuse_copies(level: SubjectLevel, uid: str, ids: Sequence[str]) -> None:
    """Raises if several subjects have a UID.

    Raises:
        AmbiguousSeriesError: There is more than one id; the message lists the ids, by which one can be chosen.
    """
    if len(ids) > 1:
        whose = "that identity" if level is SubjectLevel.PATIENT else f"the UID {uid}"
        raise AmbiguousSeriesError(
            f"{len(ids)} documents of a {level.value} have {whose}, as several peers sent it; name one by its id: "
            f"{', '.join(ids)}"
        )

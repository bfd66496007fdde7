"""Refuses a UID that several subjects have: if two peers send a study, the platform stores it twice under one UID."""

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
        AmbiguousSeriesError: There is more than one id; the message lists the ids, so that the caller can choose one.
    """
    if len(ids) > 1:
        whose = "that identity" if level is SubjectLevel.PATIENT else f"the UID {uid}"
        raise AmbiguousSeriesError(
            f"{len(ids)} documents of a {level.value} have {whose}, since several peers sent it; give the id of one: "
            f"{', '.join(ids)}"
        )

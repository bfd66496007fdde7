"""One UID, several subjects: the platform files what two peers sent twice, and no store picks one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.errors import AmbiguousSeriesError
from dcm_processor_service.models import SubjectLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COPIES_SHOWN", "refuse_copies"]

COPIES_SHOWN = 5


def refuse_copies(level: SubjectLevel, uid: str, ids: Sequence[str]) -> None:
    """Refuses a UID that stands for several subjects.

    Raises:
        AmbiguousSeriesError: There is more than one id; the message has them, for an id is unique.
    """
    if len(ids) > 1:
        whose = "that identity" if level is SubjectLevel.PATIENT else f"the UID {uid}"
        raise AmbiguousSeriesError(
            f"{len(ids)} documents of a {level.value} have {whose}, as several peers sent it; name one by its id: "
            f"{', '.join(ids)}"
        )

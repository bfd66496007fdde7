"""Results of fetching instances from a peer."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FetchOutcome", "FetchRecord", "FetchReport"]

_UIDS_SHOWN = 3


class FetchOutcome(str, Enum):
    """How the fetching of one instance ended."""

    FETCHED = "fetched"
    MISSING = "missing"
    FAILED = "failed"
    REJECTED = "rejected"


class FetchRecord(BaseModel):
    """The result of fetching one instance.

    ``missing`` means that the peer listed the instance and did not send it, ``failed`` that the peer said it could not
    send it, ``rejected`` that the received instance was discarded, because it is damaged or was not asked for. If the
    peer stated only the number of instances, the record of a missing one has no SOPInstanceUID.

    Example:
        >>> FetchRecord(sop_instance_uid="1.2.3", outcome="missing", meaning="the peer did not send it").path
        ''
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = Field(default="", description="Empty where the peer stated only how many there are")
    sop_class_uid: str = ""
    outcome: FetchOutcome = FetchOutcome.MISSING
    meaning: str = Field(default="", description="Why it is missing, or what is unusual about it")
    path: str = Field(default="", repr=False, description="The file, as it was received")
    transfer_syntax_uid: str = Field(default="", description="Transfer syntax that it was received in")
    size_bytes: int = 0
    retryable: bool = Field(default=False, description="Not fetched, and asking again may help")


class FetchReport(BaseModel):
    """One record for each instance that the peer listed or sent, series by series.

    Example:
        >>> here = FetchRecord(sop_instance_uid="1.2.3", outcome="fetched")
        >>> gone = FetchRecord(sop_instance_uid="1.2.4", outcome="missing", meaning="the peer did not send it")
        >>> report = FetchReport(peer="PACS@127.0.0.1:104", method="C-GET", records=(here, gone))
        >>> report.ok, report.fetched
        (False, 1)
        >>> print(report)
        1 of 2 instances fetched from PACS@127.0.0.1:104 by C-GET
          1 missing: the peer did not send it (1.2.4)
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    peer: str = Field(default="", description="The peer as AET@HOST:PORT, or its URL")
    method: str = Field(default="", description="C-GET, C-MOVE or WADO-RS")
    records: tuple[FetchRecord, ...] = ()
    duration_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every instance that the peer listed was fetched."""
        return not self.not_fetched

    @property
    def fetched(self) -> int:
        """How many instances were fetched."""
        return len(self.records) - len(self.not_fetched)

    @property
    def not_fetched(self) -> tuple[FetchRecord, ...]:
        """The records of instances that were not fetched."""
        return tuple(record for record in self.records if record.outcome is not FetchOutcome.FETCHED)

    @property
    def retryable(self) -> bool:
        """Whether instances were not fetched, and asking again may help for every one of them."""
        return not self.ok and all(record.retryable for record in self.not_fetched)

    def count(self, outcome: FetchOutcome) -> int:
        """Counts the records of one outcome."""
        return sum(record.outcome is outcome for record in self.records)

    def __str__(self) -> str:
        total = len(self.records)
        first = f"{self.fetched} of {total} instance{'' if total == 1 else 's'} fetched from {self.peer or 'the peer'}"
        if self.method:
            first += f" by {self.method}"
        if self.duration_s:
            first += f" in {self.duration_s:.1f} s"
        return "\n".join([first, *self._remarks()])

    def _remarks(self) -> list[str]:
        """Returns a line for each outcome and meaning that a user should see, most frequent first."""
        kinds: dict[tuple[str, str], list[str]] = {}
        for record in self.records:
            if record.outcome is not FetchOutcome.FETCHED or record.meaning:
                kinds.setdefault((record.outcome.value, record.meaning), []).append(record.sop_instance_uid)
        lines = []
        for (outcome, meaning), count in Counter({kind: len(uids) for kind, uids in kinds.items()}).most_common():
            known = [uid for uid in kinds[outcome, meaning] if uid]
            examples = (
                f" ({', '.join(known[:_UIDS_SHOWN])}{', …' if len(known) > _UIDS_SHOWN else ''})" if known else ""
            )
            lines.append(f"  {count} {outcome}{': ' if meaning else ''}{meaning}{examples}")
        return lines

"""Results of sending instances, of a C-ECHO, and of asking a peer what it accepts."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from enum import Enum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.hypertext import Html, chip, element, join, notebook, table
from dcm_processor_service.models.files import LeftOutFile, left_out_sentences

__all__ = ["AcceptedContext", "EchoResult", "InstanceRecord", "Outcome", "SendReport"]

_UIDS_SHOWN = 3
_MOST_SHOWN = 200
_STORED = "stored"


class Outcome(str, Enum):
    """How the sending of one instance ended."""

    STORED = "stored"
    STORED_WITH_WARNING = "stored_with_warning"
    VERIFIED = "verified"
    COMMITTED = "committed"
    REFUSED = "refused"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"

    @property
    def acknowledged(self) -> bool:
        """Whether the peer said that it holds the instance, so that it need not be sent again.

        Example:
            >>> Outcome.STORED_WITH_WARNING.acknowledged, Outcome.FAILED.acknowledged
            (True, False)
        """
        return self in {Outcome.STORED, Outcome.STORED_WITH_WARNING, Outcome.VERIFIED, Outcome.COMMITTED}


_BEST = frozenset({Outcome.VERIFIED, Outcome.COMMITTED})


class InstanceRecord(BaseModel):
    """The result of sending one instance.

    ``verified`` means that the peer listed the instance when it was asked after the sending, ``committed`` that it
    promised to keep it. ``refused`` means that the peer said no and will say no again. ``failed`` means that it did not
    acknowledge the instance, or does not hold it after all, or was out of resources even at the last attempt, or that
    the instance could not be read here. ``retryable`` says whether sending again may help.

    Example:
        >>> record = InstanceRecord(sop_instance_uid="1.2.3", outcome="refused", status=0x0122)
        >>> record.status_hex, record.outcome.acknowledged
        ('0122', False)
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    sop_class_uid: str = ""
    sop_instance_uid: str = Field(default="", description="Empty when the item could not be read")
    path: str = Field(default="", repr=False, description="Path of a file that could not be read")
    outcome: Outcome = Outcome.NOT_ATTEMPTED
    status: int | None = Field(
        default=None, description="The peer's status code (PS3.4, B.2.3); None without an answer"
    )
    meaning: str = Field(default="", description="What the status means, or why there is none, and what to do")
    transfer_syntax_uid: str = Field(default="", description="Transfer syntax that the instance was sent in")
    checksum: str = Field(
        default="", description="Digest of the data set as it was sent, which shows a later change; or empty"
    )
    transcoded_from: str = Field(default="", description="The instance's own transfer syntax, where it was converted")
    retryable: bool = Field(default=False, description="Not stored, and sending it again as it is may help")
    attempts: int = 0
    duration_s: float = 0.0
    completed_at: datetime | None = Field(default=None, description="When the peer answered, UTC")

    @property
    def status_hex(self) -> str:
        """The status as the standard writes it: four hexadecimal digits; empty without a status."""
        return "" if self.status is None else f"{self.status:04X}"


class SendReport(BaseModel):
    """The results of a sending: one record for each instance, in the given order, and the files that are not instances.

    In a folder, files that are not DICOM, hidden ones, a DICOMDIR, and a second file of the same instance are
    ``left_out``, which is not a failure. A damaged DICOM file, or one that cannot be opened, has a record: ``failed``.

    Example:
        >>> stored = InstanceRecord(sop_instance_uid="1.2.3", outcome="stored")
        >>> refused = InstanceRecord(sop_instance_uid="1.2.4", outcome="refused", status=0x0122, meaning="no")
        >>> report = SendReport(peer="ORTHANC@127.0.0.1:4242", records=(stored, refused))
        >>> report.ok, report.stored, report.count(Outcome.REFUSED)
        (False, 1, 1)
        >>> print(report)
        1 of 2 instances stored at ORTHANC@127.0.0.1:4242
          1 refused: 0122 no (1.2.4)
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    peer: str = Field(default="", description="The peer as AET@HOST:PORT")
    records: tuple[InstanceRecord, ...] = ()
    left_out: tuple[LeftOutFile, ...] = ()
    duration_s: float = 0.0
    transaction_uid: str = Field(default="", description="UID of the storage commitment, where one was asked for")
    unmet: tuple[str, ...] = Field(
        default=(), description="Requests besides storing that were not met, such as a commitment"
    )

    @property
    def ok(self) -> bool:
        """Whether every instance is stored, and verified or committed where that was asked for."""
        return not self.unmet and all(record.outcome.acknowledged for record in self.records)

    @property
    def retryable(self) -> bool:
        """Whether instances are not stored, and sending them again unchanged may help for every one of them.

        Example:
            >>> busy = InstanceRecord(sop_instance_uid="1.2.3", outcome="failed", status=0xA700, retryable=True)
            >>> no = InstanceRecord(sop_instance_uid="1.2.4", outcome="refused", status=0x0122)
            >>> SendReport(records=(busy,)).retryable, SendReport(records=(busy, no)).retryable
            (True, False)
        """
        return not self.ok and not self.unmet and all(record.retryable for record in self.not_stored)

    @property
    def stored(self) -> int:
        """How many instances the peer holds: stored, stored with a warning, verified, or committed."""
        return sum(record.outcome.acknowledged for record in self.records)

    @property
    def not_stored(self) -> tuple[InstanceRecord, ...]:
        """The records of instances that the peer does not hold."""
        return tuple(record for record in self.records if not record.outcome.acknowledged)

    @property
    def transcoded(self) -> int:
        """How many instances went in another transfer syntax than their own."""
        return sum(bool(record.transcoded_from) for record in self.records)

    def count(self, outcome: Outcome) -> int:
        """Counts the records of one outcome."""
        return sum(record.outcome is outcome for record in self.records)

    def _repr_html_(self) -> str:
        return notebook(sending_html(self))

    def __str__(self) -> str:
        total = len(self.records)
        first = f"{self.stored} of {total} instance{'' if total == 1 else 's'} stored at {self.peer or 'the peer'}"
        if self.duration_s:
            first += f" in {self.duration_s:.1f} s"
        if self.transcoded:
            first += f", {self.transcoded} transcoded"
        unmet = [f"  {one} was asked for and not given" for one in self.unmet]
        return "\n".join(
            [first, *unmet, *self._remarks(), *(f"  {line}" for line in left_out_sentences(self.left_out))]
        )

    def _remarks(self) -> list[str]:
        """Returns a line for each outcome and meaning that a user should see, most frequent first."""
        kinds: dict[tuple[str, str, str], list[str]] = {}
        for record in self.records:
            plain = record.outcome is Outcome.STORED and record.meaning in {"", _STORED}
            if not plain and not (record.outcome in _BEST and record.meaning in {"", _STORED}):
                kind = (record.outcome.value.replace("_", " "), record.status_hex, record.meaning)
                kinds.setdefault(kind, []).append(record.sop_instance_uid)
        lines = []
        for kind, count in Counter({kind: len(uids) for kind, uids in kinds.items()}).most_common():
            outcome, status, meaning = kind
            reason = " ".join(part for part in (status, meaning) if part)
            known = [uid for uid in kinds[kind] if uid]
            examples = ", ".join(known[:_UIDS_SHOWN]) + (", …" if len(known) > _UIDS_SHOWN else "")
            lines.append(
                f"  {count} {outcome}" + (f": {reason}" if reason else "") + (f" ({examples})" if known else "")
            )
        return lines


def sending_html(report: SendReport) -> Html:
    """Returns the result of each instance as HTML, for the page of a run and for a notebook."""
    head, *remarks = str(report).splitlines()
    state = chip("stored", "ok") if report.ok else chip("not all stored", "warn" if report.retryable else "bad")
    rows = [
        [
            element("code", record.sop_instance_uid or "unreadable"),
            chip(record.outcome.value.replace("_", " "), "ok" if record.outcome.acknowledged else "bad"),
            " ".join(part for part in (record.status_hex, record.meaning) if part),
            str(record.attempts),
        ]
        for record in report.records[:_MOST_SHOWN]
    ]
    hidden = len(report.records) - len(rows)
    notes = [element("p", remark.strip(), class_="soft") for remark in remarks]
    if hidden > 0:
        notes.append(element("p", f"{hidden} more instances are not listed here", class_="soft"))
    listed = [table(["SOPInstanceUID", "outcome", "answer", "attempts"], rows, right=[3])] if rows else []
    return join([element("p", head, " ", state), *listed, *notes])


class EchoResult(BaseModel):
    """The result of a C-ECHO.

    Example:
        >>> print(EchoResult(peer="PACS@127.0.0.1:104", ok=False, reason="nothing listens there"))
        PACS@127.0.0.1:104 does not answer: nothing listens there
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    peer: str
    ok: bool
    status: int | None = None
    reason: str = Field(default="", description="Why it failed, and what to do")
    connect_s: float = Field(default=0.0, description="Seconds until the association was open")
    echo_s: float = Field(default=0.0, description="Seconds from the request to its answer")

    def __str__(self) -> str:
        if not self.ok:
            return f"{self.peer} does not answer: {self.reason}"
        return f"{self.peer} answers: association in {self.connect_s * 1e3:.1f} ms, echo in {self.echo_s * 1e3:.1f} ms"


class AcceptedContext(BaseModel):
    """Whether a peer accepts one kind of object, and in which transfer syntaxes.

    Example:
        >>> AcceptedContext(sop_class_uid="1.2.840.10008.5.1.4.1.1.2", name="CT Image Storage").accepted
        False
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    sop_class_uid: str
    name: str = ""
    transfer_syntax_uids: tuple[str, ...] = ()
    reason: str = Field(default="", description="Why nothing was accepted")

    @property
    def accepted(self) -> bool:
        """Whether the peer accepts such objects in at least one transfer syntax."""
        return bool(self.transfer_syntax_uids)

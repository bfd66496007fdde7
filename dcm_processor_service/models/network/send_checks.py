"""Results of a check, which tells whether instances can be sent and sends none."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.models.files import LeftOutFile, left_out_sentences

__all__ = ["CheckedInstance", "SendCheck", "Verdict"]


class Verdict(str, Enum):
    """Whether one instance can be sent, and how.

    Example:
        >>> Verdict.CONVERTED.can_be_sent, Verdict.UNSOUND.can_be_sent
        (True, False)
    """

    AS_IT_IS = "as_it_is"
    CONVERTED = "converted"
    NOT_TAKEN = "not_taken"
    UNSOUND = "unsound"

    @property
    def can_be_sent(self) -> bool:
        """Whether the peer accepts the instance, in the instance's own transfer syntax or in another."""
        return self in {Verdict.AS_IT_IS, Verdict.CONVERTED}


class CheckedInstance(BaseModel):
    """Whether one instance can be sent, and why not.

    ``unsound`` means that it is damaged, cut off or unreadable, or contradicts its own header. ``not_taken`` means that
    the peer refuses its SOP class, or every transfer syntax in which it could be sent.

    Example:
        >>> CheckedInstance(verdict="converted", transfer_syntax_uid="1.2.840.10008.1.2").verdict.can_be_sent
        True
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    verdict: Verdict
    sop_class_uid: str = ""
    sop_instance_uid: str = Field(default="", description="Empty when the item could not be read")
    path: str = Field(default="", repr=False, description="Path of a file that cannot be sent")
    meaning: str = Field(default="", description="Why it cannot be sent, or what is unusual about it")
    transfer_syntax_uid: str = Field(default="", description="Transfer syntax that it would be sent in")
    has_meta_information: bool = Field(default=True, description="The file has a preamble and file meta information")


class SendCheck(BaseModel):
    """The results of a check: one record for each instance, in the given order, and the files that are not instances.

    Example:
        >>> check = SendCheck(peer="PACS@127.0.0.1:104", records=(CheckedInstance(verdict="unsound", meaning="empty"),))
        >>> check.ok
        False
        >>> print(check)
        0 of 1 instance can be sent to PACS@127.0.0.1:104
          1 unsound: empty
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    peer: str = Field(default="", description="The peer as AET@HOST:PORT")
    records: tuple[CheckedInstance, ...] = ()
    left_out: tuple[LeftOutFile, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every instance can be sent."""
        return all(record.verdict.can_be_sent for record in self.records)

    def count(self, verdict: Verdict) -> int:
        """Counts the records of one verdict."""
        return sum(record.verdict is verdict for record in self.records)

    def __str__(self) -> str:
        total, good = len(self.records), sum(record.verdict.can_be_sent for record in self.records)
        lines = [f"{good} of {total} instance{'' if total == 1 else 's'} can be sent to {self.peer}"]
        if converted := self.count(Verdict.CONVERTED):
            lines.append(f"  {converted} converted for it")
        kinds: dict[tuple[str, str], int] = {}
        for record in self.records:
            if not record.verdict.can_be_sent:
                kind = record.verdict.value.replace("_", " "), record.meaning
                kinds[kind] = kinds.get(kind, 0) + 1
        lines += [f"  {count} {verdict}: {meaning}" for (verdict, meaning), count in kinds.items()]
        return "\n".join([*lines, *(f"  {line}" for line in left_out_sentences(self.left_out))])

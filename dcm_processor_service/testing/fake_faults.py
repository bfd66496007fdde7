"""What an archive for tests does wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Faults"]


@dataclass(frozen=True)
class Faults:
    """What the archive does wrong; nothing by default.

    Example:
        >>> from dcm_processor_service.testing import FakePacs, fake_context, synthetic_series
        >>> ctx = fake_context(series=synthetic_series(slices=3))
        >>> with FakePacs(Faults(status=0xB007, status_times=1)) as pacs:
        ...     report = ctx.session.dicom.send(ctx.session.dicom.get_series(), to=pacs.peer)
        >>> [record.outcome.value for record in report.records]
        ['stored_with_warning', 'stored', 'stored']
    """

    refuse_classes: Collection[str] = ()
    """SOP classes whose presentation contexts are refused."""
    accept_syntaxes: Sequence[str] | None = None
    """The only transfer syntaxes that are accepted, in the order of its liking; None accepts the usual ones."""
    status: int = 0x0000
    """What a C-STORE is answered with; a failure is not kept."""
    status_after: int = 0
    """How many instances are stored before that begins."""
    status_times: int | None = None
    """How many instances are answered so; None means all."""
    abort_after: int | None = None
    """How many instances arrive before the association is aborted, in place of an answer."""
    abort_times: int = 1
    """How often that happens; each time counts anew."""
    abort_on: Collection[str] = ()
    """SOPInstanceUIDs that make it abort whenever they arrive."""
    keep_aborted: bool = False
    """What is aborted is stored nevertheless: only its acknowledgement is lost."""
    delay_s: float = 0.0
    """How long each answer takes."""
    reject: tuple[int, int, int] | None = None
    """Result, source and reason with which associations are rejected (PS3.8, table 9-21)."""
    reject_times: int | None = None
    """How many associations are rejected; None means all."""
    most_associations: int | None = None
    """How many associations it has at once; further ones are rejected."""
    check_titles: bool = False
    """Rejects who calls it by another title than its own."""
    calling_ae_titles: Sequence[str] = ()
    """Rejects who calls itself otherwise; empty accepts everyone."""
    duplicates: int = 0x0000
    """What a second instance of a SOPInstanceUID is answered with, such as 0x0111."""
    forgets: Collection[str] = ()
    """SOPInstanceUIDs that it acknowledges and does not keep."""
    keeps_first: bool = False
    """It acknowledges a second instance of a SOPInstanceUID, and keeps the first."""
    query: Literal["ok", "fail", "none"] = "ok"
    """What comes of a C-FIND; ``none`` does not offer it."""
    refuses_levels: Collection[str] = ()
    """Levels at which it cannot be asked, such as ``IMAGE``."""
    ignores_keys: Collection[str] = ()
    """Keywords of keys that it does not match."""
    untold_keys: Collection[str] = ()
    """Keywords of keys that it neither matches nor tells."""
    retrieve: Collection[str] = ("c-get", "c-move")
    """What it offers to send by."""
    retrieve_status: int = 0x0000
    """What a C-GET or C-MOVE ends with; nothing is sent then."""
    withholds: Collection[str] = ()
    """SOPInstanceUIDs that it lists and does not send."""
    alters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Other values for attributes, by SOPInstanceUID and keyword, in what it sends."""
    drop_after: int | None = None
    """How many instances it sends before it drops the association or connection."""
    drop_times: int = 1
    """How often that happens; each time counts anew."""
    commitment: Literal["ok", "fail", "silent", "none"] = "ok"
    """What comes of a request for storage commitment; ``none`` does not offer it."""
    commitment_port: int | None = None
    """Where the answer goes to over a new association; None answers over the same one."""
    commitment_retries: bool = False
    """Whether it tries again until the answer is taken; otherwise it tries once."""

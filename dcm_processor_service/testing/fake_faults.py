"""The faults of an archive for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Faults"]


@dataclass(frozen=True)
class Faults:
    """The faults of a :class:`FakePacs`; none by default.

    Example:
        >>> from dcm_processor_service.testing import FakePacs, fake_context, synthetic_series
        >>> ctx = fake_context(series=synthetic_series(slices=3))
        >>> with FakePacs(Faults(status=0xB007, status_times=1)) as pacs:
        ...     report = ctx.session.dicom.send(ctx.session.dicom.get_series(), to=pacs.peer)
        >>> [record.outcome.value for record in report.records]
        ['stored_with_warning', 'stored', 'stored']
    """

    refuse_classes: Collection[str] = ()
    """SOP classes whose presentation contexts the archive refuses."""
    accept_syntaxes: Sequence[str] | None = None
    """The only transfer syntaxes that the archive accepts, preferred ones first; None accepts the usual ones."""
    status: int = 0x0000
    """The status of the answer to a C-STORE; with a failure the instance is not kept."""
    status_after: int = 0
    """The number of instances that are stored before the archive answers with ``status``."""
    status_times: int | None = None
    """The number of instances that get ``status``; None means all."""
    abort_after: int | None = None
    """The number of instances that are answered; the next one makes the archive abort the association."""
    abort_times: int = 1
    """How often the archive aborts in this way; the count of instances restarts each time."""
    abort_on: Collection[str] = ()
    """SOPInstanceUIDs that make the archive abort whenever they arrive."""
    keep_aborted: bool = False
    """Whether the instance at an abort is stored nevertheless, so that only its acknowledgement is lost."""
    delay_s: float = 0.0
    """How long the archive waits before each answer, in seconds."""
    reject: tuple[int, int, int] | None = None
    """Result, source and reason with which associations are rejected (PS3.8, table 9-21)."""
    reject_times: int | None = None
    """How many associations are rejected; None means all."""
    most_associations: int | None = None
    """The most associations at a time; the archive rejects further ones."""
    check_titles: bool = False
    """Whether the archive rejects callers that use another called AE title than its own."""
    calling_ae_titles: Sequence[str] = ()
    """The calling AE titles that the archive accepts; empty accepts all."""
    duplicates: int = 0x0000
    """The status of the answer to a second instance of one SOPInstanceUID, such as 0x0111."""
    forgets: Collection[str] = ()
    """SOPInstanceUIDs that the archive acknowledges and does not keep."""
    keeps_first: bool = False
    """Whether the archive acknowledges a second instance of one SOPInstanceUID, and keeps the first."""
    query: Literal["ok", "fail", "none"] = "ok"
    """Whether a C-FIND succeeds or fails; with ``none`` the archive does not offer it."""
    refuses_levels: Collection[str] = ()
    """Query levels that the archive refuses, such as ``IMAGE``."""
    ignores_keys: Collection[str] = ()
    """Keywords of keys that the archive does not match."""
    untold_keys: Collection[str] = ()
    """Keywords of keys that the archive neither matches nor returns."""
    retrieve: Collection[str] = ("c-get", "c-move")
    """The services for retrieval that the archive offers."""
    retrieve_status: int = 0x0000
    """The final status of a C-GET or C-MOVE; unless it is 0, nothing is sent, and WADO-RS answers with HTTP 503."""
    withholds: Collection[str] = ()
    """SOPInstanceUIDs that the archive lists and does not send."""
    alters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Other values for attributes of sent instances, by SOPInstanceUID and keyword."""
    drop_after: int | None = None
    """How many instances the archive sends before it drops the association or connection."""
    drop_times: int = 1
    """How often the archive drops it in this way; the count of instances restarts each time."""
    commitment: Literal["ok", "fail", "silent", "none"] = "ok"
    """The answer to a request for storage commitment; with ``none`` the archive does not offer it."""
    commitment_port: int | None = None
    """The port to which the answer goes over a new association; None answers over the same association."""
    commitment_retries: bool = False
    """Whether the archive tries again until the answer is accepted; otherwise it tries once."""

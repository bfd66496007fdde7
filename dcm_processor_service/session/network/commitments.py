"""``session.dicom.commitments``: requests for storage commitment, and their answers, even in a later process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.errors import ConfigurationError, SendIncompleteError, SendRejectedError
from dcm_processor_service.models import InstanceRecord, Outcome, SendOptions, SendReport, StorageCommitment
from dcm_processor_service.ports import JobKey
from dcm_processor_service.ports.concurrency import run_inline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.session.network.commitment_store import CommitmentStore
    from dcm_processor_service.session.network.sending_tools import SendingTools

__all__ = ["AsyncCommitments", "Commitments"]


class AsyncCommitments:
    """Storage commitments, for asynchronous callbacks; :class:`Commitments` explains them.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context
        >>> asyncio.run(fake_async_context().session.dicom.commitments.list())
        []
    """

    def __init__(self, tools: SendingTools, store: CommitmentStore) -> None:
        self._tools = tools
        self._store = store

    async def wait(
        self, *, options: SendOptions | None = None, ask_again: bool = False, peer: str = ""
    ) -> list[StorageCommitment]:
        """Waits for the answers that are still missing; see :meth:`Commitments.wait`."""
        chosen = options or SendOptions()
        if chosen.listen_port is None and not ask_again:
            raise ConfigurationError(
                "a peer sends a late answer to the port that is configured for us at the peer: name this port with "
                "SendOptions(listen_port=…), or ask the peer again with ask_again=True"
            )
        states = {
            (one.job_id, one.sending): one
            for one in await self.list()
            if one.is_awaited(ask_again=ask_again) and peer in {"", one.peer.name}
        }
        if not states:
            return []
        run = self._tools.offload.way_back()

        def keep(commitment: StorageCommitment) -> None:
            run(self._store.put(JobKey(self._tools.jobs.key.session_id, commitment.job_id), commitment))
            states[commitment.job_id, commitment.sending] = commitment

        await self._tools.offload(
            lambda: self._tools.sender().wait_for_commitments(
                tuple(states.values()),
                options=chosen,
                ask_again=ask_again,
                on_commitment=keep,
                cancelled=lambda: self._tools.cancellation.requested,
            )
        )
        for one in states.values():
            if not one.is_open:
                self._tools.recording.add_sent(_report([one]))
        if chosen.check:
            _check(list(states.values()))
        return list(states.values())

    async def list(self) -> list[StorageCommitment]:
        """Lists the session's transactions; see :meth:`Commitments.list`."""
        job_ids = dict.fromkeys([*(job.id for job in await self._tools.jobs.list()), self._tools.jobs.key.job_id])
        found = [
            one for job_id in job_ids for one in await self._store.list(JobKey(self._tools.jobs.key.session_id, job_id))
        ]
        return sorted(found, key=lambda one: one.asked_at)


class Commitments:
    """Storage commitments (PS3.4, annex J) that this job, or another job of its session, requested from peers.

    The session stores each transaction before the request is sent, and keeps it, so that a late answer is matched to
    its instances even if the process that asked has ended.

    Example:
        >>> from dcm_processor_service import SendOptions
        >>> from dcm_processor_service.testing import FakePacs, Faults, fake_context, synthetic_series
        >>> dicom = fake_context(series=synthetic_series(slices=3)).session.dicom
        >>> later = SendOptions(commit=True, wait_for_commitment=False)
        >>> with FakePacs(Faults(commitment="silent")) as pacs:
        ...     _ = dicom.send(dicom.get_series(), to=pacs.peer, options=later)
        ...     before = [one.is_open for one in dicom.commitments.list()]
        ...     pacs.faults = Faults()
        ...     (settled,) = dicom.commitments.wait(ask_again=True)
        >>> before, settled.ok, settled.records[0].outcome.value
        ([True], True, 'committed')
    """

    def __init__(self, commitments: AsyncCommitments) -> None:
        self._async = commitments

    def wait(
        self, *, options: SendOptions | None = None, ask_again: bool = False, peer: str = ""
    ) -> list[StorageCommitment]:
        """Waits for the answers that are still missing, and stores them in the session as they arrive.

        A peer that answers late opens an association to the port that it has in its configuration for us. Some peers
        try only once, perhaps while nothing listens. ``ask_again`` starts a new transaction, which replaces the old
        one, for all instances that are not committed: those still open and those refused
        (:meth:`StorageCommitment.is_awaited`). The port uses TLS, with the peer's ``cert_file``, if the peer is reached
        over TLS.

        Args:
            options: ``commitment_timeout_s`` says how long to wait, and ``listen_port`` at which port to listen. With
                ``check=False``, missing and refused commitments are returned, and no error is raised for them.
            ask_again: Whether to ask the peers again first, including those that refused.
            peer: The name of the peer to wait for; empty means all.

        Returns:
            The transactions that were open or were asked again, in their present state; an empty list if there were
            none.

        Raises:
            SendRejectedError: A peer does not promise to keep every instance; SendIncompleteError if only answers are
                missing, so that waiting again may help.
            ConfigurationError: There is no ``listen_port`` and ``ask_again`` is False; or this process cannot listen at
                the port, or the peers need different TLS settings there.
        """
        return run_inline(self._async.wait(options=options, ask_again=ask_again, peer=peer))

    def list(self) -> list[StorageCommitment]:
        """Lists the transactions of the session's jobs, oldest first; ``is_open`` says which have no answer yet."""
        return run_inline(self._async.list())


def _check(commitments: Sequence[StorageCommitment]) -> None:
    unmet = [one for one in commitments if not one.ok]
    if not unmet:
        return
    kind = SendIncompleteError if all(one.is_open for one in unmet) else SendRejectedError
    raise kind("; ".join(str(one) for one in unmet), _report(commitments))


def _report(commitments: Sequence[StorageCommitment]) -> SendReport:
    records: list[InstanceRecord] = [record for one in commitments for record in one.records]
    given = all(record.outcome is Outcome.COMMITTED for record in records)
    return SendReport(
        peer=", ".join(dict.fromkeys(one.peer.address for one in commitments)),
        records=tuple(records),
        transaction_uid=commitments[0].transaction_uid if len(commitments) == 1 else "",
        unmet=() if given else ("storage commitment",),
    )

"""Waits for late answers to requests for storage commitment, often in another process than the one that asked.

The peer answers over an association that it opens to one of our ports. An answer is acknowledged only after it was
stored, so that the peer can send it again if storing it failed.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse.commitment import (
    HOLD_S,
    begun,
    listening_for_answers,
    request_commitment,
    settled,
)
from dcm_processor_service.dicom_network.dimse.tls import server_context
from dcm_processor_service.dicom_network.manners import suited_to
from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from pydicom import Dataset

    from dcm_processor_service.models import Peer, SendOptions, StorageCommitment

__all__ = ["LateAnswers"]

_LOOK_S = 0.2  # how often, in seconds, to check for a cancellation


class LateAnswers:
    """Writes answers into the transactions to which they belong, as they come.

    Args:
        options: The time-outs, and the port for answers.
        ae_title: Our AE title for peers without a ``calling_ae_title``.
        on_commitment: Called with each transaction that was answered, and with each new one before it is sent.
        timeout_s: Time-out for peers that do not answer, if neither options nor peer set one.
    """

    def __init__(
        self,
        options: SendOptions,
        ae_title: str,
        on_commitment: Callable[[StorageCommitment], None],
        *,
        timeout_s: float | None = None,
    ) -> None:
        self._options = options
        self._timeout_s = timeout_s
        self._ae_title = ae_title
        self._tell = on_commitment
        self._lock = threading.Lock()
        self._open: dict[str, StorageCommitment] = {}
        self._ends: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def wait(self, open_ones: Sequence[StorageCommitment], *, ask_again: bool, cancelled: Callable[[], bool]) -> None:
        """Waits until all transactions have answers, the time is over, or the wait is cancelled.

        Raises:
            ConfigurationError: This process cannot listen at the port, or the peers need different TLS settings there.
        """
        deadline = time.monotonic() + self._options.commitment_timeout_s
        with ExitStack() as listener:
            self._open = {one.transaction_uid: one for one in open_ones}
            if self._options.listen_port is not None and open_ones:
                port_tls = _port_tls([one.peer for one in open_ones])
                listener.enter_context(listening_for_answers(self._options, self._ae_title, self._take, port_tls))
            if ask_again:
                for one in open_ones:
                    if not cancelled():
                        self._ask_again(one)
            while self._open and not cancelled() and (left_s := deadline - time.monotonic()) > 0:
                if self._options.listen_port is None:
                    return
                self._wait_for_one(min(left_s, _LOOK_S))

    def _wait_for_one(self, timeout_s: float) -> None:
        try:
            error = self._ends.get(timeout=timeout_s)
        except queue.Empty:
            return
        if error is not None:
            raise error

    def _ask_again(self, commitment: StorageCommitment) -> None:
        """Starts a new transaction for the same instances, unless an answer to the old one has come meanwhile."""
        kept = {"job_id": commitment.job_id, "sending": commitment.sending}
        again = begun(commitment.peer, commitment.records).model_copy(update=kept)
        with self._lock:
            if commitment.transaction_uid not in self._open:
                return
            self._tell(again)
            del self._open[commitment.transaction_uid]
            self._open[again.transaction_uid] = again
        peer = commitment.peer
        wait_s = self._options.commitment_timeout_s
        if self._options.listen_port is not None:  # wait only briefly here, as later answers come to the port
            wait_s = min(wait_s, HOLD_S)
        update = {"listen_port": None, "wait_for_commitment": True, "commitment_timeout_s": wait_s}
        own = suited_to(peer, self._options, self._timeout_s).model_copy(update=update)
        calling = peer.calling_ae_title or self._ae_title
        result, _ = request_commitment(again, peer, own, calling, stays_open=True)
        if not result.is_open:
            self._settle(result)

    def _take(self, answer: Dataset) -> None:
        """Stores an answer that came to the port; called in the thread of the association over which it came."""
        with self._lock:
            known = self._open.get(str(answer.get("TransactionUID", "")))
        if known is None:
            return  # the answer is meant for another process, or came before
        try:
            self._settle(settled(known, answer))
        except Exception as error:
            self._ends.put(error)
            raise

    def _settle(self, commitment: StorageCommitment) -> None:
        with self._lock:
            if commitment.transaction_uid in self._open:
                self._tell(commitment)
                del self._open[commitment.transaction_uid]
        self._ends.put(None)


def _port_tls(peers: Sequence[Peer]) -> ssl.SSLContext | None:
    """Returns the TLS settings for the port; None if the peers are reached without TLS.

    Raises:
        ConfigurationError: The peers need different settings, or a client certificate is missing.
    """
    ways = {(one.tls, *((one.cert_file, one.key_file, one.ca_file) if one.tls else ())) for one in peers}
    if len(ways) > 1:
        names = ", ".join(sorted({one.name for one in peers}))
        raise ConfigurationError(
            f"the peers {names} are not all reached by TLS with the same certificates, and one port cannot serve them "
            "all: wait for the answers of one peer after the other, with peer="
        )
    return server_context(peers[0]) if peers[0].tls else None

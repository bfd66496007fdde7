"""Implements the port ``Retriever`` over DIMSE, and over DICOMweb for a peer with a URL."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse.query import NotAnsweredError
from dcm_processor_service.dicom_network.manners import TIMEOUTS, suited_to
from dcm_processor_service.dicom_network.retrieval.asking import asking, not_found, web_client
from dcm_processor_service.dicom_network.retrieval.inbox import Inbox
from dcm_processor_service.dicom_network.retrieval.lines import getting, moving
from dcm_processor_service.dicom_network.retrieval.outcome import records_of
from dcm_processor_service.dicom_network.retrieval.rounds import Rounds
from dcm_processor_service.dicom_network.retrieval.wanted import wish_for
from dcm_processor_service.errors import FetchError, FetchIncompleteError
from dcm_processor_service.models import FetchOptions, FetchReport, FoundInstance, FoundStudy, SendOptions
from dcm_processor_service.models.network.peers import DEFAULT_AE_TITLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import TypeAlias

    from dcm_processor_service.dicom_network.retrieval.rounds import Channel, NotOfferedError
    from dcm_processor_service.dicom_network.retrieval.wanted import Wish
    from dcm_processor_service.models import FetchRecord, FindQuery, FoundItem, Peer

    OpenChannel: TypeAlias = Callable[[frozenset[str]], AbstractContextManager[Channel]]

__all__ = ["DicomRetriever"]

_DEFAULT_OPTIONS = FetchOptions()
_NO_GET = (
    "give FetchOptions(listen_port=…), the port at which the peer knows us, to fetch by C-MOVE; or set the peer's url"
)


class DicomRetriever:
    """Finds by C-FIND and fetches by C-GET or C-MOVE; by QIDO-RS and WADO-RS if the peer has a URL.

    Args:
        ae_title: Our AE title for peers without a ``calling_ae_title``.
        timeout_s: Time-out for peers that do not answer, if neither options nor peer set one; None for the defaults of
            the options.
        pause: Function that waits between two attempts; it is called with the number of seconds.

    Example:
        >>> from dcm_processor_service.models import FindQuery
        >>> from dcm_processor_service.testing import FakePacs, synthetic_series
        >>> with FakePacs(holds=synthetic_series(slices=3)) as pacs:
        ...     DicomRetriever().find(pacs.peer, FindQuery(level="series", modality="CT"))[0].instance_count
        3
    """

    def __init__(
        self,
        ae_title: str = DEFAULT_AE_TITLE,
        *,
        timeout_s: float | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ae_title = ae_title
        self._timeout_s = timeout_s
        self._pause = pause

    def find(self, peer: Peer, query: FindQuery, *, options: FetchOptions = _DEFAULT_OPTIONS) -> list[FoundItem]:
        """Asks a peer what it holds, and returns a record of each answer that matches the query.

        Raises:
            FindError: The peer did not answer, or found more than ``query.limit``.
            PeerUnreachableError: No association could be opened.
            ConfigurationError: A certificate file or the URL of the peer is unusable.
        """
        try:
            with asking(peer, self._waits(peer, options), self._calling(peer)) as ask:
                return ask(query)
        except NotAnsweredError as error:
            raise not_found(peer, error) from error

    def fetch(
        self,
        found: Iterable[FoundItem],
        peer: Peer,
        folder: Path,
        *,
        options: FetchOptions = _DEFAULT_OPTIONS,
        on_record: Callable[[FetchRecord], None] | None = None,
        on_begin: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> FetchReport:
        """Fetches studies, series and instances into files, unchanged, in a folder for each series.

        Args:
            found: The records that :meth:`find` returned.
            peer: The peer that holds the instances.
            folder: The folder for the files; it is made if it does not exist.
            options: Time-outs, method, port and number of attempts.
            on_record: Called with a record when an instance has arrived or was rejected; with C-MOVE, from another
                thread.
            on_begin: Called with the number of instances that the peer listed or counted.
            cancelled: Called between instances; after it has returned True, the peer is asked to stop (C-CANCEL).

        Raises:
            FetchError: Not every instance was fetched; ``report`` has the records. If asking for the rest again may
                help, it is a FetchIncompleteError. Not raised with ``check=False``.
            FindError: The peer does not list the series of a study.
            PeerUnreachableError: No association could be opened.
            ConfigurationError: A certificate file of the peer is unusable, or one of our ports is in use.
            LocalFileError: A file cannot be written.
        """
        started = time.monotonic()
        waits, calling = self._waits(peer, options), self._calling(peer)
        wish = self._wish(found, peer, waits, calling)
        if on_begin is not None:
            on_begin(sum(max(len(one.listed), one.reported_count or 0) for one in wish.series))
        inbox = Inbox(folder, wish.series, on_record)

        def run(open_channel: OpenChannel) -> NotOfferedError | None:
            rounds = Rounds(inbox, open_channel, options, self._pause, cancelled)
            rounds.run(wish.series)
            return rounds.not_offered

        try:
            method = self._run_best(peer, waits, options, inbox, wish, run, cancelled)
        finally:
            inbox.close()
        report = FetchReport(
            peer=peer.address if peer.url is None else method[1],
            method=method[0],
            records=records_of(wish, inbox, cancelled=cancelled()),
            duration_s=time.monotonic() - started,
        )
        if options.check and not report.ok:
            raise (FetchIncompleteError if report.retryable else FetchError)(str(report), report)
        return report

    def _run_best(
        self,
        peer: Peer,
        waits: SendOptions,
        options: FetchOptions,
        inbox: Inbox,
        wish: Wish,
        run: Callable[[OpenChannel], NotOfferedError | None],
        cancelled: Callable[[], bool],
    ) -> tuple[str, str]:
        """Fetches by the method that the options and the peer allow; returns its name, and the URL for WADO-RS."""
        calling = self._calling(peer)
        if peer.url is not None:
            with self._web(peer, waits, inbox, cancelled) as (channel, where):
                run(lambda _classes: _kept_open(channel))
            return "WADO-RS", where
        ways = []
        if options.method != "c-move":
            refused = run(lambda classes: getting(peer, waits, calling, classes, inbox, cancelled))
            if refused is not None and not inbox.records and (options.method == "c-get" or options.listen_port is None):
                raise FetchError(f"{peer.address}: {refused}; {_NO_GET}") from refused
            if refused is None or options.method == "c-get" or options.listen_port is None:
                return "C-GET", ""
            ways += ["C-GET"] if inbox.records else []
            for one in wish.series:
                one.given_up = False
        refused = run(lambda _classes: moving(peer, waits, calling, options, inbox, cancelled))
        if refused is not None and not inbox.records:
            raise FetchError(f"{peer.address}: {refused}") from refused
        return " and ".join([*ways, "C-MOVE"]), ""

    @contextmanager
    def _web(
        self, peer: Peer, waits: SendOptions, inbox: Inbox, cancelled: Callable[[], bool]
    ) -> Iterator[tuple[Channel, str]]:
        client = web_client(peer, waits)
        from dcm_processor_service.dicom_network.retrieval.web_channel import WebChannel

        try:
            yield WebChannel(client, inbox, self._pause, cancelled), client.where
        finally:
            client.close()

    @staticmethod
    def _wish(found: Iterable[FoundItem], peer: Peer, waits: SendOptions, calling: str) -> Wish:
        """Asks the peer which series and instances the found studies and series hold, as far as it answers."""
        items = list(found)
        if all(isinstance(one, FoundInstance) for one in items):
            return wish_for(items, _unasked)
        try:
            with asking(peer, waits, calling) as ask:
                return wish_for(items, ask)
        except NotAnsweredError as error:
            if any(isinstance(one, FoundStudy) for one in items):
                raise not_found(peer, error) from error
        return wish_for(items, _unasked)  # series can be fetched without a list of their instances

    def _calling(self, peer: Peer) -> str:
        return peer.calling_ae_title or self._ae_title

    def _waits(self, peer: Peer, options: FetchOptions) -> SendOptions:
        """Returns the time-outs: those in the options, or else the peer's, or else our own."""
        named = {
            name: getattr(options, name)
            for name in ("connection_timeout_s", *TIMEOUTS)
            if name in options.model_fields_set
        }
        return suited_to(peer, SendOptions.model_validate(named), self._timeout_s)


def _unasked(_query: FindQuery) -> list[FoundItem]:
    raise NotAnsweredError("nobody was asked")


@contextmanager
def _kept_open(channel: Channel) -> Iterator[Channel]:
    yield channel

"""A small archive in this process, with faults on request, for tests of code that sends.

It listens on the loopback interface, on a free port unless one is given. With ``tls=True`` it makes a throw-away
authority and certificate of its own, see :mod:`dcm_processor_service.testing.fake_certificates`.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import Dataset, dcmread
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.pdu import P_DATA_TF

from dcm_processor_service.dicom_network.dimse.command_set import VERIFICATION
from dcm_processor_service.dicom_network.dimse.commitment import COMMITMENT_INSTANCE, STORAGE_COMMITMENT
from dcm_processor_service.dicom_network.dimse.listener import listening
from dcm_processor_service.dicom_network.dimse.query import STUDY_ROOT_FIND
from dcm_processor_service.dicom_network.retrieval.lines import STUDY_ROOT_GET, STUDY_ROOT_MOVE
from dcm_processor_service.dicom_network.status import explain
from dcm_processor_service.models import Peer
from dcm_processor_service.testing.fake_certificates import Certificate, FakeAuthority
from dcm_processor_service.testing.fake_faults import Faults
from dcm_processor_service.testing.fake_query import answers
from dcm_processor_service.testing.fake_retrieval import file_of, got, moved, to_send
from dcm_processor_service.testing.fake_web import serving_web

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext
    from typing_extensions import Self

__all__ = ["FakePacs", "Faults"]

_SYNTAXES = tuple(
    str(uid)
    for uid in (
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEGLSNearLossless,
        JPEG2000Lossless,
        JPEG2000,
        HTJ2KLossless,
        RLELossless,
    )
)
_RETRY_S = 0.05
_PATIENCE_S = 30.0  # for a client that connects and sends nothing, and for a destination that is slow to answer
_CONNECTS_S = 2.0
_NO_SUCH_INSTANCE = 0x0112
_COMMITTED, _FAILURES_EXIST = 1, 2
_PENDING, _CANCELLED, _OUT_OF_RESOURCES = 0xFF00, 0xFE00, 0xA700
_NOT_THIS_LEVEL = 0xA900
_SERVICES = {VERIFICATION: "", STUDY_ROOT_FIND: "", STUDY_ROOT_GET: "c-get", STUDY_ROOT_MOVE: "c-move"}


class FakePacs:
    """An archive on the loopback interface, while the ``with`` block runs.

    Args:
        faults: The faults of the archive.
        ae_title: Its AE title.
        host: The address that it listens at.
        port: The port that it listens at; 0 for any that is free.
        tls: Speak TLS, with a throw-away certificate for ``localhost`` and the loopback addresses.
        certificate: The certificate to show instead; clients must then trust ``authority``.
        authority: The authority that signs the certificate; None makes a throw-away one.
        require_client_certificate: Refuse clients without a certificate of the same authority.
        holds: The instances that it holds from the start.
        destinations: Hosts and ports by the AE titles that a C-MOVE may name.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> from dcm_processor_service.testing import fake_context
        >>> with FakePacs(Faults(status=0xB007)) as pacs:
        ...     report = fake_context().session.dicom.send(get_testdata_file("MR_small.dcm"), to=pacs.peer)
        >>> report.records[0].outcome.value, pacs.datasets()[0].Modality
        ('stored_with_warning', 'MR')
    """

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        ae_title: str = "FAKEPACS",
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        certificate: Certificate | None = None,
        authority: FakeAuthority | None = None,
        require_client_certificate: bool = False,
        holds: Iterable[Dataset] = (),
        destinations: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:
        self.faults = faults or Faults()
        self.authority = authority
        self._ae_title = ae_title
        self._host = host
        self._tls = tls
        self._certificate = certificate
        self._require_client_certificate = require_client_certificate
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._counts: Counter[str] = Counter()
        self._reporters: list[threading.Thread] = []
        self._connected: list[socket.socket] = []
        self._due: dict[Association, Dataset] = {}
        self._cleanup = ExitStack()
        self._entity = AE(ae_title=ae_title)
        self._port = port
        self._destinations = dict(destinations or {})
        self._url = ""
        self.received: dict[str, bytes] = {str(one.SOPInstanceUID): file_of(one) for one in holds}
        """Each stored instance as a DICOM file, by SOPInstanceUID."""
        self.arrivals: list[str] = []
        """The SOPInstanceUIDs in the order in which they were stored, repetitions too."""
        self.titles: list[tuple[str, str]] = []
        """The calling and the called AE title of each requested association."""
        self.queries: list[Dataset] = []
        """The identifier of each C-FIND, or of each QIDO-RS request, that arrived."""
        self.retrievals: list[Dataset] = []
        """The identifier of each C-GET and C-MOVE that arrived."""
        self.cancelled = 0
        """How many queries were cancelled."""

    def __enter__(self) -> Self:
        context = self._tls_context() if self._tls else None
        self._prepare()
        handlers = [
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_ECHO, self._on_echo),
            (evt.EVT_N_ACTION, self._on_action),
            (evt.EVT_PDU_SENT, self._on_sent),
            (evt.EVT_C_FIND, self._on_find),
            (evt.EVT_C_GET, self._on_get),
            (evt.EVT_C_MOVE, self._on_move),
        ]
        listener = listening(self._entity, (self._host, self._port), handlers, context)
        self._port = self._cleanup.enter_context(listener)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        for reporter in self._reporters:
            reporter.join()
        self._cleanup.close()
        for connected in self._connected:
            connected.close()

    @property
    def peer(self) -> Peer:
        """The archive as a peer."""
        return Peer(
            name=self._ae_title,
            ae_title=self._ae_title,
            host=self._host,
            port=self._port,
            tls=self._tls,
            ca_file=self.authority.ca_file if self.authority else None,
        )

    @property
    def web_peer(self) -> Peer:
        """The archive as a DICOMweb peer, for QIDO-RS and WADO-RS; it serves these from the first use on."""
        if not self._url:
            self._url = self._cleanup.enter_context(serving_web(self, self._drop_after))
        return self.peer.model_copy(update={"url": self._url})

    def datasets(self) -> list[Dataset]:
        """Returns the stored instances, in order of arrival."""
        return [dcmread(BytesIO(content)) for content in self.received.values()]

    def _tls_context(self) -> ssl.SSLContext:
        if self.authority is None:
            folder = self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="fake-pacs-"))
            self.authority = FakeAuthority(Path(folder))
        if self._certificate is None:
            self._certificate = self.authority.issue("fake-pacs")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate.cert_file, self._certificate.key_file)
        if self._require_client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority.ca_file)
        return context

    def _client_tls(self) -> ssl.SSLContext | None:
        """Returns the TLS settings for associations that the archive opens itself; None without TLS."""
        if self.authority is None or self._certificate is None:
            return None
        context = ssl.create_default_context(cafile=self.authority.ca_file)
        context.load_cert_chain(self._certificate.cert_file, self._certificate.key_file)
        return context

    def _prepare(self) -> None:
        self._entity.add_supported_context(VERIFICATION)
        self._entity.acse_timeout = _PATIENCE_S
        if self.faults.most_associations is not None:
            self._entity.maximum_associations = self.faults.most_associations
        self._entity.require_called_aet = self.faults.check_titles
        self._entity.require_calling_aet = list(self.faults.calling_ae_titles)

    def _supported(self, sop_class_uids: Iterable[str]) -> Iterator[PresentationContext]:
        """Yields a context for every requested SOP class, also a private one, except those that ``faults`` refuse."""
        own, services = self.faults.accept_syntaxes, self._services()
        for uid in dict.fromkeys(sop_class_uids):
            if uid == STORAGE_COMMITMENT and self.faults.commitment != "none":
                context = build_context(uid)
                context.scu_role = context.scp_role = True
                yield context
            elif uid in services:
                yield build_context(uid)
            elif uid not in {STORAGE_COMMITMENT, *_SERVICES, *self.faults.refuse_classes}:
                context = build_context(uid, list(_SYNTAXES if own is None else own))
                context.scu_role = context.scp_role = True  # with a C-GET, the archive stores to the requestor
                yield context

    def _services(self) -> set[str]:
        """Returns the services besides storage that the archive offers."""
        offered = {uid for uid, name in _SERVICES.items() if name in {"", *self.faults.retrieve}}
        return offered - ({STUDY_ROOT_FIND} if self.faults.query == "none" else set())

    def _take_fault(self, name: str, times: int | None) -> bool:
        """Counts an occasion for a fault; returns whether it happens: on the first ``times``, or all with None."""
        with self._lock:
            self._counts[name] += 1
            return times is None or self._counts[name] <= times

    def _on_requested(self, event: evt.Event) -> None:
        request: Any = event.assoc.requestor.primitive  # its type hints allow other requests, too
        self.titles.append((str(request.calling_ae_title).strip(), str(request.called_ae_title).strip()))
        asked = event.assoc.requestor.requested_contexts
        event.assoc.acceptor.supported_contexts = list(self._supported(str(item.abstract_syntax) for item in asked))
        if self.faults.reject is not None and self._take_fault("reject", self.faults.reject_times):
            event.assoc.acse.send_reject(*self.faults.reject)
            event.assoc.is_rejected = True
            event.assoc.kill()  # returns when the rejection is on its way

    def _on_echo(self, _event: evt.Event) -> int:
        self._closing.wait(self.faults.delay_s)
        return 0x0000

    def _on_store(self, event: evt.Event) -> int:
        self._closing.wait(self.faults.delay_s)
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID)
        if uid in self.faults.abort_on or self._aborts():
            if self.faults.keep_aborted:
                self._keep(uid, event.encoded_dataset())
            event.assoc.abort()
            return 0xC000
        status = self._status()
        if uid in self.received and self.faults.duplicates:
            return self.faults.duplicates
        if explain(status).outcome.acknowledged:
            self._keep(uid, event.encoded_dataset())
        return status

    def _keep(self, uid: str, content: bytes) -> None:
        with self._lock:
            if uid not in self.faults.forgets and not (self.faults.keeps_first and uid in self.received):
                self.received[uid] = content
            self.arrivals.append(uid)

    def _aborts(self) -> bool:
        if self.faults.abort_after is None or self._counts["abort"] >= self.faults.abort_times:
            return False
        with self._lock:
            self._counts["before abort"] += 1
            if self._counts["before abort"] <= self.faults.abort_after:
                return False
            self._counts["before abort"] = 0
        return self._take_fault("abort", self.faults.abort_times)

    def _status(self) -> int:
        if self.faults.status and len(self.arrivals) >= self.faults.status_after:
            return self.faults.status if self._take_fault("status", self.faults.status_times) else 0x0000
        return 0x0000

    def _on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        self.queries.append(event.identifier)
        if self.faults.query == "fail":
            yield _OUT_OF_RESOURCES, None
            return
        if event.identifier.QueryRetrieveLevel in self.faults.refuses_levels:
            yield _NOT_THIS_LEVEL, None
            return
        for answer in answers(
            self.datasets(), event.identifier, ignored=self.faults.ignores_keys, untold=self.faults.untold_keys
        ):
            if event.is_cancelled:
                self.cancelled += 1
                yield _CANCELLED, None
                return
            self._closing.wait(self.faults.delay_s)
            yield _PENDING, answer

    def _on_get(self, event: evt.Event) -> Iterator[Any]:
        instances = self._asked_for(event.identifier)
        if self.faults.retrieve_status:
            yield 1
            yield self.faults.retrieve_status, None
            return
        yield from got(event, instances, self._drop_after())

    def _on_move(self, event: evt.Event) -> Iterator[Any]:
        instances = self._asked_for(event.identifier)
        if (destination := self._destinations.get(str(event.move_destination).strip())) is None:
            yield None, None
            return
        manners: dict[str, Any] = {"evt_handlers": [(evt.EVT_CONN_OPEN, self._on_connected)]}
        if (context := self._client_tls()) is not None:
            manners["tls_args"] = (context, destination[0])
        status = self.faults.retrieve_status
        yield from moved(event, instances, (*destination, manners), self._drop_after(), status)

    def _on_connected(self, event: evt.Event) -> None:
        """Remembers the socket, to close it: pynetdicom leaves one open if the other side closed first."""
        held = event.assoc.dul.socket
        if held is not None and held.socket is not None:
            self._connected.append(held.socket)

    def _asked_for(self, identifier: Dataset) -> list[Dataset]:
        self.retrievals.append(identifier)
        return to_send(self.received, identifier, self.faults)

    def _drop_after(self) -> int | None:
        """Returns after how many instances to drop the connection this time; None not to drop it."""
        if self.faults.drop_after is None or not self._take_fault("drop", self.faults.drop_times):
            return None
        return self.faults.drop_after

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        if self.faults.commitment != "silent":
            self._due[event.assoc] = event.action_information
        return 0x0000, None

    def _on_sent(self, event: evt.Event) -> None:
        """Starts a report only when the answer to its request is written, so that the two messages do not mix."""
        if isinstance(event.pdu, P_DATA_TF) and (request := self._due.pop(event.assoc, None)) is not None:
            reporter = threading.Thread(target=self._report, args=(event.assoc, request))
            self._reporters.append(reporter)
            reporter.start()

    def _report(self, association: Association, request: Dataset) -> None:
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        kept: list[Dataset] = []
        lost: list[Dataset] = []
        for item in request.ReferencedSOPSequence:
            known = item.ReferencedSOPInstanceUID in self.received and self.faults.commitment == "ok"
            (kept if known else lost).append(item)
        report.ReferencedSOPSequence = kept
        if lost:
            for item in lost:
                item.FailureReason = _NO_SUCH_INSTANCE
            report.FailedSOPSequence = lost
        kind = _FAILURES_EXIST if lost else _COMMITTED
        if self.faults.commitment_port is None:
            if association.is_established:
                association.send_n_event_report(report, kind, STORAGE_COMMITMENT, COMMITMENT_INSTANCE)
            return
        called = str(association.requestor.ae_title).strip()
        while not self._report_back(report, kind, called, self.faults.commitment_port):
            if not self.faults.commitment_retries or self._closing.wait(_RETRY_S):
                return

    def _report_back(self, report: Dataset, kind: int, called: str, port: int) -> bool:
        """Sends an answer over an association of its own; returns whether it was accepted."""
        try:  # pynetdicom would leave a socket open if nothing listens
            socket.create_connection((self._host, port), timeout=_CONNECTS_S).close()
        except OSError:
            return False
        entity = AE(ae_title=self._ae_title)
        entity.add_requested_context(STORAGE_COMMITMENT)
        role = build_role(STORAGE_COMMITMENT, scp_role=True)
        context = self._client_tls()
        tls_args = None if context is None else (context, self._host)
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, self._on_connected)]
        back = entity.associate(
            self._host, port, ae_title=called, ext_neg=[role], tls_args=tls_args, evt_handlers=handlers
        )
        if not back.is_established:
            return False
        answer, _ = back.send_n_event_report(report, kind, STORAGE_COMMITMENT, COMMITMENT_INSTANCE)
        back.release()
        return bool(answer.get("Status") == 0)

"""Sends instances by STOW-RS (PS3.18, section 10.5); the records are the same as those of a C-STORE.

One request holds several instances, up to a size that fits into memory. An instance counts as stored only if the answer
acknowledges it by its UID, whatever the HTTP status says.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.dicom_network.dicomweb.stow_messages import Answer, Part, RequestBody, read_answer
from dcm_processor_service.dicom_network.dicomweb.web_client import (
    AnswerTooLongError,
    WebClient,
    certificate_wish,
    retry_after,
    tls_failure,
)
from dcm_processor_service.dicom_network.dicomweb.web_query import ask_for_instances
from dcm_processor_service.dicom_network.dimse.connection import PeerRefusesError
from dcm_processor_service.dicom_network.dimse.query import NotAnsweredError
from dcm_processor_service.dicom_network.parcels import UNSENDABLE, Ledger, Parcel
from dcm_processor_service.dicom_network.planning import Choice, Kind
from dcm_processor_service.dicom_network.sources import UnreadableInstanceError
from dcm_processor_service.dicom_network.status import DUPLICATE_SOP_INSTANCE, explain
from dcm_processor_service.errors import ConfigurationError, PeerUnreachableError, UnsupportedTransferSyntaxError
from dcm_processor_service.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dcm_processor_service.dicom_network.sources import Outgoing
    from dcm_processor_service.dicom_network.verification import Held, SeriesKey
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["WebDelivery"]

_GROUP_BYTES = 32 << 20
_GROUP_INSTANCES = 100
_NO_SUCH_SYNTAX = 0xC122  # PS3.18, table 10.5.3-2
_NOTHING_SAID, _UNAUTHORIZED, _NONE_STORED, _SERVER_ERROR = 204, 401, 409, 500
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
_FEWEST_FAILURES = 3  # so many failures in a row end the sending at the earliest, as one may come from a proxy
_HOPELESS = {
    401: "it wants credentials; set the peer's auth, or put them into its URL",
    403: "it does not allow us to store",
    404: "there is no STOW-RS service at this URL; correct the peer's URL",
    405: "there is no STOW-RS service at this URL; correct the peer's URL",
    407: "the proxy on the way wants credentials; put them into the proxy's URL",
    410: "there is no STOW-RS service at this URL any more; correct the peer's URL",
    411: "something on the way drops the length of the request",
    415: "it does not accept DICOM files (application/dicom)",
    501: "there is no STOW-RS service at this URL; correct the peer's URL",
}


@dataclass
class _Shipment:
    """A parcel with the transfer syntax in which it is sent."""

    parcel: Parcel
    syntax: str

    @property
    def choice(self) -> Choice:
        return Choice(0, self.syntax)


class _TemporaryError(Exception):
    """A request failed for a reason that may be temporary, so that the next attempt may succeed."""

    def __init__(self, reason: str, *, after_s: float = 0.0, is_of_one: bool = False) -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.is_of_one = is_of_one
        """Whether the cause may be a single instance that the peer cannot process, so that the others may succeed."""


class _TooMuchError(Exception):
    """The peer refused a request; a request with fewer instances may succeed."""


class WebDelivery:
    """Sends instances to one peer, many in a request."""

    def __init__(self, peer: Peer, options: SendOptions, ledger: Ledger, pause: Callable[[float], None]) -> None:
        self._peer = peer
        self._client = WebClient(peer, options)
        self.where = self._client.where
        self._options = options
        self._ledger = ledger
        self._pause = pause
        self._stop = threading.Event()
        self._failures = 0
        self.failure: PeerUnreachableError | None = None
        """The reason why the peer cannot be reached any more; after it is set, nothing more is sent."""

    def deliver(self, instances: Iterable[tuple[int, Outgoing]], cancelled: Callable[[], bool]) -> None:
        """Sends instances, and writes a record of each into the ledger."""
        parcels = [
            Parcel(position, instance, Kind.of(instance, self._peer, self._options)) for position, instance in instances
        ]
        shipments = (_Shipment(one, one.kind.preferred or one.instance.transfer_syntax_uid) for one in parcels)
        groups = list(_groups(shipments, self._peer.max_request_bytes or _GROUP_BYTES))

        def send(group: list[_Shipment]) -> None:
            try:
                if not self._stop.is_set() and not cancelled():
                    self._send_group(group, cancelled)
            except BaseException:
                self._stop.set()
                raise

        if self._options.associations == 1:
            for group in groups:
                send(group)
        else:
            with ThreadPoolExecutor(self._options.associations, thread_name_prefix="dicom-send") as pool:
                list(pool.map(send, groups))
        cause = None if self.failure is None else self.failure.__cause__
        if isinstance(cause, ConfigurationError) and not self._ledger.acknowledged:
            raise cause
        reason = "cancelled" if self.failure is None else str(self.failure)
        temporary = self.failure is None or self.failure.retryable
        for parcel in parcels:
            if parcel.position not in self._ledger.records:
                self._ledger.put(parcel.position, parcel.give_up(reason, retryable=temporary))

    def finish(self) -> None:
        """Closes the connections."""
        self._client.close()

    def abort(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _send_group(self, group: list[_Shipment], cancelled: Callable[[], bool]) -> None:
        """Sends a group until each of its instances has a record, or nothing more can be done."""
        fruitless = 0
        while group and self.failure is None and not cancelled():
            problem: _TemporaryError | None = None
            try:
                self._attempt(group)
                self._failures = 0
            except _TemporaryError as error:
                problem = error
                self._failures += not error.is_of_one
            except PeerRefusesError as error:
                self._fail(error)
                return
            except ConfigurationError as error:  # no token; not raised, as instances may be stored that need a report
                self._fail(PeerRefusesError(f"{self.where}: {error}"), error)
                return
            except _TooMuchError as error:
                self._failures = 0
                self._halve(group, error, cancelled)
                return
            fruitless = fruitless + 1 if problem else 0
            if problem and problem.is_of_one and fruitless >= min(self._options.attempts, 2) and len(group) > 1:
                self._halve(group, problem, cancelled)
                return
            group = self._remaining(group)
            if problem and problem.is_of_one and not group:  # a single instance has failed in its last attempt
                self._failures += 1
            if problem and self._failures >= max(self._options.attempts, _FEWEST_FAILURES):
                self._fail(PeerUnreachableError(f"{self.where}: {problem}"))
            elif group and any(shipment.parcel.problem for shipment in group):
                backoff_s = self._options.backoff_s * 2.0 ** max(fruitless - 1, 0)
                self._pause(min(max(backoff_s, problem.after_s if problem else 0.0), self._options.backoff_limit_s))

    def _halve(self, group: list[_Shipment], error: Exception, cancelled: Callable[[], bool]) -> None:
        """Sends each half of a refused group separately; a group of a single instance is recorded as refused.

        The attempts so far do not count against the instances.
        """
        if len(group) == 1:
            self._ledger.put(group[0].parcel.position, group[0].parcel.record(Outcome.REFUSED, str(error)))
            return
        for shipment in group:
            shipment.parcel.excused = shipment.parcel.attempts
        for half in (group[: len(group) // 2], group[len(group) // 2 :]):
            self._send_group(half, cancelled)

    def _fail(self, error: PeerUnreachableError, cause: Exception | None = None) -> None:
        error.__cause__ = cause or error.__cause__
        self.failure = error
        self._stop.set()

    def _remaining(self, group: list[_Shipment]) -> list[_Shipment]:
        left = []
        for shipment in group:
            if shipment.parcel.position in self._ledger.records:
                continue
            if shipment.parcel.counted < self._options.attempts:
                left.append(shipment)
            else:
                self._ledger.put(shipment.parcel.position, shipment.parcel.give_up())
        return left

    def _attempt(self, group: list[_Shipment]) -> None:
        ready = [(shipment, part) for shipment in group if (part := self._part(shipment)) is not None]
        if not ready:
            return
        started = time.monotonic()
        self._ledger.begin([part.sop_instance_uid for _, part in ready])
        for shipment, _ in ready:
            shipment.parcel.attempts += 1
        try:
            answer = self._post(RequestBody([part for _, part in ready]))
        except _TemporaryError as error:
            for shipment, _ in ready:
                shipment.parcel.unacknowledged = True
                shipment.parcel.problem = str(error)
            raise
        for shipment, _ in ready:
            shipment.parcel.duration_s += (time.monotonic() - started) / len(ready)
            self._judge(shipment, answer)

    def _part(self, shipment: _Shipment) -> Part | None:
        """Opens an instance to find out its size; if it cannot be sent, records that and returns None."""
        parcel = shipment.parcel
        open_file = partial(parcel.instance.open_file, shipment.syntax)
        try:
            with open_file() as file:
                if isinstance(file, BytesIO):
                    content = file.getvalue()
                    return Part(parcel.instance.sop_instance_uid, len(content), partial(BytesIO, content))
                size_bytes = os.fstat(file.fileno()).st_size
        except UNSENDABLE as error:
            if isinstance(error, UnsupportedTransferSyntaxError) and shipment.syntax == parcel.kind.preferred:
                parcel.kind = parcel.kind.without_preference()
                shipment.syntax = parcel.instance.transfer_syntax_uid
                return self._part(shipment)
            self._ledger.put(parcel.position, parcel.unsendable(error))
        else:
            return Part(parcel.instance.sop_instance_uid, size_bytes, open_file)
        return None

    def held(self, series: Iterable[SeriesKey], /) -> dict[SeriesKey, Held]:
        """Asks by QIDO-RS (PS3.18, section 10.6) which instances of each series the peer holds.

        Raises:
            NotAnsweredError: The peer does not answer.
        """
        try:
            return {key: ask_for_instances(self._client, key) for key in series}
        except ConfigurationError as error:  # no token is available
            raise NotAnsweredError(str(error)) from error

    def _post(self, body: RequestBody) -> Answer:
        try:
            response, content = self._client.request("POST", "studies", body.headers, body)
            if response.status_code == _UNAUTHORIZED and self._client.has_another_token(response):
                response, content = self._client.request("POST", "studies", body.headers, body)
        except httpx.TimeoutException as error:
            raise _TemporaryError("the peer did not answer in time") from error
        except httpx.RequestError as error:
            failed_check = tls_failure(error)
            if failed_check is not None:
                raise PeerRefusesError(f"{self.where}: no TLS with the peer, {failed_check}") from error
            raise _TemporaryError(f"no connection ({type(error).__name__})") from error
        except AnswerTooLongError as error:
            raise _TemporaryError(str(error)) from error
        except UnreadableInstanceError as error:  # the next attempt will find out which instance it is
            raise _TemporaryError("an instance could not be read to its end") from error
        if wish := certificate_wish(response, content):
            raise PeerRefusesError(f"{self.where}: {wish}")
        self._check_status(response)
        try:
            answer = read_answer(content)
        except ValueError as error:
            raise _TemporaryError("the peer's answer acknowledges nothing; it is not DICOM JSON or XML") from error
        if response.status_code == _NONE_STORED:
            return replace(answer, contradicted=answer.contradicted | answer.stored.keys())
        return answer

    def _check_status(self, response: httpx.Response) -> None:
        code = response.status_code
        if code == _NOTHING_SAID:
            raise _TemporaryError(f"the peer answered with HTTP {code}, which acknowledges nothing")
        if code in _TEMPORARY:
            reason = f"the peer answered with HTTP {code}"
            raise _TemporaryError(reason, after_s=retry_after(response), is_of_one=code == _SERVER_ERROR)
        if code in _HOPELESS:
            raise PeerRefusesError(f"{self.where}: HTTP {code}, {_HOPELESS[code]}")
        if response.is_redirect:
            raise PeerRefusesError(f"{self.where}: the service has moved; correct the peer's URL")
        if not response.is_success and code != _NONE_STORED:  # with code 409, the body says why each instance failed
            raise _TooMuchError(f"the peer refused the request with HTTP {code}")

    def _judge(self, shipment: _Shipment, answer: Answer) -> None:
        parcel, uid = shipment.parcel, shipment.parcel.instance.sop_instance_uid
        code = answer.stored.get(uid, answer.failed.get(uid))
        if code is None or uid in answer.contradicted:
            parcel.unacknowledged = True
            parcel.problem = "the peer's answer does not mention the instance"
            if code is not None:
                parcel.problem = "the peer's answer says that it is stored, and that it is not"
            return
        parcel.status = code
        status = explain(code)
        if uid in answer.failed and code == DUPLICATE_SOP_INSTANCE:
            parcel.checksum = parcel.instance.checksum(shipment.syntax)
            status = self._ledger.explain_duplicate(parcel, status)
        elif uid in answer.failed and status.outcome.acknowledged:  # listed as failed, but with the code of a warning
            status = replace(status, outcome=Outcome.REFUSED)
        parcel.problem = status.meaning
        if uid in answer.stored:
            outcome = Outcome.STORED if code == 0 else Outcome.STORED_WITH_WARNING
        elif status.outcome.acknowledged:
            outcome = status.outcome
        elif status.retryable and parcel.counted < self._options.attempts:
            return
        elif code == _NO_SUCH_SYNTAX and self._options.transcode and shipment.syntax != ExplicitVRLittleEndian:
            shipment.syntax = str(ExplicitVRLittleEndian)
            return
        else:
            outcome = Outcome.FAILED if status.retryable else Outcome.REFUSED
        if outcome.acknowledged:
            parcel.checksum = parcel.instance.checksum(shipment.syntax)
        retryable = outcome is Outcome.FAILED
        record = parcel.record(outcome, parcel.problem, shipment.choice, retryable=retryable)
        self._ledger.put(parcel.position, record)


def _groups(shipments: Iterable[_Shipment], most_bytes: int) -> Iterator[list[_Shipment]]:
    group: list[_Shipment] = []
    size_bytes = 0
    for shipment in shipments:
        source = shipment.parcel.instance.source
        own_bytes = shipment.parcel.instance.memory_bytes
        if isinstance(source, Path) and source.exists():
            own_bytes = source.stat().st_size
        if group and (len(group) >= _GROUP_INSTANCES or size_bytes + own_bytes > most_bytes):
            yield group
            group, size_bytes = [], 0
        group.append(shipment)
        size_bytes += own_bytes
    if group:
        yield group

"""Fetches instances by WADO-RS as the peer stores them, in one multipart answer for each series (PS3.18, 10.4)."""

from __future__ import annotations

from dataclasses import replace
from email.message import Message as Headers
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx

from dcm_processor_service.dicom_network.dicomweb.web_client import retry_after, tls_failure
from dcm_processor_service.dicom_network.retrieval.rounds import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dcm_processor_service.dicom_network.dicomweb.web_client import WebClient
    from dcm_processor_service.dicom_network.retrieval.inbox import Arrival, Inbox
    from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries

__all__ = ["WebChannel", "split_parts"]

_OK, _PARTLY, _NOTHING, _NOT_FOUND, _NOT_ACCEPTABLE, _GONE = 200, 206, 204, 404, 406, 410
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
# without the parameter transfer-syntax, a service may convert instances to explicit VR little endian
_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_AS_IT_LIKES = 'multipart/related; type="application/dicom"'
_LONGEST_WAIT_S = 30.0
_LONGEST_HEAD_BYTES = 1 << 16
_CANCELLED = Ending("cancelled")


class _MalformedError(Exception):
    """An answer cannot be split into parts; the message says why."""


class WebChannel:
    """Fetches instances from a peer over HTTP.

    Args:
        client: The HTTP client of the peer.
        inbox: Receives the instances.
        pause: Function that waits; it is called with the number of seconds.
        cancelled: Called between instances and while one is received; returns whether to stop.
    """

    def __init__(
        self, client: WebClient, inbox: Inbox, pause: Callable[[float], None], cancelled: Callable[[], bool]
    ) -> None:
        self._client = client
        self._inbox = inbox
        self._pause = pause
        self._cancelled = cancelled

    def ask(self, series: WantedSeries, sop_instance_uids: Sequence[str] = ()) -> Ending:
        """Fetches a series, or some of its instances one by one.

        Raises:
            LocalFileError: An instance cannot be written.
        """
        whole = f"studies/{quote(series.study_instance_uid)}/series/{quote(series.series_instance_uid)}"
        if not sop_instance_uids:
            return self._get(whole)
        ending, reasons = Ending(), dict[str, tuple[str, bool]]()
        for uid in sop_instance_uids:
            one = _CANCELLED if self._cancelled() else self._get(f"{whole}/instances/{quote(uid)}")
            if one is _CANCELLED:
                ending = one
                break
            if one.problem:
                reasons[uid] = one.problem, one.retryable
                ending = ending if ending.problem and not one.retryable else one  # a temporary problem takes precedence
        return replace(ending, failed=tuple(reasons), reasons=reasons)

    def _get(self, path: str, accept: str = _AS_STORED) -> Ending:
        try:
            with self._client.stream(path, {"Accept": accept}) as (response, pieces):
                status = response.status_code
                if status in {_OK, _PARTLY}:
                    if not self._take_parts(response.headers.get("Content-Type", ""), pieces):
                        return _CANCELLED
                    return Ending("" if status == _OK else "the peer sent a part of it")
                wait_s = retry_after(response)
        except httpx.TimeoutException:
            return Ending("the peer did not answer in time")
        except httpx.RequestError as error:
            failure = tls_failure(error)
            return Ending(f"the connection broke ({failure or type(error).__name__})", retryable=not failure)
        except _MalformedError as error:
            return Ending(f"the peer's answer is {error}")
        if status == _NOT_ACCEPTABLE and accept == _AS_STORED:
            return self._get(path, _AS_IT_LIKES)
        if status in _TEMPORARY:
            self._pause(min(wait_s, _LONGEST_WAIT_S))
        if status in {_NOTHING, _NOT_FOUND, _GONE}:
            return Ending(f"the peer has nothing at this address (HTTP {status})", retryable=False)
        return Ending(f"the peer answered with HTTP {status}", retryable=status in _TEMPORARY)

    def _take_parts(self, content_type: str, pieces: Iterable[bytes]) -> bool:
        """Passes each part of an answer to the inbox; returns False if the fetch was cancelled before the last part."""
        header = Headers()
        header["Content-Type"] = content_type
        boundary = header.get_boundary()
        if header.get_content_maintype() != "multipart" or not boundary:
            raise _MalformedError("not in multiple parts: is there a WADO-RS service at this URL?")
        arrival: Arrival | None = None
        try:
            for piece in split_parts(pieces, boundary.encode("latin-1", "replace")):
                if piece is None:
                    if arrival is not None:
                        ended, arrival = arrival, None
                        self._inbox.take(ended)
                    continue
                arrival = arrival or self._inbox.open()
                arrival.write(piece)
                if self._cancelled():
                    return False
        finally:
            if arrival is not None:
                arrival.discard()
        return True


def split_parts(pieces: Iterable[bytes], boundary: bytes) -> Iterator[bytes | None]:
    """Splits a multipart body; yields the content of each part in pieces, and None after each part (RFC 2046, 5.1.1).

    Raises:
        _MalformedError: The last boundary is missing.
    """
    held = _Held(chain((b"\r\n",), pieces))  # so that the first boundary also follows a line break
    mark = b"\r\n--" + boundary
    for _ in held.up_to(mark):
        pass  # the text before the first part
    while held.peek(2) != b"--":
        head_bytes = 0
        for piece in held.up_to(b"\r\n\r\n"):
            head_bytes += len(piece)
            if head_bytes > _LONGEST_HEAD_BYTES:
                raise _MalformedError("malformed: the head of a part does not end")
        yield from held.up_to(mark)
        yield None


class _Held:
    """A buffer of bytes that have arrived, but were not consumed yet."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._bytes = bytearray()

    def up_to(self, mark: bytes) -> Iterator[bytes]:
        """Yields the bytes before a mark, in pieces, and skips the mark."""
        while (found := self._bytes.find(mark)) < 0:
            safe = len(self._bytes) - len(mark) + 1
            if safe > 0:
                yield bytes(self._bytes[:safe])
                del self._bytes[:safe]
            self._more()
        if found:
            yield bytes(self._bytes[:found])
        del self._bytes[: found + len(mark)]

    def peek(self, count: int) -> bytes:
        """Returns the next bytes without consuming them."""
        while len(self._bytes) < count:
            self._more()
        return bytes(self._bytes[:count])

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise _MalformedError("cut off")
        self._bytes += piece

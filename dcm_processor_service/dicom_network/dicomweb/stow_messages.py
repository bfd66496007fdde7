"""Encodes requests of STOW-RS, and reads from the answers the result of each instance (PS3.18, section 10.5)."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcm_processor_service.dicom_network.dicomweb.native_model import from_xml, is_xml
from dcm_processor_service.dicom_network.status import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

__all__ = ["Answer", "Part", "RequestBody", "read_answer"]

_PIECE_BYTES = 1 << 18
_REFERENCED_SOP, _FAILED_SOP = "00081199", "00081198"
_SOP_INSTANCE_UID, _WARNING_REASON, _FAILURE_REASON = "00081155", "00081196", "00081197"
_PROCESSING_FAILURE = 0x0110


@dataclass(frozen=True)
class Part:
    """One DICOM file in a request."""

    sop_instance_uid: str
    size_bytes: int
    open_file: Callable[[], BinaryIO]


class RequestBody:
    """A multipart body that is read while it is sent, and can be read again for another attempt."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._boundary = uuid.uuid4().hex
        self._head = f"--{self._boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._end = f"--{self._boundary}--\r\n".encode()

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, with the length, because not every server accepts chunked requests."""
        length = sum(len(self._head) + part.size_bytes + 2 for part in self._parts) + len(self._end)
        return {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={self._boundary}',
            "Content-Length": str(length),
            "Accept": "application/dicom+json",
        }

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            yield self._head
            with part.open_file() as file:
                while piece := file.read(_PIECE_BYTES):
                    yield piece
            yield b"\r\n"
        yield self._end


@dataclass(frozen=True)
class Answer:
    """The results of the instances in one request, as status codes of DIMSE by SOPInstanceUID."""

    stored: dict[str, int]
    failed: dict[str, int]
    contradicted: frozenset[str] = frozenset()
    """SOPInstanceUIDs for which the answer says both that they are stored and that they failed."""


def read_answer(content: bytes) -> Answer:
    """Reads the Store Instances Response Module in an answer, in JSON or in XML.

    Raises:
        ValueError: The content is no such module, so it acknowledges nothing.

    Example:
        >>> body = b'{"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3"]}}]}}'
        >>> read_answer(body).stored
        {'1.2.3': 0}
    """
    try:
        module = from_xml(content) if is_xml(content) else _module(json.loads(content))
        stored = {uid: reason or 0 for uid, reason in _items(module, _REFERENCED_SOP, _WARNING_REASON)}
        failed = {uid: reason or _PROCESSING_FAILURE for uid, reason in _items(module, _FAILED_SOP, _FAILURE_REASON)}
        reasons = [*stored.items(), *_items(module, _REFERENCED_SOP, _FAILURE_REASON)]
        unbelievable = {uid for uid, reason in reasons if reason and not explain(reason).outcome.acknowledged}
        return Answer(stored, failed, frozenset(unbelievable | (stored.keys() & failed.keys())))
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError("the answer is not a DICOM data set in JSON or XML") from error


def _module(decoded: Any) -> dict[str, Any]:
    """Returns the data set in an answer; if there is a list of data sets, as from some services, merges them."""
    modules = decoded if isinstance(decoded, list) and decoded else [decoded]
    merged: dict[str, Any] = {_REFERENCED_SOP: {"Value": []}, _FAILED_SOP: {"Value": []}}
    for module in modules:
        if not isinstance(module, dict):
            raise TypeError(f"a {type(module).__name__} is not a data set")
        for sequence, element in merged.items():
            element["Value"] += _values(module, sequence)
    return merged


def _items(module: dict[str, Any], sequence: str, reason: str) -> Iterator[tuple[str, int | None]]:
    for item in _values(module, sequence):
        uids, reasons = _values(item, _SOP_INSTANCE_UID), _values(item, reason)
        if uids:
            yield str(uids[0]), int(reasons[0]) if reasons else None


def _values(container: Any, tag: str) -> list[Any]:
    element = container.get(tag) if isinstance(container, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []

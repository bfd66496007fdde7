"""Explains the status of a C-STORE answer (PS3.4, B.2.3; PS3.7, annex C). A status is data, never an exception."""

from __future__ import annotations

from dataclasses import dataclass

from dcm_processor_service.models import Outcome

__all__ = ["DUPLICATE_SOP_INSTANCE", "EXACT_MEANINGS", "RANGES_OF_MEANINGS", "StoreStatus", "explain"]

DUPLICATE_SOP_INSTANCE = 0x0111

EXACT_MEANINGS = {
    0x0000: "stored",
    0x0001: "stored, with optional attributes missing",
    0x0105: "no such attribute",
    0x0106: "an attribute has an invalid value",
    0x0107: "stored, with a problem in the attribute list",
    0x0110: "processing failure at the peer; see the peer's log",
    DUPLICATE_SOP_INSTANCE: "the peer already holds an instance of this SOPInstanceUID and keeps that one",
    0x0112: "no such SOP instance at the peer",
    0x0113: "no such event type",
    0x0114: "no such argument",
    0x0115: "invalid argument",
    0x0116: "stored, with an attribute value out of range",
    0x0117: "the SOPInstanceUID is not valid",
    0x0118: "no such SOP class",
    0x0119: "class and instance do not match",
    0x0120: "a required attribute is missing",
    0x0121: "a required attribute has no value",
    0x0122: "the peer does not support this SOP class",
    0x0123: "no such action type",
    0x0124: "not authorised; ask the peer's operator to allow our AE title to store",
    0x0131: "the transaction UID was used before",
    0x0210: "duplicate message id",
    0x0211: "the peer does not know the operation",
    0x0212: "the peer found a wrong argument in the request",
    0x0213: "the peer is at the limit of a resource",
    0xB000: "stored; the peer changed some data elements",
    0xB006: "stored; the peer discarded some data elements",
    0xB007: "stored, though the data set does not match its SOP class",
    0xC122: "the peer does not accept this transfer syntax",
}

RANGES_OF_MEANINGS = (
    (0xA700, 0xA7FF, "the peer is out of resources; try again later"),
    (0xA800, 0xA8FF, "the peer does not support this SOP class"),
    (0xA900, 0xA9FF, "the data set does not match its SOP class; validate the instance"),
    (0xB000, 0xBFFF, "stored, with a warning that only this peer defines"),
    (0xC000, 0xCFFF, "the peer cannot understand the data set; validate the instance, see the peer's log"),
)

_WARNING_RANGE = range(0xB000, 0xC000)
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})
_OUT_OF_RESOURCES_RANGE = range(0xA700, 0xA800)
_RESOURCE_LIMITATION = 0x0213


@dataclass(frozen=True)
class StoreStatus:
    """A status code with its outcome and meaning."""

    code: int
    outcome: Outcome
    meaning: str
    retryable: bool


def explain(code: int) -> StoreStatus:
    """Returns the outcome and the meaning of a status code.

    Only a lack of resources is worth another attempt; every other refusal is permanent.

    Example:
        >>> explain(0xA701).retryable, explain(0xB007).outcome.value, explain(0x0124).outcome.value
        (True, 'stored_with_warning', 'refused')
    """
    meaning = EXACT_MEANINGS.get(code) or next(
        (text for first, last, text in RANGES_OF_MEANINGS if first <= code <= last),
        "a status that the standard does not define",
    )
    if code == 0:
        return StoreStatus(code, Outcome.STORED, meaning, retryable=False)
    if code in _WARNING_RANGE or code in _WARNINGS:
        return StoreStatus(code, Outcome.STORED_WITH_WARNING, meaning, retryable=False)
    if code in _OUT_OF_RESOURCES_RANGE or code == _RESOURCE_LIMITATION:
        return StoreStatus(code, Outcome.FAILED, meaning, retryable=True)
    return StoreStatus(code, Outcome.REFUSED, meaning, retryable=False)

"""Makes the presentation contexts over which a peer may send instances in a C-GET."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.uid import (
    HEVCM10P51,
    HEVCMP51,
    HTJ2K,
    JPEG2000,
    MPEG2MPHL,
    MPEG2MPML,
    MPEG4HP41,
    MPEG4HP41BD,
    MPEG4HP42STEREO,
    MPEG4HP422D,
    MPEG4HP423D,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
)
from pynetdicom import StoragePresentationContexts

from dcm_processor_service.dicom_network.dimse.negotiation import MOST_CONTEXTS, ProposedContext

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries

__all__ = ["COMMON_CLASSES", "TRANSFER_SYNTAXES", "batches", "storage_contexts"]

_PLAIN = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
_COMPRESSED = tuple(
    str(uid)
    for uid in (
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEGLSNearLossless,
        JPEG2000Lossless,
        JPEG2000,
        HTJ2KLossless,
        HTJ2KLosslessRPCL,
        HTJ2K,
        RLELossless,
        MPEG2MPML,
        MPEG2MPHL,
        MPEG4HP41,
        MPEG4HP41BD,
        MPEG4HP422D,
        MPEG4HP423D,
        MPEG4HP42STEREO,
        HEVCMP51,
        HEVCM10P51,
    )
)
TRANSFER_SYNTAXES = (*_PLAIN, str(DeflatedExplicitVRLittleEndian), str(ExplicitVRBigEndian), *_COMPRESSED)
"""All transfer syntaxes in which we accept instances; no decoder is needed, because instances are not decoded here."""

_OFTEN_COMPRESSED = (
    CTImageStorage,
    MRImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForPresentation,
    UltrasoundMultiFrameImageStorage,
    UltrasoundImageStorage,
    XRayAngiographicImageStorage,
)
COMMON_CLASSES = tuple(
    dict.fromkeys(
        str(uid) for uid in (*_OFTEN_COMPRESSED, *(context.abstract_syntax for context in StoragePresentationContexts))
    )
)
"""The storage SOP classes to propose if the peer does not say which it has; those that are often compressed come first.
"""

_ROOM = MOST_CONTEXTS - 1  # one context is needed for the C-GET request itself


def storage_contexts(sop_class_uids: Iterable[str]) -> tuple[ProposedContext, ...]:
    """Returns contexts for SOP classes: one for each class and transfer syntax, if there is room.

    A peer accepts only one transfer syntax of a context, and then cannot send instances that it holds in another one.
    So each transfer syntax should have a context of its own. If there are too many classes for that, each class gets
    one context for all uncompressed syntaxes, and the first classes get another one for all compressed syntaxes.
    """
    classes = list(dict.fromkeys(sop_class_uids))
    if len(classes) * len(TRANSFER_SYNTAXES) <= _ROOM:
        groups: tuple[tuple[str, ...], ...] = tuple((syntax,) for syntax in TRANSFER_SYNTAXES)
    else:
        groups = (_PLAIN, _COMPRESSED)
    return tuple(ProposedContext(uid, group, stored_by_peer=True) for group in groups for uid in classes)[:_ROOM]


def batches(series: Iterable[WantedSeries]) -> list[tuple[list[WantedSeries], frozenset[str]]]:
    """Divides series into groups whose classes one association can propose in all transfer syntaxes."""
    found: list[tuple[list[WantedSeries], frozenset[str]]] = []
    unknown: list[WantedSeries] = []
    for one in series:
        if not one.classes:
            unknown.append(one)
            continue
        for number, (members, classes) in enumerate(found):
            if len(classes | one.classes) * len(TRANSFER_SYNTAXES) <= _ROOM:
                members.append(one)
                found[number] = (members, classes | one.classes)
                break
        else:
            found.append(([one], one.classes))
    return [*found, *([(unknown, frozenset(COMMON_CLASSES))] if unknown else [])]

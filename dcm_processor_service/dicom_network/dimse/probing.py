"""Finds out what a peer accepts, by proposing common SOP classes in common transfer syntaxes; sends no instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.uid import (
    JPEG2000,
    UID,
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    NuclearMedicineImageStorage,
    ParametricMapStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    RTDoseStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from dcm_processor_service.dicom_network.dimse.association import open_association
from dcm_processor_service.dicom_network.dimse.command_set import VERIFICATION
from dcm_processor_service.dicom_network.dimse.commitment import STORAGE_COMMITMENT
from dcm_processor_service.dicom_network.dimse.negotiation import MOST_CONTEXTS, Agreement, ProposedContext
from dcm_processor_service.models import AcceptedContext

if TYPE_CHECKING:
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["probe"]

_SERVICES = (VERIFICATION, STORAGE_COMMITMENT)
_IMAGES = (
    CTImageStorage,
    EnhancedCTImageStorage,
    MRImageStorage,
    EnhancedMRImageStorage,
    PositronEmissionTomographyImageStorage,
    NuclearMedicineImageStorage,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForPresentation,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SegmentationStorage,
    ParametricMapStorage,
    RTDoseStorage,
)
_DOCUMENTS = (
    RTStructureSetStorage,
    BasicTextSRStorage,
    EnhancedSRStorage,
    ComprehensiveSRStorage,
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
)
_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_COMPRESSED = (
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    JPEG2000,
    RLELossless,
    HTJ2KLossless,
)


def probe(peer: Peer, options: SendOptions, calling_ae_title: str) -> list[AcceptedContext]:
    """Proposes one context for each SOP class and transfer syntax, over as many associations as necessary.

    Returns which of them the peer accepts, for each SOP class.

    Raises:
        PeerUnreachableError: No association could be opened.
    """
    proposals = [ProposedContext(uid, (str(syntax),)) for uid in _SERVICES for syntax in _PLAIN]
    proposals += [ProposedContext(str(uid), (str(syntax),)) for uid in _IMAGES for syntax in (*_PLAIN, *_COMPRESSED)]
    proposals += [ProposedContext(str(uid), (str(syntax),)) for uid in _DOCUMENTS for syntax in _PLAIN]
    answers: dict[str, list[Agreement]] = {}
    for start in range(0, len(proposals), MOST_CONTEXTS):
        contexts = tuple(proposals[start : start + MOST_CONTEXTS])
        with open_association(peer, contexts, options, calling_ae_title) as association:
            for answer in association.agreed.values():
                answers.setdefault(answer.proposed.sop_class_uid, []).append(answer)
    return [_summary(uid, given) for uid, given in answers.items()]


def _summary(sop_class_uid: str, answers: list[Agreement]) -> AcceptedContext:
    accepted = tuple(answer.transfer_syntax_uid for answer in answers if answer.accepted)
    reasons = dict.fromkeys(answer.reason for answer in answers)
    return AcceptedContext(
        sop_class_uid=sop_class_uid,
        name=UID(sop_class_uid).name,
        transfer_syntax_uids=accepted,
        reason="" if accepted else "; ".join(reasons),
    )

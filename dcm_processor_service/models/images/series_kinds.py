"""The kinds of series: sorts of images, and sorts of other objects."""

from __future__ import annotations

from enum import Enum

__all__ = ["SeriesKind", "kind_of_class"]


class SeriesKind(str, Enum):
    """The kind of a series: the sort of its images, taken together, or the sort of its other objects."""

    IMAGE = "image"
    """Images of any sort. A series record cannot say which; a rule of a service that asks for this kind accepts every
    image."""

    VOLUME = "volume"
    FOUR_D = "4D"
    MULTI_VOLUME = "multi-volume"
    SINGLE_SLICE = "single slice"
    LOCALIZER = "localizer"
    PROJECTION = "projection"
    MULTI_FRAME = "multi-frame"
    MOSAIC = "mosaic"
    COLOUR = "colour"

    SEGMENTATION = "segmentation"
    """SEG, with or without overlapping segments; :meth:`~dcm_processor_service.DicomSeries.segments` reads it."""

    STRUCTURE_SET = "structure set"
    """RTSTRUCT: contours; :meth:`~dcm_processor_service.DicomSeries.segments` reads it."""

    STRUCTURED_REPORT = "structured report"
    """SR, with measurements or without; also key object selections."""

    DOCUMENT = "document"
    """An encapsulated PDF, CDA, STL, OBJ or MTL."""

    PARAMETRIC_MAP = "parametric map"
    PRESENTATION_STATE = "presentation state"
    NON_IMAGE = "non-image"
    """Any other object without pixels, such as a plan or a waveform. In a rule of a service, it means every kind
    that is not an image."""

    UNKNOWN = "unknown"

    @property
    def is_image(self) -> bool:
        """Whether the series holds images, acquired or derived; a segmentation or a parametric map is none.

        Example:
            >>> SeriesKind.VOLUME.is_image, SeriesKind.SEGMENTATION.is_image
            (True, False)
        """
        return self in _IMAGES

    def meets(self, wanted: str) -> bool:
        """Returns whether this kind meets a rule, which may name one kind, ``image`` for any image, or ``non-image``.

        Example:
            >>> SeriesKind.FOUR_D.meets("image"), SeriesKind.SEGMENTATION.meets("volume")
            (True, False)
        """
        if wanted == SeriesKind.NON_IMAGE.value:
            return not self.is_image and self is not SeriesKind.UNKNOWN
        return self.value == wanted or (wanted == SeriesKind.IMAGE.value and self.is_image)


_IMAGES = frozenset(
    {
        SeriesKind.IMAGE, SeriesKind.VOLUME, SeriesKind.FOUR_D, SeriesKind.MULTI_VOLUME, SeriesKind.SINGLE_SLICE,
        SeriesKind.LOCALIZER, SeriesKind.PROJECTION, SeriesKind.MULTI_FRAME, SeriesKind.MOSAIC, SeriesKind.COLOUR,
    }
)  # fmt: skip

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_BY_CLASS = {
    "66.4": SeriesKind.SEGMENTATION,
    "66.7": SeriesKind.SEGMENTATION,  # Label Map Segmentation Storage
    "481.3": SeriesKind.STRUCTURE_SET,
    "30": SeriesKind.PARAMETRIC_MAP,
}
_BY_FAMILY = {
    "88.": SeriesKind.STRUCTURED_REPORT,  # Basic Text SR to Acquisition Context SR; key object selection
    "104.": SeriesKind.DOCUMENT,
    "11.": SeriesKind.PRESENTATION_STATE,
    "9.": SeriesKind.NON_IMAGE,  # waveforms
    "66": SeriesKind.NON_IMAGE,  # raw data, registrations, fiducials, surfaces
    "67": SeriesKind.NON_IMAGE,  # real world value mapping
    "68.": SeriesKind.NON_IMAGE,  # surface scans
    "200.": SeriesKind.NON_IMAGE,  # protocols
    "481.": SeriesKind.NON_IMAGE,  # plans and treatment records, except the two classes below
}
_IMAGES_OF_RADIOTHERAPY = ("481.1", "481.2")  # RT Image and RT Dose
_BY_MODALITY = {
    "SEG": SeriesKind.SEGMENTATION,
    "RTSTRUCT": SeriesKind.STRUCTURE_SET,
    "SR": SeriesKind.STRUCTURED_REPORT,
    "KO": SeriesKind.STRUCTURED_REPORT,
    "DOC": SeriesKind.DOCUMENT,
    "PR": SeriesKind.PRESENTATION_STATE,
    "RTPLAN": SeriesKind.NON_IMAGE,
    "RTRECORD": SeriesKind.NON_IMAGE,
    "REG": SeriesKind.NON_IMAGE,
    "FID": SeriesKind.NON_IMAGE,
    "ECG": SeriesKind.NON_IMAGE,
}


def kind_of_class(sop_class_uid: str, modality: str = "") -> SeriesKind:
    """Returns the kind of the objects of a class; if the class is not known, the kind that their modality states.

    Args:
        sop_class_uid: SOPClassUID (0008,0016), a class of PS3.4, section B.5; empty where it is not known.
        modality: Modality (0008,0060).

    Example:
        >>> kind_of_class("1.2.840.10008.5.1.4.1.1.66.4").value, kind_of_class("", "CT").value
        ('segmentation', 'image')
    """
    if not sop_class_uid:
        return _BY_MODALITY.get(modality, SeriesKind.IMAGE if modality not in {"", "OT"} else SeriesKind.UNKNOWN)
    if not sop_class_uid.startswith(_STORAGE):
        return SeriesKind.UNKNOWN
    code = sop_class_uid.removeprefix(_STORAGE)
    if code in _IMAGES_OF_RADIOTHERAPY:
        return SeriesKind.IMAGE
    if code in _BY_CLASS:
        return _BY_CLASS[code]
    return next((kind for family, kind in _BY_FAMILY.items() if code.startswith(family)), SeriesKind.IMAGE)

"""A structure that a segmentation or a structure set describes, with its mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dcm_processor_service.keywords import refuses_unknown_keywords

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models.derived import Code

__all__ = ["StructureMask"]


@refuses_unknown_keywords
@dataclass(frozen=True)
class StructureMask:
    """One segment of a SEG, or one region of interest of an RTSTRUCT: what it is, who drew it, and where it is.

    Its mask is made when it is asked for, so that a hundred segments are not in memory at once; the files have to be
    there until then.

    Example:
        >>> import numpy as np
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> images = synthetic_series(slices=3)
        >>> mask = np.zeros((16, 16, 3), bool)
        >>> mask[4:8, 4:8, 1] = True
        >>> made = fake_context(series=images).session.dicom.derive.segmentation({"left kidney": mask}, like=images)
        >>> (kidney,) = fake_context(series=[made]).session.dicom.get_series().segments()
        >>> kidney.number, kidney.name, kidney.code.meaning, kidney.laterality.meaning, kidney.algorithm_type
        (1, 'left kidney', 'Kidney', 'Left', 'AUTOMATIC')
        >>> int(kidney.mask().array.sum()), kidney.mask().spacing_mm
        (16, (1.0, 1.0, 2.0))
    """

    number: int
    """SegmentNumber (0062,0004) or ROINumber (3006,0022)."""

    name: str
    """SegmentLabel (0062,0005) or ROIName (3006,0026), as its author wrote it."""

    read_mask: Callable[[], Volume] = field(repr=False, compare=False)
    """What :meth:`mask` calls."""

    code: Code | None = None
    """What it is; None if the object has no code, as is usual for an RTSTRUCT."""

    category: Code | None = None
    """What sort of thing that is, such as an anatomical structure; None of an RTSTRUCT."""

    laterality: Code | None = None
    """The side, where the object says it beside the code."""

    algorithm_type: str = ""
    """``AUTOMATIC``, ``SEMIAUTOMATIC`` or ``MANUAL``; empty where the object does not say."""

    algorithm_name: str = ""

    color_rgb: tuple[int, int, int] | None = None
    """The colour in which its author shows it, each part from 0 to 255."""

    tracking_uid: str = ""
    """TrackingUID (0062,0021), the same in all objects about this finding; empty if there is none."""

    is_fractional: bool = False
    """Whether its mask holds fractions from 0 to 1, float32, in place of booleans."""

    sop_instance_uid: str = ""
    """Of the SEG or RTSTRUCT."""

    series_instance_uid: str = ""
    """Of the series that the SEG or RTSTRUCT is in."""

    referenced_series_uids: tuple[str, ...] = ()
    """SeriesInstanceUIDs of the images that it was drawn on, as far as the object says."""

    frame_of_reference_uid: str = ""
    """In which its positions are; empty where the object has none, as on a radiograph."""

    read_pixels: Callable[[], NDArray[Any]] | None = field(default=None, repr=False, compare=False)
    """What :meth:`pixels` calls; None where the pixels are those of the mask."""

    def mask(self) -> Volume:
        """Returns the mask as a volume, made anew at each call: booleans, or fractions where ``is_fractional``.

        It lies on the grid of the SEG itself, or, of an RTSTRUCT, on that of the images that it was drawn on; on
        that of ``like=`` where the structure was read with one.

        Raises:
            InvalidSeriesError: The structure cannot be placed without guessing; the message says why, and what may
                help.
            UnsupportedTransferSyntaxError: Its pixels cannot be decoded here.
        """
        return self.read_mask()

    def pixels(self) -> NDArray[Any]:
        """Returns the mask without a place: (column, row, slice), as :meth:`mask`, or (column, row) of a radiograph.

        A segmentation of an image that has no place in the patient, such as a radiograph or ultrasound, is no volume:
        its pixels are those of the image that it was made of.

        Raises:
            InvalidSeriesError: As :meth:`mask`; or the segment is in several such images.
        """
        return self.mask().array if self.read_pixels is None else self.read_pixels()

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
    """One segment of a SEG, or one region of interest of an RTSTRUCT: its code, its mask and the object it is from.

    :meth:`mask` makes the mask at each call, so that a hundred segments are not in memory at once; the files of the
    series must still exist at that time.

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
    """The function that :meth:`mask` calls."""

    code: Code | None = None
    """Code of the structure; None if the object has no code, as is usual for an RTSTRUCT."""

    category: Code | None = None
    """Category of the structure, such as anatomical structure; None for an RTSTRUCT."""

    laterality: Code | None = None
    """The side, if the object states it separately from the code."""

    algorithm_type: str = ""
    """``AUTOMATIC``, ``SEMIAUTOMATIC`` or ``MANUAL``; empty where the object does not say."""

    algorithm_name: str = ""

    color_rgb: tuple[int, int, int] | None = None
    """The recommended display colour: red, green and blue, from 0 to 255."""

    tracking_uid: str = ""
    """TrackingUID (0062,0021), the same in all objects about this finding; empty if there is none."""

    is_fractional: bool = False
    """Whether the mask holds fractions from 0 to 1, float32, instead of booleans."""

    sop_instance_uid: str = ""
    """SOPInstanceUID of the SEG or RTSTRUCT."""

    series_instance_uid: str = ""
    """SeriesInstanceUID of the series that the SEG or RTSTRUCT is in."""

    referenced_series_uids: tuple[str, ...] = ()
    """SeriesInstanceUIDs of the images that it was drawn on, as far as the object says."""

    frame_of_reference_uid: str = ""
    """FrameOfReferenceUID of its positions; empty if the object has none, as on a radiograph."""

    read_pixels: Callable[[], NDArray[Any]] | None = field(default=None, repr=False, compare=False)
    """The function that :meth:`pixels` calls; None if the pixels are those of the mask."""

    def mask(self) -> Volume:
        """Returns the mask as a volume, made again at each call: booleans, or fractions if ``is_fractional``.

        The mask of a SEG lies on the SEG's own grid. The mask of an RTSTRUCT lies on the grid of the images that it was
        drawn on. If the structure was read with ``like=``, its mask lies on the grid of that series or volume.

        Raises:
            InvalidSeriesError: The structure cannot be placed without guessing; the message says why, and names a
                remedy.
            UnsupportedTransferSyntaxError: The pixels cannot be decoded here.
        """
        return self.read_mask()

    def pixels(self) -> NDArray[Any]:
        """Returns the mask as an array: (column, row, slice) as in :meth:`mask`, or (column, row) for a radiograph.

        A segmentation of an image that has no place in the patient, such as a radiograph or ultrasound, is not a
        volume. Its pixels correspond to the pixels of that image.

        Raises:
            InvalidSeriesError: As for :meth:`mask`; or the segment is in several images without a place.
        """
        return self.mask().array if self.read_pixels is None else self.read_pixels()

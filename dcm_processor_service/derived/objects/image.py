"""Makes image series from arrays: CT, MR, PET and Secondary Capture, one instance per slice."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydicom.uid import UID, SecondaryCaptureImageStorage

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.encoded import Encoded
from dcm_processor_service.derived.attributes.identity import copy_attributes
from dcm_processor_service.derived.attributes.modality import ImageClass, choose_class, slice_thickness, write_modality
from dcm_processor_service.derived.attributes.pixels import (
    StoredPixels,
    describe_pixels,
    ds,
    store_values,
    write_pixel_data,
    write_values,
)
from dcm_processor_service.derived.attributes.references import frames_crossed, write_sources
from dcm_processor_service.derived.attributes.units import with_unit
from dcm_processor_service.derived.inputs import voxels_of
from dcm_processor_service.derived.objects.colors import colors_of
from dcm_processor_service.derived.objects.multi_frame import make_multi_frame
from dcm_processor_service.derived.placement import Placement, place
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.models.derived import ImageOptions, ValueMapping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset, FileDataset

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.models.derived import Recipe

__all__ = ["DerivedImage", "color_images", "derive_image"]

_OF_A_PLANE = (
    "PixelSpacing", "PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription", "ImagerPixelSpacing",
    "NominalScannedPixelSpacing", "PatientOrientation",
)  # fmt: skip
_EIGHT_BIT_CLASSES = frozenset({"sc"})


@dataclass(frozen=True)
class DerivedImage:
    """The image series that :func:`derive_image` has made."""

    datasets: tuple[FileDataset, ...] = field(repr=False)
    mapping: ValueMapping
    on_source_grid: bool
    """Whether every voxel lies on a voxel of the source; if so, slices have the order and direction of the source's."""

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID (0020,000E)."""
        return str(self.datasets[0].SeriesInstanceUID)


def derive_image(
    voxels: Voxels,
    source: Source,
    recipe: Recipe,
    affine_lps: NDArray[np.float64] | None = None,
    options: ImageOptions | None = None,
) -> DerivedImage:
    """Makes an image series from an array, a Volume, or a NIfTI image or file.

    Integers that fit into 16 bits are stored unchanged. Other values are stored with a slope and an intercept; the
    result's ``mapping`` has the error bound. InstanceNumber grows along the normal of the slices, volume by volume.

    Args:
        voxels: Shape (i, j), (i, j, k) or (i, j, k, t): column, row, slice, volume. Axes may be in any order and
            direction, as long as an affine says which. A Volume brings its place, frame of reference and unit. Bytes
            of shape (i, j, k, 3) are colours, which become RGB Secondary Capture on their planes, unless they are
            three volumes of the source. For a source that is one projection, bytes of shape (i, j, 3) are colours, too.
        source: Series that the result was computed from; or the identity of patient and study, then with ``affine_lps``
            and a ``kind``.
        recipe: Producer, role and time of making.
        affine_lps: Shape (4, 4): maps (i, j, k, 1) to LPS mm, in place of the voxels' own affine. None for their own; a
            bare array then has the axes and shape of the source.
        options: Class, units, window, frame of reference.

    Raises:
        DerivedObjectError: An image of that class cannot have this shape, geometry, values or identity.

    Example:
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> from dcm_processor_service.models.derived import Producer, Recipe
        >>> ct = dcmread(get_testdata_file("CT_small.dcm"))
        >>> source = SourceSeries.from_headers([ct])
        >>> half = (ct.pixel_array.T // 2).astype("int16")
        >>> made = derive_image(half, source, Recipe(Producer("halver", "1.0"), role="half"))
        >>> made.datasets[0].Modality, made.mapping.is_exact, made.on_source_grid
        ('CT', True, True)
    """
    options = options or ImageOptions()
    image_class, sop_class_uid, modality = choose_class(options.kind, source)
    given = voxels_of(voxels, affine_lps)
    colors = colors_of(given, source, options)
    placement = place(colors or given, source)
    if placement.slices is not None and isinstance(source, SourceSeries):
        source = source.led_by(placement.slices[0][0])
    if colors is not None:
        image_class, sop_class_uid = "sc", str(SecondaryCaptureImageStorage)
        pixels = StoredPixels(placement.array, ValueMapping(1.0, 0.0, 0.0, "uint8"), 0, 255)
    else:
        options = with_unit(options, given, source, image_class)
        pixels = store_values(
            placement.array,
            allow_8_bit=image_class in _EIGHT_BIT_CLASSES,
            allow_intercept=image_class != "pt",
            may_round=given.array.dtype.kind == "f" and bool(options.units),
        )
    if placement.is_projection and (image_class != "sc" or options.multi_frame or options.same_frame):
        raise DerivedObjectError(
            "the source has no place in space (projections, ultrasound), so its results are Secondary Capture, one "
            "instance per image, without a frame of reference: leave kind, multi_frame and same_frame out"
        )
    job = _Job(Composite(recipe, source), placement, pixels, image_class, options, is_color=colors is not None)
    with contained():
        if options.multi_frame:
            datasets: tuple[FileDataset, ...] = (
                make_multi_frame(job.composite, placement, pixels, image_class, job.frame_of_reference_uid),
            )
        else:
            datasets = tuple(job.instances(sop_class_uid, modality))
    return DerivedImage(datasets, pixels.mapping, placement.on_source_grid)


def color_images(placement: Placement, source: SourceSeries, recipe: Recipe) -> list[FileDataset]:
    """Makes RGB Secondary Capture, one instance per slice, from colours that are placed already.

    Args:
        placement: Its array has shape (columns, rows, slices, 3), uint8.
        source: Series that the colours were computed from.
        recipe: Producer, role and time of making.
    """
    if placement.slices is not None:
        source = source.led_by(placement.slices[0][0])
    image_class, sop_class_uid, modality = choose_class("sc", source)
    pixels = StoredPixels(placement.array, ValueMapping(1.0, 0.0, 0.0, "uint8"), 0, 255)
    job = _Job(Composite(recipe, source), placement, pixels, image_class, ImageOptions(), is_color=True)
    with contained():
        return job.instances(sop_class_uid, modality)


@dataclass(frozen=True)
class _Job:
    composite: Composite
    placement: Placement
    pixels: StoredPixels
    image_class: ImageClass
    options: ImageOptions
    is_color: bool = False

    @property
    def _slices_and_volumes(self) -> tuple[int, int]:
        slices, last = self.placement.array.shape[2:]
        return slices, 1 if self.is_color else last

    @property
    def source(self) -> Source:
        return self.composite.source

    @cached_property
    def _normal(self) -> NDArray[np.float64]:
        return np.cross(self.placement.orientation[:3], self.placement.orientation[3:])

    @property
    def frame_of_reference_uid(self) -> str:
        """The source's frame of reference if positions are in it, or else a new one (PS3.3, section C.7.4.1)."""
        known = self.placement.frame_of_reference_uid if self.options.same_frame is None else ""
        if self.options.same_frame:
            known = self._sources_frame_of_reference_uid
            if not known:
                raise DerivedObjectError(
                    "same_frame=True, but the source has no single FrameOfReferenceUID: leave it out"
                )
        return known or self.composite.uids.frame_of_reference()

    @property
    def _sources_frame_of_reference_uid(self) -> str:
        return self.source.frame_of_reference_uid if isinstance(self.source, SourceSeries) else ""

    def instances(self, sop_class_uid: str, modality: str) -> list[FileDataset]:
        template = self.composite.new(sop_class_uid, modality, 1)
        self._write_series(template)
        describe_pixels(template, self._rows(0, 0), color=self.is_color)
        shared = Encoded(template)
        slices, volumes = self._slices_and_volumes
        made = []
        for volume in range(volumes):
            for index in range(slices):
                number = volume * slices + index + 1
                dataset = _sibling(shared, self.composite.uids.instance(number), number)
                self.composite.write_replaced(dataset, number)
                self._write_plane(dataset, index)
                self._write_volume(dataset, volume, number)
                write_sources(dataset, self.source, self._sources_of(index, volume))
                write_pixel_data(dataset, self._rows(index, volume))
                made.append(dataset)
        return made

    def _rows(self, index: int, volume: int) -> NDArray[Any]:
        """Returns the pixels of an instance, shape (rows, columns[, 3])."""
        pixels = self.pixels.array[:, :, index]
        rows: NDArray[Any] = pixels.transpose(1, 0, 2) if self.is_color else pixels[..., volume].T
        return rows

    def _write_series(self, template: FileDataset) -> None:
        self.composite.write_derivation(template)
        write_modality(template, self.image_class, self.source, self.options.units)
        if self.image_class in {"mr", "sc"} and self.options.units and self._needs_rescale():
            template.RescaleType = self.options.units
        if not self.is_color:
            write_values(template, self.pixels, self.options.window, rescale=self._needs_rescale())
        if self.placement.is_projection:
            self._write_projection(template)
            return
        template.FrameOfReferenceUID = self.frame_of_reference_uid
        template.PositionReferenceIndicator = None
        row, column = np.array(self.placement.orientation).reshape(2, 3)
        template.PatientOrientation = [direction_letters(row), direction_letters(column)]
        template.ImageOrientationPatient = [ds(cosine) for cosine in self.placement.orientation]
        template.PixelSpacing = [ds(distance) for distance in self.placement.pixel_spacing]
        template.SliceThickness = slice_thickness(
            self.source, self.placement.step_mm, on_source_grid=self.placement.on_source_grid
        )
        if self.placement.array.shape[2] > 1 and self.placement.has_one_step:
            template.SpacingBetweenSlices = ds(self.placement.step_mm)

    def _write_projection(self, template: FileDataset) -> None:
        """Copies the pixel sizes of a projection, how they were calibrated, and PatientOrientation from the source."""
        template.PatientOrientation = None
        if isinstance(self.source, SourceSeries):
            copy_attributes(self.source.first, template, _OF_A_PLANE)

    def _needs_rescale(self) -> bool:
        identity = self.pixels.mapping.slope == 1 and self.pixels.mapping.intercept == 0
        return self.image_class in {"ct", "pt"} or not identity

    def _write_plane(self, dataset: Dataset, index: int) -> None:
        if self.placement.is_projection:
            return
        dataset.ImagePositionPatient = [ds(coordinate) for coordinate in self.placement.origins[index]]
        dataset.SliceLocation = ds(float(self._normal @ self.placement.origins[index]))

    def _write_volume(self, dataset: Dataset, volume: int, number: int) -> None:
        slices, volumes = self._slices_and_volumes
        dataset.AcquisitionNumber = volume + 1
        if volumes > 1:
            dataset.TemporalPositionIdentifier = volume + 1
            dataset.NumberOfTemporalPositions = volumes
        if self.image_class == "pt":
            dataset.SeriesType = ["DYNAMIC" if volumes > 1 else "STATIC", "IMAGE"]
            dataset.NumberOfSlices = slices
            if volumes > 1:
                dataset.NumberOfTimeSlices = volumes
            dataset.ImageIndex = number
            dataset.FrameReferenceTime = ds(volume)

    def _sources_of(self, index: int, volume: int) -> Sequence[FrameInfo] | None:
        """Returns the source's frames of the same plane, and of the same volume if there are as many volumes."""
        if self.placement.slices is not None:
            frames = self.placement.slices[index]
            return [frames[volume]] if len(frames) == self._slices_and_volumes[1] else frames
        is_elsewhere = self.placement.frame_of_reference_uid not in {"", self._sources_frame_of_reference_uid}
        if not isinstance(self.source, SourceSeries) or self.options.same_frame is False:
            return None
        if is_elsewhere and not self.options.same_frame:
            return None
        return frames_crossed(self.source, self.placement.corners(index))


def _sibling(shared: Encoded, sop_instance_uid: str, number: int) -> FileDataset:
    """Makes another instance of the series from the shared elements, with its own UID and number."""
    dataset = shared.copied()
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    dataset.SOPInstanceUID = UID(sop_instance_uid)
    dataset.InstanceNumber = number
    return dataset


def direction_letters(direction: NDArray[np.float64]) -> str:
    """Returns the letters of PatientOrientation (0020,0020) for the direction of a row or column (PS3.3, C.7.6.1.1.1).

    The main direction comes first, then the directions with at least a tenth of its length.

    Example:
        >>> direction_letters(np.array([1.0, 0.0, 0.0])), direction_letters(np.array([0.0, -0.9, 0.43]))
        ('L', 'AH')
    """
    pairs: tuple[Literal["LR"], Literal["PA"], Literal["HF"]] = ("LR", "PA", "HF")
    strength = np.abs(direction)
    order = [axis for axis in np.argsort(-strength, kind="stable") if strength[axis] >= 0.1 * strength.max()]
    return "".join(pairs[axis][0 if direction[axis] > 0 else 1] for axis in order)

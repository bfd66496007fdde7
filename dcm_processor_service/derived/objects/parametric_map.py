"""Makes a DICOM parametric map of the value of each voxel (PS3.3, sections A.75 and C.8.32), through highdicom.

The values are stored in floating point, unchanged, with the quantity and the unit that they have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived.attributes.anatomy import frame_anatomy
from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.modality import write_laterality
from dcm_processor_service.derived.attributes.pixels import require_window
from dcm_processor_service.derived.attributes.wording import require_line
from dcm_processor_service.derived.inputs import voxels_of
from dcm_processor_service.derived.objects.highdicom_bridge import (
    code_of,
    equipment,
    finish,
    load_highdicom,
    planes_of,
    released,
    require_series,
)
from dcm_processor_service.derived.terminology.codes import find_code, find_unit
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.geometry import slice_normal
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.models.derived import MapOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import Recipe

__all__ = ["parametric_map"]

_SH = 16
_QUANTITIES = (7180, 7181, 4107, 7469)


def parametric_map(
    voxels: Voxels,
    source: Source,
    recipe: Recipe,
    affine_lps: NDArray[np.float64] | None = None,
    options: MapOptions | None = None,
) -> Dataset:
    """Makes one parametric map object from an array, a Volume, or a NIfTI image or file.

    Args:
        voxels: Shape (i, j, k): column, row, slice. float32, booleans and integers of up to 16 bits are stored as
            float32, other numbers as float64. NaN is allowed and means no value.
        source: The images that the map was computed from. Positions are in their frame of reference.
        recipe: Producer, role and time of making.
        affine_lps: Shape (4, 4): maps (i, j, k, 1) to LPS mm, in place of the voxels' own affine. None for their own; a
            bare array then has the axes and shape of the source.
        options: Units, quantity, window.

    Raises:
        ConfigurationError: highdicom is not installed.
        DerivedObjectError: The array does not hold real numbers, has several volumes, or the source is not an
            image series.
    """
    options = options or MapOptions()
    highdicom = load_highdicom()
    series = require_series(source, "parametric map")
    given = voxels_of(voxels, affine_lps)
    values = _as_float(given.array)
    composite = Composite(recipe, series)
    planes = planes_of(replace(given, array=values), series, composite)
    if planes.placement.is_projection:
        raise DerivedObjectError(
            "a parametric map lies in space, and the source (projections, ultrasound) does not: make an image of the "
            "values instead, with derive()"
        )
    low, high = _range(values)
    shown = (low + high) / 2, max(high - low, float(np.spacing(abs(high))), 1e-12)
    center, width = shown if options.window is None else require_window(options.window)
    with contained():
        dataset: Dataset = highdicom.pm.ParametricMap(
            source_images=planes.images,
            pixel_array=planes.frames(planes.placement.array[..., 0]),
            contains_recognizable_visual_features=options.recognizable_face,
            real_world_value_mappings=[_meaning(highdicom, composite, options, (low, high))],
            window_center=center,
            window_width=width,
            content_label="MAP",
            content_description=composite.derivation[:64],
            **planes.arguments(highdicom),
            **equipment(composite),
        )
        dataset.ContentCreatorName = None  # it names a person, but a program made the map
        finish(dataset, composite)
        write_laterality(dataset)
        _make_windows_exact(dataset)
        _sort_frames(dataset)
        anatomy = frame_anatomy(series.first)
        if anatomy is not None:  # dcmqi crashes without this item; its side replaces Laterality (C.7.3.1)
            dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
            dataset.pop("Laterality", None)
    return released(dataset)


def _as_float(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "biuf":
        raise DerivedObjectError(f"values of type {array.dtype} cannot be a map: give numbers")
    if array.dtype in {np.dtype(np.float32), np.dtype(np.float64)}:
        return array
    small = array.dtype.itemsize <= 2 or array.dtype.kind == "b"  # noqa: PLR2004 float32 holds 24 bits
    return array.astype(np.float32 if small else np.float64)


def _range(values: NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _meaning(highdicom: Any, composite: Composite, options: MapOptions, value_range: tuple[float, float]) -> Any:
    """Returns the real world value mapping: slope 1, intercept 0, and the unit (PS3.3, section C.7.6.16.2.11)."""
    return highdicom.pm.RealWorldValueMapping(
        lut_label=(require_line("label", options.label, _SH) if options.label else composite.recipe.role[:_SH]),
        lut_explanation=composite.derivation[:64],
        unit=code_of(find_unit(options.units)),
        value_range=value_range,
        slope=1,
        intercept=0,
        quantity_definition=None if options.quantity is None else code_of(find_code(options.quantity, _QUANTITIES)),
    )


def _make_windows_exact(dataset: Dataset) -> None:
    """Makes windows LINEAR_EXACT, the only linear ones that may be less than 1 wide (PS3.3, section C.11.2.1.3)."""
    for groups in (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence):
        for window in groups.get("FrameVOILUTSequence", ()):
            window.VOILUTFunction = "LINEAR_EXACT"


def _sort_frames(dataset: Dataset) -> None:
    """Orders frames along the normal of their planes, as dcmqi expects; highdicom orders them the other way."""
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    orientation = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    normal = slice_normal([float(cosine) for cosine in orientation])
    along = [float(np.dot(normal, group.PlanePositionSequence[0].ImagePositionPatient)) for group in groups]
    order = np.argsort(along, kind="stable")
    ascending = [groups[one] for one in order]
    for index, group in enumerate(ascending, start=1):
        group.FrameContentSequence[0].DimensionIndexValues = index
    dataset.PerFrameFunctionalGroupsSequence = ascending
    for keyword in ("FloatPixelData", "DoubleFloatPixelData"):
        if keyword in dataset:
            content = np.frombuffer(dataset[keyword].value, np.uint8).reshape(len(groups), -1)
            dataset[keyword].value = content[order].tobytes()

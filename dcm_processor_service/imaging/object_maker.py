"""The port ``ObjectMaker`` over the makers of derived objects: any result, on the geometry of its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.spatialimages import SpatialImage

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging import derived
from dcm_processor_service.imaging.geometry import convert_frame
from dcm_processor_service.imaging.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.imaging.derived.source import Source
    from dcm_processor_service.models.derived import Code, Problem, Recipe, StudyIdentity

__all__ = ["DerivedObjectMaker"]


class DerivedObjectMaker:
    """Makes DICOM objects from results; a :class:`~dcm_processor_service.ports.ObjectMaker`."""

    def image(
        self, result: Any, source: Sequence[Dataset] | StudyIdentity, recipe: Recipe, options: Mapping[str, Any]
    ) -> list[Dataset]:
        """Makes an image series, or pages of pictures."""
        if isinstance(result, (list, tuple)):
            return list(derived.capture_pages(result, _source(source), recipe, **options))
        affine_lps = options.get("affine_lps")
        others = {name: value for name, value in options.items() if name != "affine_lps"}
        array, found_affine = _voxels(result)
        made = derived.derive_image(
            array,
            _source(source),
            recipe,
            found_affine if affine_lps is None else np.asarray(affine_lps, np.float64),
            derived.ImageOptions(**others),
        )
        return list(made.datasets)

    def segmentation(
        self,
        segments: Mapping[str, Any],
        source: Sequence[Dataset],
        recipe: Recipe,
        options: Mapping[str, Any],
    ) -> Dataset:
        """Makes a SEG."""
        masks = {}
        affines = []
        for name, mask in segments.items():
            if isinstance(mask, derived.Segment):
                masks[name] = mask
                continue
            array, affine_lps = _voxels(mask)
            masks[name] = derived.Segment(array)
            affines.append(affine_lps)
        return derived.segmentation(
            masks, _source(source), recipe, _one_affine(affines), derived.SegmentationOptions(**options)
        )

    def parametric_map(
        self, result: Any, source: Sequence[Dataset], recipe: Recipe, options: Mapping[str, Any]
    ) -> Dataset:
        """Makes a parametric map."""
        array, affine_lps = _voxels(result)
        return derived.parametric_map(array, _source(source), recipe, affine_lps, derived.MapOptions(**options))

    def measurement_report(
        self, findings: Mapping[str, Any], source: Sequence[Dataset], recipe: Recipe, options: Mapping[str, Any]
    ) -> Dataset:
        """Makes a TID 1500 report."""
        return derived.measurement_report(findings, _source(source), recipe, **options)

    def text_report(
        self,
        sections: Mapping[str, str] | str,
        source: Sequence[Dataset] | StudyIdentity,
        recipe: Recipe,
        options: Mapping[str, Code | str],
    ) -> Dataset:
        """Makes a Basic Text SR."""
        return derived.text_report(sections, _source(source), recipe, **options)

    def pdf(
        self, content: bytes, source: Sequence[Dataset] | StudyIdentity, recipe: Recipe, options: Mapping[str, Any]
    ) -> Dataset:
        """Wraps a PDF."""
        return derived.encapsulated_pdf(content, _source(source), recipe, derived.DocumentOptions(**options))

    def validate(self, dataset: Dataset) -> tuple[Problem, ...]:
        """Lists what the standard asks for and the object lacks."""
        return derived.validate(dataset)


def _source(source: Sequence[Dataset] | StudyIdentity) -> Source:
    return source if isinstance(source, derived.StudyIdentity) else derived.SourceSeries.from_headers(source)


def _voxels(result: Any) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Gives the array, and where it says so its affine in LPS."""
    if isinstance(result, Volume):
        return result.array, result.affine_lps
    if isinstance(result, SpatialImage):
        return _nifti_array(result), convert_frame(np.asarray(result.affine, np.float64), "RAS", "LPS")
    if isinstance(result, np.ndarray):
        return result, None
    raise UnsupportedValueError(
        f"a {type(result).__name__} is no result to derive from; give a Volume, a nibabel image or a numpy array"
    )


def _nifti_array(image: SpatialImage) -> NDArray[Any]:
    """Gives the values, as integers where they are stored so and no scaling is asked for."""
    return np.asanyarray(image.dataobj)


def _one_affine(affines: list[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    """Gives the affine that all masks share; those without one lie on the source's grid."""
    if not affines:
        return None
    first = affines[0]
    for other in affines[1:]:
        same = other is first if first is None or other is None else np.allclose(first, other)
        if not same:
            raise UnsupportedValueError("the masks lie on different grids; resample them to one, or to the source's")
    return first

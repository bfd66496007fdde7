"""The port ``ObjectMaker`` over the makers of derived objects: any result, on the geometry of its source."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service import derived
from dcm_processor_service.errors import UnsupportedValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import Code, Problem, Recipe, StudyIdentity

__all__ = ["DerivedObjectMaker"]


class DerivedObjectMaker:
    """Makes DICOM objects from results; a :class:`~dcm_processor_service.ports.ObjectMaker`."""

    def image(
        self, result: Any, source: Sequence[Dataset] | StudyIdentity, recipe: Recipe, options: Mapping[str, Any]
    ) -> list[Dataset]:
        """Makes an image series, or pages of pictures."""
        if isinstance(result, (list, tuple)):
            return list(derived.capture_pages(result, _source(source), _of_kind(recipe, "pages"), **options))
        affine_lps = options.get("affine_lps")
        others = {name: value for name, value in options.items() if name != "affine_lps"}
        array, found_affine = derived.voxels_of(result)
        made = derived.derive_image(
            array,
            _source(source),
            _of_kind(recipe, str(options.get("kind", "image"))),
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
            array, affine_lps = derived.voxels_of(mask)
            masks[name] = derived.Segment(array)
            affines.append(affine_lps)
        return derived.segmentation(
            masks,
            _source(source),
            _of_kind(recipe, "SEG"),
            _one_affine(affines),
            derived.SegmentationOptions(**options),
        )

    def parametric_map(
        self, result: Any, source: Sequence[Dataset], recipe: Recipe, options: Mapping[str, Any]
    ) -> Dataset:
        """Makes a parametric map."""
        array, affine_lps = derived.voxels_of(result)
        return derived.parametric_map(
            array, _source(source), _of_kind(recipe, "map"), affine_lps, derived.MapOptions(**options)
        )

    def measurement_report(
        self, findings: Mapping[str, Any], source: Sequence[Dataset], recipe: Recipe, options: Mapping[str, Any]
    ) -> Dataset:
        """Makes a TID 1500 report."""
        return derived.measurement_report(findings, _source(source), _of_kind(recipe, "measurements"), **options)

    def text_report(
        self,
        sections: Mapping[str, str] | str,
        source: Sequence[Dataset] | StudyIdentity,
        recipe: Recipe,
        options: Mapping[str, Code | str],
    ) -> Dataset:
        """Makes a Basic Text SR."""
        return derived.text_report(sections, _source(source), _of_kind(recipe, "text"), **options)

    def pdf(
        self, content: bytes, source: Sequence[Dataset] | StudyIdentity, recipe: Recipe, options: Mapping[str, Any]
    ) -> Dataset:
        """Wraps a PDF."""
        return derived.encapsulated_pdf(
            content, _source(source), _of_kind(recipe, "PDF"), derived.DocumentOptions(**options)
        )

    def validate(self, dataset: Dataset) -> tuple[Problem, ...]:
        """Lists what the standard asks for and the object lacks."""
        return derived.validate(dataset)

    def save(self, datasets: Iterable[Dataset], directory: Path) -> list[Path]:
        """Writes files."""
        return derived.save(datasets, directory)


def _of_kind(recipe: Recipe, kind: str) -> Recipe:
    return replace(recipe, object_kind=kind)


def _source(source: Sequence[Dataset] | StudyIdentity) -> Source:
    return source if isinstance(source, derived.StudyIdentity) else derived.SourceSeries.from_headers(source)


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

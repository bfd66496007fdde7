"""``session.dicom.derive`` for asynchronous callbacks; :mod:`.derive`, for blocking ones, explains it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, cast

from dcm_processor_service.errors import DerivedObjectError, UnsupportedValueError
from dcm_processor_service.models.derived import (
    ARTIFICIAL_INTELLIGENCE,
    DIAGNOSTIC_REPORT,
    MEASUREMENT_REPORT,
    DocumentOptions,
    ImageOptions,
    MapOptions,
    OverlayOptions,
    PresentationOptions,
    Recipe,
    RecipeFields,
    SegmentationOptions,
    SeveralSeries,
    StructureSetOptions,
    StudyIdentity,
)
from dcm_processor_service.models.reports import ENGLISH, ReportOptions
from dcm_processor_service.models.run_report import DerivedObject
from dcm_processor_service.session.images.series import DicomSeries
from dcm_processor_service.session.images.series_async import AsyncDicomSeries

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike
    from pydicom import Dataset

    from dcm_processor_service.derived.drawings.presentation import Marker
    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.pages import Picture
    from dcm_processor_service.derived.objects.reports.finding import Measured
    from dcm_processor_service.derived.objects.segmentations.segmentation import Segment
    from dcm_processor_service.derived.source import SourceFiles
    from dcm_processor_service.models.derived import Code, ImageKind, Problem, Producer
    from dcm_processor_service.models.reports import PersonObserver
    from dcm_processor_service.ports import Offload
    from dcm_processor_service.session.functions import DerivedFunctions
    from dcm_processor_service.session.recording import Recording

__all__ = ["NO_FIELDS", "AsyncDerive", "Like"]

M = TypeVar("M", bound="Dataset | list[Dataset]")

AnySeries: TypeAlias = "AsyncDicomSeries | DicomSeries"
"""A series of either mode."""

Like: TypeAlias = "AnySeries | Sequence[AnySeries] | Sequence[Dataset] | StudyIdentity"
"""The source of an object: a series, several series, or the headers of one; or an identity if there is no source."""

NO_FIELDS: RecipeFields = {}
"""An empty recipe."""


class AsyncDerive:
    """Makes DICOM objects; :class:`~dcm_processor_service.session.images.derive.Derive` explains the methods.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context, synthetic_series
        >>> async def report(ctx):
        ...     series = await ctx.session.dicom.get_series()
        ...     return (await ctx.session.dicom.derive.text_report("no finding", like=series)).Modality
        >>> asyncio.run(report(fake_async_context(series=synthetic_series(slices=3))))
        'SR'
    """

    def __init__(
        self, producer: Producer, functions: Callable[[], DerivedFunctions], offload: Offload, recording: Recording
    ) -> None:
        self._producer = producer
        self._functions = functions
        self._offload = offload
        self._recording = recording
        self._made: dict[str, str] = {}
        """Fingerprints of the objects that this job has made, by SOPInstanceUID."""

    async def __call__(
        self,
        result: Voxels | Sequence[Picture],
        *,
        like: Like,
        role: str,
        revision: int = 0,
        recipe: RecipeFields = NO_FIELDS,
        on: AsyncDicomSeries | DicomSeries | None = None,
        kind: ImageKind = "source",
        units: str | None = None,
        window: tuple[float, float] | None = None,
        same_frame: bool | None = None,
        multi_frame: bool = False,
        shows_identity: bool = True,
        affine_lps: ArrayLike | None = None,
    ) -> list[Dataset]:
        """Makes an image series; see :meth:`Derive.__call__`."""
        options = ImageOptions(kind, units, window, same_frame, multi_frame, shows_identity)
        return await self._make(
            like,
            role,
            revision,
            recipe,
            on,
            lambda make, source, how: make.image(result, source, how, options, affine_lps),
        )

    async def segmentation(
        self,
        segments: Mapping[str, Segment | Voxels] | Voxels,
        *,
        like: Like,
        labels: Mapping[int, Code | str] | str | None = None,
        role: str = "segmentation",
        revision: int = 0,
        recipe: RecipeFields = NO_FIELDS,
        on: AsyncDicomSeries | DicomSeries | None = None,
        kind: Literal["binary", "fractional", "labelmap"] | None = None,
        algorithm_type: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"] = "AUTOMATIC",
        algorithm_name: str = "",
        algorithm_family: Code | str = ARTIFICIAL_INTELLIGENCE,
        content_label: str = "SEGMENTATION",
    ) -> Dataset:
        """Makes a SEG; see :meth:`Derive.segmentation`."""
        options = SegmentationOptions(kind, algorithm_type, algorithm_name, algorithm_family, content_label)
        return await self._make(
            like,
            role,
            revision,
            recipe,
            on,
            lambda make, source, how: make.segmentation(segments, source, how, options, labels),
        )

    async def segmentations(
        self,
        segments: Mapping[str, Segment | Voxels] | Voxels,
        *,
        like: Like,
        labels: Mapping[int, Code | str] | str | None = None,
        role: str = "segmentation",
        revision: int = 0,
        recipe: RecipeFields = NO_FIELDS,
        on: AsyncDicomSeries | DicomSeries | None = None,
        kind: Literal["binary", "fractional", "labelmap"] | None = None,
        algorithm_type: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"] = "AUTOMATIC",
        algorithm_name: str = "",
        algorithm_family: Code | str = ARTIFICIAL_INTELLIGENCE,
        content_label: str = "SEGMENTATION",
    ) -> list[Dataset]:
        """Makes a SEG for each time point; see :meth:`Derive.segmentations`."""
        options = SegmentationOptions(kind, algorithm_type, algorithm_name, algorithm_family, content_label)
        return await self._make(
            like,
            role,
            revision,
            recipe,
            on,
            lambda make, source, how: make.segmentations(segments, source, how, options, labels),
        )

    async def rtstruct(
        self,
        structures: Mapping[str, Segment | Voxels] | Voxels,
        *,
        like: Like,
        labels: Mapping[int, Code | str] | str | None = None,
        role: str = "structures",
        revision: int = 0,
        recipe: RecipeFields = NO_FIELDS,
        on: AsyncDicomSeries | DicomSeries | None = None,
        algorithm_type: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"] = "AUTOMATIC",
        algorithm_name: str = "",
        algorithm_family: Code | str = ARTIFICIAL_INTELLIGENCE,
        label: str = "",
    ) -> Dataset:
        """Makes an RT Structure Set; see :meth:`Derive.rtstruct`."""
        options = StructureSetOptions(algorithm_type, algorithm_name, algorithm_family, label)
        return await self._make(
            like,
            role,
            revision,
            recipe,
            on,
            lambda make, source, how: make.structure_set(structures, source, how, options, labels),
        )

    async def overlay(
        self,
        volume: Voxels,
        structures: Mapping[str, Segment | Voxels] | Voxels,
        *,
        like: Like,
        labels: Mapping[int, Code | str] | str | None = None,
        role: str = "overlay",
        revision: int = 0,
        recipe: RecipeFields = NO_FIELDS,
        on: AsyncDicomSeries | DicomSeries | None = None,
        style: Literal["outline", "fill"] = "outline",
        window: tuple[float, float] | None = None,
        text: str = "",
        slices: Sequence[int] | None = None,
        shows_identity: bool = False,
    ) -> list[Dataset]:
        """Makes a series of fused pictures; see :meth:`Derive.overlay`."""
        options = OverlayOptions(style, window, text, slices, shows_identity)
        return await self._make(
            like,
            role,
            revision,
            recipe,
            on,
            lambda make, source, how: make.overlay(volume, structures, source, how, options, labels),
        )

    async def presentation(
        self,
        structures: Mapping[str, Segment | Voxels] | Voxels | None = None,
        *,
        like: Like,
        markers: Sequence[Marker] = (),
        labels: Mapping[int, Code | str] | str | None = None,
        role: str = "presentation",
        revision: int = 0,
        recipe: RecipeFields = NO_FIELDS,
        on: AsyncDicomSeries | DicomSeries | None = None,
        window: tuple[float, float] | None = None,
        text: str = "",
        content_label: str = "ANNOTATIONS",
    ) -> list[Dataset]:
        """Makes presentation states; see :meth:`Derive.presentation`."""
        options = PresentationOptions(window, text, content_label)
        return await self._make(
            like,
            role,
            revision,
            recipe,
            on,
            lambda make, source, how: make.presentation(structures, markers, source, how, options, labels),
        )

    async def parametric_map(
        self,
        result: Voxels,
        *,
        like: Like,
        role: str,
        revision: int = 0,
        recipe: RecipeFields = NO_FIELDS,
        on: AsyncDicomSeries | DicomSeries | None = None,
        units: Code | str = "1",
        quantity: Code | str | None = None,
        label: str = "",
        window: tuple[float, float] | None = None,
        recognizable_face: bool = False,
    ) -> Dataset:
        """Makes a parametric map; see :meth:`Derive.parametric_map`."""
        options = MapOptions(units, quantity, label, window, recognizable_face)
        return await self._make(
            like,
            role,
            revision,
            recipe,
            on,
            lambda make, source, how: make.parametric_map(result, source, how, options),
        )

    async def measurement_report(
        self,
        findings: Mapping[str, Measured],
        *,
        like: Like,
        role: str = "measurements",
        revision: int = 0,
        recipe: RecipeFields = NO_FIELDS,
        on: AsyncDicomSeries | DicomSeries | None = None,
        title: Code | str = MEASUREMENT_REPORT,
        observer: PersonObserver | None = None,
        language: Code | str = ENGLISH,
    ) -> Dataset:
        """Makes a TID 1500 report; see :meth:`Derive.measurement_report`."""
        options = ReportOptions(title, observer, language)
        return await self._make(
            like,
            role,
            revision,
            recipe,
            on,
            lambda make, source, how: make.measurement_report(findings, source, how, options),
        )

    async def text_report(
        self,
        sections: Mapping[str, str] | str,
        *,
        like: Like,
        role: str = "report",
        revision: int = 0,
        recipe: RecipeFields = NO_FIELDS,
        on: AsyncDicomSeries | DicomSeries | None = None,
        title: Code | str = DIAGNOSTIC_REPORT,
        observer: PersonObserver | None = None,
        language: Code | str = ENGLISH,
    ) -> Dataset:
        """Makes a Basic Text SR; see :meth:`Derive.text_report`."""
        options = ReportOptions(title, observer, language)
        return await self._make(
            like,
            role,
            revision,
            recipe,
            on,
            lambda make, source, how: make.text_report(sections, source, how, options),
        )

    async def pdf(
        self,
        content: bytes | str | Path,
        *,
        like: Like,
        role: str = "document",
        revision: int = 0,
        recipe: RecipeFields = NO_FIELDS,
        on: AsyncDicomSeries | DicomSeries | None = None,
        title: str = "",
        concept: Code | str = DIAGNOSTIC_REPORT,
        shows_identity: bool = True,
        modality: str = "DOC",
    ) -> Dataset:
        """Wraps a PDF; see :meth:`Derive.pdf`."""
        options = DocumentOptions(title, concept, shows_identity, modality)
        return await self._make(
            like, role, revision, recipe, on, lambda make, source, how: make.pdf(content, source, how, options)
        )

    async def validate(self, dataset: Dataset) -> tuple[Problem, ...]:
        """Lists the rules that an object breaks; see :meth:`Derive.validate`."""
        return await self._offload(lambda: self._functions().validate(dataset))

    async def save(self, datasets: Iterable[Dataset], directory: str | os.PathLike[str]) -> list[Path]:
        """Writes objects as files; see :meth:`Derive.save`."""
        return await self._offload(lambda: self._functions().save(datasets, Path(directory), True))

    async def _make(
        self,
        like: Like,
        role: str,
        revision: int,
        recipe: RecipeFields,
        on: AsyncDicomSeries | DicomSeries | None,
        make: Callable[[DerivedFunctions, SourceFiles, Recipe], M],
    ) -> M:
        how = self._recipe(role, revision, recipe)
        source = await _source(like, on)
        return await self._offload(lambda: self._remembered(make(self._functions(), source, how)))

    def _remembered(self, made: M) -> M:
        """Records and returns the object; raises if this job made a different one under the same UID before."""
        for dataset in made if isinstance(made, list) else [made]:
            content = self._functions().fingerprint(dataset)
            if self._made.setdefault(dataset.SOPInstanceUID, content) != content:  # atomic between threads
                raise DerivedObjectError(
                    "this job has made another result with the same role from the same source, and both would have "
                    "one UID: give each a role of its own, or, for a corrected result, the next revision"
                )
            self._recording.add_derived(_described(dataset, content), dataset)
        return made

    def _recipe(self, role: str, revision: int, fields: RecipeFields) -> Recipe:
        if unknown := fields.keys() - RecipeFields.__annotations__.keys():
            raise UnsupportedValueError(
                f"a recipe has no field {min(unknown)!r}; it has {', '.join(RecipeFields.__annotations__)}"
            )
        return Recipe(self._producer, role=role, revision=revision, **fields)


def _described(dataset: Dataset, digest: str) -> DerivedObject:
    """Returns the entry of an object in a report."""
    segments = tuple(str(one.get("SegmentLabel", "")) for one in dataset.get("SegmentSequence") or ())
    return DerivedObject(
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.get("SeriesInstanceUID") or ""),
        modality=str(dataset.get("Modality") or ""),
        digest=digest,
        segments=segments,
        kind=str(dataset.SOPClassUID.name).removesuffix(" Storage"),
        description=str(dataset.get("SeriesDescription") or ""),
    )


async def _source(like: Like, on: AsyncDicomSeries | DicomSeries | None) -> SourceFiles:
    """Returns the files of one or several series; returns headers or an identity as they are.

    Raises:
        UnsupportedValueError: ``on`` is none of the series, or ``like`` mixes series with something else.
    """
    if isinstance(like, StudyIdentity):
        if on is not None:
            raise UnsupportedValueError("on= names one of several series, and like is an identity: leave it out")
        return like
    given = [like] if isinstance(like, (DicomSeries, AsyncDicomSeries)) else like
    series = [each for each in given if isinstance(each, (DicomSeries, AsyncDicomSeries))]
    if not series:
        if on is not None:
            raise UnsupportedValueError("on= names one of several series, and like holds headers: leave it out")
        return cast("Sequence[Dataset]", given)
    if len(series) != len(given):
        raise UnsupportedValueError("like holds series and something else: give series, or the headers of one")
    first = series[0] if on is None else on
    others = [each for each in series if each.series_instance_uid != first.series_instance_uid]
    if on is not None and all(each.series_instance_uid != on.series_instance_uid for each in series):
        raise UnsupportedValueError("on= is none of the series that like names: give one of them")
    paths = await _paths(first)
    return SeveralSeries(paths, [path for each in others for path in await _paths(each)]) if others else paths


async def _paths(series: AnySeries) -> list[Path]:
    return await series.paths() if isinstance(series, AsyncDicomSeries) else series.paths()

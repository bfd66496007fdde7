"""``session.dicom.derive``: results become DICOM objects on the geometry, and with the identity, of their source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcm_processor_service.models.derived import Producer, Recipe, StudyIdentity
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.series import AsyncDicomSeries, DicomSeries

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from pydicom import Dataset

    from dcm_processor_service.models.derived import Code, Problem
    from dcm_processor_service.ports import ObjectMaker, Offload

    Like: TypeAlias = AsyncDicomSeries | DicomSeries | Sequence[Dataset] | StudyIdentity

__all__ = ["AsyncDerive", "Derive"]


class AsyncDerive:
    """Makes DICOM objects, for asynchronous callbacks; :class:`Derive` explains it."""

    def __init__(self, producer: Producer, maker: Callable[[], ObjectMaker], offload: Offload) -> None:
        self._producer = producer
        self._maker = maker
        self._offload = offload

    async def __call__(
        self, result: object, *, like: Like, role: str, recipe: Mapping[str, Any] | None = None, **options: Any
    ) -> list[Dataset]:
        """Makes an image series; see :meth:`Derive.__call__`."""
        source, how = await _source(like), self._recipe(role, recipe)
        return await self._offload(lambda: self._maker().image(result, source, how, options))

    async def segmentation(
        self,
        segments: Mapping[str, Any],
        *,
        like: Like,
        role: str = "segmentation",
        recipe: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Dataset:
        """Makes a SEG; see :meth:`Derive.segmentation`."""
        source, how = await _source(like), self._recipe(role, recipe)
        return await self._offload(lambda: self._maker().segmentation(segments, source, how, options))

    async def parametric_map(
        self, result: object, *, like: Like, role: str, recipe: Mapping[str, Any] | None = None, **options: Any
    ) -> Dataset:
        """Makes a parametric map; see :meth:`Derive.parametric_map`."""
        source, how = await _source(like), self._recipe(role, recipe)
        return await self._offload(lambda: self._maker().parametric_map(result, source, how, options))

    async def measurement_report(
        self,
        findings: Mapping[str, Any],
        *,
        like: Like,
        role: str = "measurements",
        recipe: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Dataset:
        """Makes a TID 1500 report; see :meth:`Derive.measurement_report`."""
        source, how = await _source(like), self._recipe(role, recipe)
        return await self._offload(lambda: self._maker().measurement_report(findings, source, how, options))

    async def text_report(
        self,
        sections: Mapping[str, str] | str,
        *,
        like: Like,
        role: str = "report",
        recipe: Mapping[str, Any] | None = None,
        **options: Code | str,
    ) -> Dataset:
        """Makes a Basic Text SR; see :meth:`Derive.text_report`."""
        source, how = await _source(like), self._recipe(role, recipe)
        return await self._offload(lambda: self._maker().text_report(sections, source, how, options))

    async def pdf(
        self,
        content: bytes,
        *,
        like: Like,
        role: str = "document",
        recipe: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Dataset:
        """Wraps a PDF; see :meth:`Derive.pdf`."""
        source, how = await _source(like), self._recipe(role, recipe)
        return await self._offload(lambda: self._maker().pdf(content, source, how, options))

    async def validate(self, dataset: Dataset) -> tuple[Problem, ...]:
        """Lists what an object lacks; see :meth:`Derive.validate`."""
        return await self._offload(lambda: self._maker().validate(dataset))

    async def save(self, datasets: Iterable[Dataset], directory: str | os.PathLike[str]) -> list[Path]:
        """Writes objects as files; see :meth:`Derive.save`."""
        return await self._offload(lambda: self._maker().save(datasets, Path(directory)))

    def _recipe(self, role: str, recipe: Mapping[str, Any] | None) -> Recipe:
        return Recipe(self._producer, role=role, **(recipe or {}))


async def _source(like: Like) -> Any:
    """Gives the headers of a series, or the identity where there is no source."""
    if isinstance(like, DicomSeries):
        return like.headers()
    if isinstance(like, AsyncDicomSeries):
        return await like.headers()
    return like if isinstance(like, StudyIdentity) else list(like)


class Derive:
    """Makes DICOM objects from results.

    Every object refers to its source, names the service that made it, and has UIDs that follow from session, source,
    role and version: a job that is retried overwrites its own result at the archive. ``role`` is what the object is
    within the job; ``recipe`` sets further fields of :class:`~dcm_processor_service.models.derived.Recipe`, such as
    ``series_description``. ``like`` is the source: a series, its headers, or a
    :class:`~dcm_processor_service.models.derived.StudyIdentity` where there is none.

    Example:
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> ctx = fake_context(series=synthetic_series(slices=4))
        >>> series = ctx.session.dicom.get_series()
        >>> volume = series.volume()
        >>> made = ctx.session.dicom.derive(volume.like(volume.array // 2), like=series, role="halved")
        >>> len(made), made[0].Modality, made[0].PatientID == series.headers()[0].PatientID
        (4, 'CT', True)
    """

    def __init__(self, derive: AsyncDerive) -> None:
        self._async = derive

    def __call__(
        self, result: object, *, like: Like, role: str, recipe: Mapping[str, Any] | None = None, **options: Any
    ) -> list[Dataset]:
        """Makes an image series: of the source's class, or Secondary Capture.

        Args:
            result: A Volume, a nibabel image, an array (i, j, k[, t]) on the source's grid, or a list of pages (PNG
                bytes or arrays).
            like: The source.
            role: What it is within the job.
            recipe: Further fields of the recipe.
            options: ``kind="sc"``, ``units``, ``window``, ``same_frame``, ``multi_frame``, ``affine_lps``.

        Raises:
            DerivedObjectError: Shape, geometry, values or identity do not make an image of that class.
        """
        return run_inline(self._async(result, like=like, role=role, recipe=recipe, **options))

    def segmentation(
        self,
        segments: Mapping[str, Any],
        *,
        like: Like,
        role: str = "segmentation",
        recipe: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Dataset:
        """Makes a SEG from masks by name: ``{"liver": mask}``; empty masks are welcome (extra ``highdicom``).

        Raises:
            ConfigurationError: highdicom is not installed.
            DerivedObjectError: A name has no code, or a mask does not fit the source.
        """
        return run_inline(self._async.segmentation(segments, like=like, role=role, recipe=recipe, **options))

    def parametric_map(
        self, result: object, *, like: Like, role: str, recipe: Mapping[str, Any] | None = None, **options: Any
    ) -> Dataset:
        """Makes a parametric map of floating-point values; ``unit="mm"`` says of what (extra ``highdicom``).

        Raises:
            ConfigurationError: highdicom is not installed.
            DerivedObjectError: The values do not fit the source.
        """
        return run_inline(self._async.parametric_map(result, like=like, role=role, recipe=recipe, **options))

    def measurement_report(
        self,
        findings: Mapping[str, Any],
        *,
        like: Like,
        role: str = "measurements",
        recipe: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Dataset:
        """Makes a TID 1500 structured report: ``{"liver": {"Volume": (1520.5, "ml")}}`` (extra ``highdicom``).

        Raises:
            ConfigurationError: highdicom is not installed.
            DerivedObjectError: A name has no code.
        """
        return run_inline(self._async.measurement_report(findings, like=like, role=role, recipe=recipe, **options))

    def text_report(
        self,
        sections: Mapping[str, str] | str,
        *,
        like: Like,
        role: str = "report",
        recipe: Mapping[str, Any] | None = None,
        **options: Code | str,
    ) -> Dataset:
        """Makes a Basic Text SR: text by section (``findings``, ``impression``…), or one text for the findings."""
        return run_inline(self._async.text_report(sections, like=like, role=role, recipe=recipe, **options))

    def pdf(
        self,
        content: bytes,
        *,
        like: Like,
        role: str = "document",
        recipe: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Dataset:
        """Wraps the bytes of a PDF so that it is stored with the study; ``title="…"`` names it.

        Raises:
            DerivedObjectError: The content is no PDF.
        """
        return run_inline(self._async.pdf(content, like=like, role=role, recipe=recipe, **options))

    def validate(self, dataset: Dataset) -> tuple[Problem, ...]:
        """Lists what the standard asks for and an object lacks: tag, keyword, rule, remedy."""
        return run_inline(self._async.validate(dataset))

    def save(self, datasets: Iterable[Dataset], directory: str | os.PathLike[str]) -> list[Path]:
        """Writes each object as a file of its own, whole or not at all; a run again replaces its files.

        Raises:
            DerivedObjectError: An object lacks what the standard asks for; :meth:`validate` lists it.
        """
        return run_inline(self._async.save(datasets, directory))

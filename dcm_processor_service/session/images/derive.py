"""``session.dicom.derive``: makes DICOM objects from results, with the geometry and identity of their source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from dcm_processor_service.models.derived import ARTIFICIAL_INTELLIGENCE, DIAGNOSTIC_REPORT, MEASUREMENT_REPORT
from dcm_processor_service.models.reports import ENGLISH
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.images.derive_async import NO_FIELDS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike
    from pydicom import Dataset

    from dcm_processor_service.derived.drawings.presentation import Marker
    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.pages import Picture
    from dcm_processor_service.derived.objects.reports.finding import Measured
    from dcm_processor_service.derived.objects.segmentations.segmentation import Segment
    from dcm_processor_service.models.derived import Code, ImageKind, Problem, RecipeFields
    from dcm_processor_service.models.reports import PersonObserver
    from dcm_processor_service.session.images.derive_async import AsyncDerive, Like
    from dcm_processor_service.session.images.series import DicomSeries
    from dcm_processor_service.session.images.series_async import AsyncDicomSeries

__all__ = ["Derive"]


class Derive:
    """Makes DICOM objects from results.

    Every object refers to its source, names the service that made it, and has UIDs that follow from session, job,
    source, role, revision and the service's version, so that a job that is retried makes its result under the same
    UIDs. If an archive receives both results, it decides which one it keeps; many archives keep the first. Two
    different results of one job need two roles; a different result under a role that is in use is refused. Each method
    that makes an object has these arguments:

    - ``like`` is the source: a series; several series, ``[t1, t2, flair]``, all of which the object refers to, with the
      geometry of the first or of ``on``; the headers of one series; or a
      :class:`~dcm_processor_service.models.derived.StudyIdentity` if there is no source;
    - ``role`` is the name of the object within the job;
    - ``revision`` counts corrected results: an object with ``revision=1`` is stored beside the first, and refers to it
      as the object that it replaces;
    - ``recipe`` sets further fields of :class:`~dcm_processor_service.models.derived.Recipe`: ``series_description``,
      ``series_number``, ``derivation``, ``derivation_code``, ``created``.

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
        """Makes an image series of the source's class, of another class, or of Secondary Capture.

        Args:
            result: A Volume, a nibabel image, an array (i, j, k[, t]) on the source's grid, or a list of pages (PNG
                bytes or arrays), for which only ``multi_frame`` and ``shows_identity`` apply. Bytes of shape
                (i, j, k, 3) are colours and become RGB Secondary Capture, unless they are a Volume whose fourth axis
                is three volumes. For one projection, bytes of shape (i, j, 3) are colours, too.
            like: The source.
            role: The name of the object within the job.
            revision: 0 for the first result, 1, 2, … for a corrected one.
            recipe: Further fields of the recipe.
            on: With several series, the one whose geometry, patient and study the object takes. None: the first.
            kind: The image class: ``source`` (the source's class if it is CT, MR or PET, else Secondary Capture),
                ``ct``, ``mr``, ``pt`` or ``sc``.
            units: The unit of the values: RescaleType (0028,1054), such as ``HU``, or for PET Units (0054,1001), such
                as ``BQML``; ``source`` for the source's unit. None: the volume's unit, except for masks and fractions.
                HU, of a volume or of values computed from a CT, is then written only if some values are -200 or lower,
                because no label map or probability has such values. For a PET whose source states a unit, ``units`` is
                required, except for masks and fractions.
            window: Center and width, in the unit of the values. None: the source's window if the unit is HU, or else
                the range of the values.
            same_frame: Whether a position means the same place in the patient as in the source. True for an array
                resampled within the scanner's space, False for one that was registered elsewhere. None: True exactly
                when the array is on the source's grid.
            multi_frame: Whether one instance holds all slices or pages; only for Secondary Capture.
            shows_identity: Whether pages show who the patient is: BurnedInAnnotation (0028,0301).
            affine_lps: Shape (4, 4): maps (i, j, k, 1) to LPS mm, for an array on another grid than the source's. None:
                the result's own affine, or the source's grid for an array.

        Raises:
            DerivedObjectError: Shape, geometry, values or identity do not fit an image of that class.
            UnsupportedValueError: The recipe has an unknown field.
        """
        return run_inline(
            self._async(
                result,
                like=like,
                role=role,
                revision=revision,
                recipe=recipe,
                on=on,
                kind=kind,
                units=units,
                window=window,
                same_frame=same_frame,
                multi_frame=multi_frame,
                shows_identity=shows_identity,
                affine_lps=affine_lps,
            )
        )

    def segmentation(
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
        """Makes a SEG from masks by name, ``{"liver": mask}``, or from a label map (extra ``highdicom``).

        Empty masks are allowed. A name may begin or end with a side, such as ``left kidney`` and ``kidney_left``.

        Args:
            segments: Masks by name, all on one grid: booleans, 0 and 1, or fractions from 0 to 1. Each name is looked
                up as a coded concept; a :class:`~dcm_processor_service.derived.Segment` has a code of its own. Or one
                label map of whole numbers, with ``labels``.
            like: The series that was segmented.
            labels: The structure of each label of a label map, as a name or a code: ``{1: "liver", 2: "spleen"}``.
                Labels without a name are left out. ``totalsegmentator`` and ``totalsegmentator:TASK`` name the label
                tables of that model, and ``monai:BUNDLE`` those of MONAI's model zoo.
            role: The name of the object within the job.
            revision: 0 for the first result, 1, 2, … for a corrected one.
            recipe: Further fields of the recipe.
            on: With several series, the one whose geometry, patient and study the object takes. None: the first.
            kind: ``binary``, ``fractional``, or ``labelmap``, which stores one label map (DICOM Supplement 243, of
                2024): it is smaller, fewer viewers read it, and its segments cannot overlap. None: fractional when a
                mask holds fractions, else binary.
            algorithm_type: SegmentAlgorithmType (0062,0008): ``AUTOMATIC``, ``SEMIAUTOMATIC`` or ``MANUAL``.
            algorithm_name: AlgorithmName (0066,0036). Empty: the service's name.
            algorithm_family: The kind of algorithm (CID 7162), by name or as a code.
            content_label: ContentLabel (0070,0080): upper case, digits and underscores, at most 16 characters.

        Raises:
            ConfigurationError: highdicom is not installed.
            DerivedObjectError: A name has no code, or a mask does not fit the source.
            UnsupportedValueError: The masks lie on different grids, or the recipe has an unknown field.
        """
        return run_inline(
            self._async.segmentation(
                segments,
                like=like,
                labels=labels,
                role=role,
                revision=revision,
                recipe=recipe,
                on=on,
                kind=kind,
                algorithm_type=algorithm_type,
                algorithm_name=algorithm_name,
                algorithm_family=algorithm_family,
                content_label=content_label,
            )
        )

    def segmentations(
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
        """Makes a SEG for each time point of a 4D series, in their order (extra ``highdicom``).

        Each is a series of its own, whose UIDs, SeriesNumber and description follow from the role and the time point,
        and refers to the source's frames of that time point alone. All have the same segments, even if a segment is
        empty at a time point.

        Args:
            segments: As in :meth:`segmentation`, but all of shape (i, j, k, t): booleans, 0 and 1, or fractions; or
                one label map of that shape, with ``labels``.
            like: The series that was segmented, with as many time points as the masks.
            labels: As of :meth:`segmentation`.
            role: The name of the objects within the job.
            revision: 0 for the first result, 1, 2, … for a corrected one.
            recipe: Further fields of the recipe; ``series_number`` is that of the first time point.
            on: With several series, the one whose geometry, patient and study the objects take. None: the first.
            kind: As of :meth:`segmentation`.
            algorithm_type: As of :meth:`segmentation`.
            algorithm_name: As of :meth:`segmentation`.
            algorithm_family: As of :meth:`segmentation`.
            content_label: As of :meth:`segmentation`.

        Raises:
            ConfigurationError: highdicom is not installed.
            DerivedObjectError: The masks have no fourth axis, or not as many time points as the source; or
                :meth:`segmentation` would refuse a mask.
            UnsupportedValueError: The masks lie on different grids, or the recipe has an unknown field.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> ctx = fake_context(series=synthetic_series(slices=3, kind="4d"))
            >>> series = ctx.session.dicom.get_series()
            >>> volume = series.volume()
            >>> made = ctx.session.dicom.derive.segmentations({"heart": volume.array > 0}, like=series)
            >>> len(made) == volume.shape[3]
            True
        """
        return run_inline(
            self._async.segmentations(
                segments,
                like=like,
                labels=labels,
                role=role,
                revision=revision,
                recipe=recipe,
                on=on,
                kind=kind,
                algorithm_type=algorithm_type,
                algorithm_name=algorithm_name,
                algorithm_family=algorithm_family,
                content_label=content_label,
            )
        )

    def rtstruct(
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
        """Makes an RT Structure Set: outlines of masks on their slices, in LPS mm.

        Outlines run halfway between voxels inside the mask and voxels outside, so that by the even-odd rule they
        enclose the centres of exactly the mask's voxels. A hole is joined to the outline around it by a channel of zero
        width (keyhole technique). Viewers show outlines if the slices of the masks are those of the series;
        :meth:`~dcm_processor_service.DicomSeries.to_source` moves a mask onto these slices. The file is written in
        Implicit VR, in which outlines of any length are allowed.

        Args:
            structures: As the segments of :meth:`segmentation`; a voxel with a fraction of 0.5 or more is inside.
            like: The series that was segmented. A series without positions in space is refused.
            labels: As of :meth:`segmentation`.
            role: The name of the object within the job.
            revision: 0 for the first result, 1, 2, … for a corrected one.
            recipe: Further fields of the recipe.
            on: With several series, the one whose geometry, patient and study the object takes. None: the first.
            algorithm_type: ROIGenerationAlgorithm (3006,0036): ``AUTOMATIC``, ``SEMIAUTOMATIC`` or ``MANUAL``.
            algorithm_name: AlgorithmName (0066,0036). Empty: the service's name.
            algorithm_family: The kind of algorithm (CID 7162), by name or as a code.
            label: StructureSetLabel (3006,0002), at most 16 characters. Empty: the role.

        Raises:
            DerivedObjectError: A name has no code, or a mask does not fit the source.
            UnsupportedValueError: The masks lie on different grids, or the recipe has an unknown field.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> ctx = fake_context(series=synthetic_series(slices=4))
            >>> series = ctx.session.dicom.get_series()
            >>> volume = series.volume()
            >>> made = ctx.session.dicom.derive.rtstruct({"bone": volume.array > 0}, like=series)
            >>> made.Modality, made.StructureSetROISequence[0].ROIName
            ('RTSTRUCT', 'bone')
        """
        return run_inline(
            self._async.rtstruct(
                structures,
                like=like,
                labels=labels,
                role=role,
                revision=revision,
                recipe=recipe,
                on=on,
                algorithm_type=algorithm_type,
                algorithm_name=algorithm_name,
                algorithm_family=algorithm_family,
                label=label,
            )
        )

    def overlay(
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
        """Makes fused pictures, which every viewer shows: structures in colour over the images, with a legend.

        The pictures are RGB Secondary Capture, with the planes and the frame of reference of the volume. The legend has
        the name, the colour and the volume in ml, over all slices, of each structure. Pictures below 400 pixels are
        enlarged by a whole number: they cover the same place with finer pixels.

        Args:
            volume: The images, shape (i, j, k), usually ``series.volume()``.
            structures: As the segments of :meth:`segmentation`, on the grid of the volume; names need no code. A
                structure is drawn in the colour of its :class:`~dcm_processor_service.Segment`, or else in the colour
                that is recommended for it, if there is one.
            like: The series that the volume was read from.
            labels: As of :meth:`segmentation`.
            role: The name of the object within the job.
            revision: 0 for the first result, 1, 2, … for a corrected one.
            recipe: Further fields of the recipe.
            on: With several series, the one whose geometry, patient and study the object takes. None: the first.
            style: ``outline``, or ``fill`` for transparent areas with their outlines.
            window: Center and width, in the unit of the values. None: the window of the volume's header, or else 40 and
                400 HU for a CT, or else the 1st to the 99th percentile.
            text: A line at the bottom of each picture, in Latin letters.
            slices: Key slices, by their index along the third axis of the volume, from 0. None: all.
            shows_identity: Whether names or ``text`` show who the patient is. If so, BurnedInAnnotation (0028,0301) is
                YES; if not, as in the source.

        Raises:
            DerivedObjectError: A mask does not fit the source, or a key slice does not exist.
            UnsupportedValueError: Volume and masks lie on different grids, a name or the text cannot be drawn, or the
                recipe has an unknown field.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> ctx = fake_context(series=synthetic_series(slices=4))
            >>> series = ctx.session.dicom.get_series()
            >>> volume = series.volume()
            >>> made = ctx.session.dicom.derive.overlay(volume, {"bone": volume.array > 0}, like=series, slices=[1, 2])
            >>> len(made), made[0].PhotometricInterpretation
            (2, 'RGB')
        """
        return run_inline(
            self._async.overlay(
                volume,
                structures,
                like=like,
                labels=labels,
                role=role,
                revision=revision,
                recipe=recipe,
                on=on,
                style=style,
                window=window,
                text=text,
                slices=slices,
                shows_identity=shows_identity,
            )
        )

    def presentation(
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
        """Makes presentation states (GSPS): outlines, markers and text that a viewer draws over the source itself.

        Makes one object, which refers to the images that it annotates; several if images are rescaled differently, as
        in PET. Each structure is a layer with its name and colour, which viewers can hide.

        Args:
            structures: As the segments of :meth:`segmentation`, on the slices of the source; names need no code.
            like: The greyscale series that is annotated.
            markers: Points in LPS mm, each shown on the slice nearest to it, with its text.
            labels: As of :meth:`segmentation`.
            role: The name of the object within the job.
            revision: 0 for the first result, 1, 2, … for a corrected one.
            recipe: Further fields of the recipe.
            on: With several series, the one whose geometry, patient and study the object takes. None: the first.
            window: Center and width, in the unit of the rescaled values. None: the source's.
            text: A line at the bottom of the screen.
            content_label: ContentLabel (0070,0080): upper case, digits and underscores, at most 16 characters.

        Raises:
            DerivedObjectError: There is nothing to show, a mask is not on the slices of the source
                (:meth:`~dcm_processor_service.DicomSeries.to_source`), a marker lies beside them, or the source is in
                colour.
            UnsupportedValueError: The masks lie on different grids, or the recipe has an unknown field.

        Example:
            >>> from dcm_processor_service import Marker
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> ctx = fake_context(series=synthetic_series(slices=4))
            >>> series = ctx.session.dicom.get_series()
            >>> here = Marker(tuple(series.volume().affine_lps[:3, 3]), "first voxel")
            >>> (made,) = ctx.session.dicom.derive.presentation(like=series, markers=[here])
            >>> made.GraphicAnnotationSequence[0].TextObjectSequence[0].UnformattedTextValue
            'first voxel'
        """
        return run_inline(
            self._async.presentation(
                structures,
                like=like,
                markers=markers,
                labels=labels,
                role=role,
                revision=revision,
                recipe=recipe,
                on=on,
                window=window,
                text=text,
                content_label=content_label,
            )
        )

    def parametric_map(
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
        """Makes a parametric map of floating-point values (extra ``highdicom``).

        Args:
            result: A Volume, a nibabel image or an array (i, j, k) on the source's grid. NaN means no value.
            like: The series that it was computed from.
            role: The name of the object within the job.
            revision: 0 for the first result, 1, 2, … for a corrected one.
            recipe: Further fields of the recipe.
            on: With several series, the one whose geometry, patient and study the object takes. None: the first.
            units: A UCUM unit of the values, such as ``mm2/s`` or ``%``, or any code; ``1`` for a pure number.
            quantity: What is measured, by name or as a code, such as ``"Apparent Diffusion Coefficient"``.
            label: LUTLabel (0040,9210), at most 16 characters. Empty: the role.
            window: Center and width, in the unit of the values. None: the range of the values.
            recognizable_face: Whether a person could be recognised: RecognizableVisualFeatures (0028,0302).

        Raises:
            ConfigurationError: highdicom is not installed.
            DerivedObjectError: The values do not fit the source, or a unit or quantity has no code.
            UnsupportedValueError: The recipe has an unknown field.
        """
        return run_inline(
            self._async.parametric_map(
                result,
                like=like,
                role=role,
                revision=revision,
                recipe=recipe,
                on=on,
                units=units,
                quantity=quantity,
                label=label,
                window=window,
                recognizable_face=recognizable_face,
            )
        )

    def measurement_report(
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
        """Makes a TID 1500 structured report: ``{"liver": {"Volume": (1520.5, "ml")}}`` (extra ``highdicom``).

        Args:
            findings: Measurements by the name of a finding: a dictionary from quantity to value and unit (UCUM), or a
                :class:`~dcm_processor_service.derived.Finding`, which can say more.
            like: The series that was measured.
            role: The name of the object within the job.
            revision: 0 for the first result, 1, 2, … for a corrected one.
            recipe: Further fields of the recipe.
            on: With several series, the one whose geometry, patient and study the object takes. None: the first.
            title: The kind of report: a concept of CID 7021, by name or as a code.
            observer: The person who observed, :class:`~dcm_processor_service.PersonObserver`. None: the service, as a
                device. Either way the report is complete and unverified.
            language: The language of the text, as a tag of RFC 5646 such as ``de``, or by its English name. Coded names
                stay English.

        Raises:
            ConfigurationError: highdicom is not installed.
            DerivedObjectError: A name has no code, a region is not in the images, or there is no such language.
            UnsupportedValueError: The recipe has an unknown field.

        Example:
            >>> from dcm_processor_service import Finding, Region
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> ctx = fake_context(series=synthetic_series(slices=4))
            >>> series = ctx.session.dicom.get_series()
            >>> x, y, z = series.volume().affine_lps[:3, 3]
            >>> box = Region("box", ((x, y, z), (x + 8, y + 6, z + 4)))
            >>> nodule = Finding({"Diameter": (8.0, "mm")}, finding="Nodule", region=box)
            >>> made = ctx.session.dicom.derive.measurement_report({"nodule 1": nodule}, like=series)
            >>> made.SOPClassUID.name
            'Comprehensive 3D SR Storage'
        """
        return run_inline(
            self._async.measurement_report(
                findings,
                like=like,
                role=role,
                revision=revision,
                recipe=recipe,
                on=on,
                title=title,
                observer=observer,
                language=language,
            )
        )

    def text_report(
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
        """Makes a Basic Text SR.

        Args:
            sections: Text by section (``findings``, ``impression``, …, or a coded concept by name), or one text for the
                findings.
            like: The series that the report is about or belongs to.
            role: The name of the object within the job.
            revision: 0 for the first result, 1, 2, … for a corrected one.
            recipe: Further fields of the recipe.
            on: With several series, the one whose geometry, patient and study the object takes. None: the first.
            title: What kind of report it is, by name or as a code.
            observer: The person who observed, :class:`~dcm_processor_service.PersonObserver`. None: the service, as a
                device. Either way the report is complete and unverified.
            language: The language of the text, as a tag of RFC 5646 such as ``de``, or by its English name. Coded names
                stay English.

        Raises:
            DerivedObjectError: A section or the title has no coded concept, or there is no such language.
            UnsupportedValueError: The recipe has an unknown field.
        """
        return run_inline(
            self._async.text_report(
                sections,
                like=like,
                role=role,
                revision=revision,
                recipe=recipe,
                on=on,
                title=title,
                observer=observer,
                language=language,
            )
        )

    def pdf(
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
        """Wraps a PDF so that it is stored with the study.

        Args:
            content: The bytes of the file, or its path.
            like: The series that the document is about or belongs to.
            role: The name of the object within the job.
            revision: 0 for the first result, 1, 2, … for a corrected one.
            recipe: Further fields of the recipe.
            on: With several series, the one whose geometry, patient and study the object takes. None: the first.
            title: DocumentTitle (0042,0010). Empty: the series description.
            concept: What kind of document it is, by name or as a code: ConceptNameCodeSequence (0040,A043).
            shows_identity: Whether the pages show who the patient is: BurnedInAnnotation (0028,0301). Set it to False
                only if you know that they do not.
            modality: Modality (0008,0060).

        Raises:
            DerivedObjectError: The content is not a PDF, or the concept has no code.
            UnsupportedValueError: The recipe has an unknown field.
        """
        return run_inline(
            self._async.pdf(
                content,
                like=like,
                role=role,
                revision=revision,
                recipe=recipe,
                on=on,
                title=title,
                concept=concept,
                shows_identity=shows_identity,
                modality=modality,
            )
        )

    def validate(self, dataset: Dataset) -> tuple[Problem, ...]:
        """Lists the rules of the standard that an object breaks, each with tag, keyword and remedy."""
        return run_inline(self._async.validate(dataset))

    def save(self, datasets: Iterable[Dataset], directory: str | os.PathLike[str]) -> list[Path]:
        """Writes each object as a file of its own, whole or not at all; a second run replaces the files.

        Raises:
            DerivedObjectError: An object breaks a rule of the standard; :meth:`validate` lists such rules.
        """
        return run_inline(self._async.save(datasets, directory))

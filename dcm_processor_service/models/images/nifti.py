"""Options and results of conversions to NIfTI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from dcm_processor_service.models.images.series_report import SeriesReport

__all__ = ["Engine", "Glance", "NiftiFiles", "NiftiVolume", "Policy", "Sidecar"]


class Glance(NamedTuple):
    """The identity of an instance, from a quick look at the header of its file.

    Example:
        >>> Glance("1.2.3", ("series", "patient"), size_bytes=526_000).sop_instance_uid
        '1.2.3'
    """

    sop_instance_uid: str
    belongs_to: Hashable
    """Equal for two files if their headers spell series and patient in the same way; not for display."""

    size_bytes: int


@dataclass(frozen=True)
class NiftiVolume:
    """One image that a conversion wrote.

    Example:
        >>> import tempfile
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> series = fake_context(series=synthetic_series(slices=6)).session.dicom.get_series()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (written,) = series.to_nifti(f"{folder}/scan.nii.gz").volumes
        >>> written.path.name, written.shape
        ('scan.nii.gz', (16, 16, 6))
    """

    path: Path
    name: str
    """Name that tells the volume apart from the others, such as ``echo-2``; empty when it is the only one."""

    shape: tuple[int, ...]
    """(i, j, k) or (i, j, k, t)."""

    affine_ras: tuple[tuple[float, ...], ...]
    """The matrix from (i, j, k, 1) to mm in RAS, as four rows of four numbers."""


@dataclass(frozen=True)
class NiftiFiles:
    """The files that a conversion wrote.

    Example:
        >>> import tempfile
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> series = fake_context(series=synthetic_series(slices=6)).session.dicom.get_series()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = series.to_nifti(f"{folder}/scan.nii.gz")
        >>> [path.name for path in (*files.paths, *files.sidecars)], files.engine, files.reason
        (['scan.nii.gz', 'scan.json'], 'native', 'one uniform volume')
    """

    paths: tuple[Path, ...]
    """The images, in an order that is the same for the same series. A single image has the path that was asked for; the
    names of several are made from it."""

    engine: str
    reason: str
    sidecars: tuple[Path, ...] = ()
    """The files beside the images: ``.json``, and for diffusion ``.bval`` and ``.bvec``."""

    volumes: tuple[NiftiVolume, ...] = ()
    report: SeriesReport | None = None


Engine: TypeAlias = Literal["auto", "native", "dcm2niix", "dicom2nifti"]
"""The engine that converts DICOM to NIfTI. ``auto`` chooses one by the kind of the series, and the result says why. The
others are those of :mod:`dcm_processor_service.imaging.nifti.engines`."""


Policy: TypeAlias = Literal["strict", "split", "largest", "resample"]
"""What to do with a series that is not one clean volume: refuse it, return every part or the largest, or resample
it."""


Sidecar: TypeAlias = Literal["bids", "simplified", "none"]
"""The JSON file beside a NIfTI file: with BIDS names and no patient attributes, with the whole header, or no file."""

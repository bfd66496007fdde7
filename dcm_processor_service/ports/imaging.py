"""Tools that compute on images: reading, inspecting, converting, making objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models import SeriesReport
    from dcm_processor_service.models.derived import Code, Problem, Recipe, StudyIdentity
    from dcm_processor_service.models.nifti import Engine, Glance, NiftiFiles, Policy, Sidecar

__all__ = [
    "DicomReader",
    "FileFormats",
    "NiftiConverter",
    "ObjectMaker",
    "VolumeReader",
]


class FileFormats(Protocol):
    """Turns values into files and back, by the extension of the name; ordinary functions, which the facade offloads."""

    def write(self, value: object, path: Path) -> None:
        """Writes a value.

        Raises:
            UnsupportedValueError: The extension is none of those known, or the value does not fit it.
        """

    def read(self, path: Path) -> Any:
        """Reads a value that does not depend on the file afterwards.

        Raises:
            UnsupportedValueError: The extension is none of those known.
            StoredValueError: The content is not what the extension says.
        """


class DicomReader(Protocol):
    """Reads DICOM files; ordinary functions, which the facade offloads."""

    def glance(self, path: Path) -> Glance | None:
        """Says whose a file is, where that is plain to see; None where only the header tells."""

    def header(self, path: Path) -> Dataset:
        """Reads a file up to its pixel data.

        Raises:
            InvalidSeriesError: The file is no DICOM file or is cut off.
        """

    def order(self, paths: Sequence[Path]) -> list[Path]:
        """Gives the files of one series in slice order: along the normal, then by time, then by InstanceNumber."""

    def datasets(self, paths: Sequence[Path]) -> Iterator[Dataset]:
        """Reads whole files, one at a time."""


class NiftiConverter(Protocol):
    """Turns the files of one series into NIfTI; an ordinary function, which the facade offloads."""

    def convert(
        self,
        paths: Sequence[Path],
        destination: Path,
        *,
        engine: Engine = "auto",
        policy: Policy = "strict",
        sidecar: Sidecar = "bids",
    ) -> NiftiFiles:
        """Writes ``destination`` (``.nii`` or ``.nii.gz``).

        Raises:
            InvalidSeriesError: The series is not one volume; carries the report.
            NiftiConversionError: The converter gave no usable result.
        """


class VolumeReader(Protocol):
    """Says what a series is, and reads its voxels; ordinary functions, which the facade offloads."""

    def inspect(self, paths: Sequence[Path]) -> SeriesReport:
        """Says what the files of one series are, from their headers."""

    def read(self, paths: Sequence[Path], policy: Policy) -> tuple[Volume, ...]:
        """Reads the volumes that the policy finds, in stable order.

        Raises:
            InvalidSeriesError: The policy refuses the series; carries the report.
            UnsupportedTransferSyntaxError: Its pixels cannot be decoded here.
        """

    def preview(self, paths: Sequence[Path]) -> bytes:
        """Draws a contact sheet of a series as PNG, with no patient text on it.

        Raises:
            InvalidSeriesError: The series holds no image that can be shown.
        """

    def preview_results(self, niftis: Sequence[Path], series: Sequence[Path]) -> Iterator[bytes | None]:
        """Draws a contact sheet of each NIfTI file, labels over the series that they were made from; None of others."""


class ObjectMaker(Protocol):
    """Makes DICOM objects from results; ordinary functions, which the facade offloads.

    ``source`` is the headers of the source series, or an identity where there is none; ``options`` are those of the
    maker, by name. Each raises DerivedObjectError when result and source do not make such an object.
    """

    def image(
        self, result: Any, source: Sequence[Dataset] | StudyIdentity, recipe: Recipe, options: Mapping[str, Any]
    ) -> list[Dataset]:
        """Makes an image series, or pages of pictures."""

    def segmentation(
        self, segments: Mapping[str, Any], source: Sequence[Dataset], recipe: Recipe, options: Mapping[str, Any]
    ) -> Dataset:
        """Makes a SEG."""

    def parametric_map(
        self, result: Any, source: Sequence[Dataset], recipe: Recipe, options: Mapping[str, Any]
    ) -> Dataset:
        """Makes a parametric map."""

    def measurement_report(
        self, findings: Mapping[str, Any], source: Sequence[Dataset], recipe: Recipe, options: Mapping[str, Any]
    ) -> Dataset:
        """Makes a TID 1500 report."""

    def text_report(
        self,
        sections: Mapping[str, str] | str,
        source: Sequence[Dataset] | StudyIdentity,
        recipe: Recipe,
        options: Mapping[str, Code | str],
    ) -> Dataset:
        """Makes a Basic Text SR."""

    def pdf(
        self, content: bytes, source: Sequence[Dataset] | StudyIdentity, recipe: Recipe, options: Mapping[str, Any]
    ) -> Dataset:
        """Wraps a PDF."""

    def validate(self, dataset: Dataset) -> tuple[Problem, ...]:
        """Lists what the standard asks for and the object lacks."""

    def save(self, datasets: Iterable[Dataset], directory: Path) -> list[Path]:
        """Writes each dataset as a file of its own, whole or not at all; refuses one with problems."""

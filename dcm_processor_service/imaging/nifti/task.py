"""The input of every engine: one conversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcm_processor_service.imaging.headers.instance_file import read_header
from dcm_processor_service.imaging.nifti.sidecar import bids_metadata, get_simplified_json
from dcm_processor_service.imaging.nifti.write import nifti_stem, sidecar_path, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.imaging.nifti.dcm2niix_image import Dcm2niixImage
    from dcm_processor_service.imaging.series.inspection import Inspection
    from dcm_processor_service.models.images.limits import Limits
    from dcm_processor_service.models.images.nifti import Policy, Sidecar

__all__ = ["DECODED_BY_PROGRAMS", "NATIVE_ONLY", "ConversionTask"]

NATIVE_ONLY = frozenset({"MODALITY_LUT", "REAL_WORLD_VALUES"})
"""Codes of findings that the native engine handles, and that dcm2niix and dicom2nifti ignore."""

DECODED_BY_PROGRAMS = frozenset({"MOSAIC", "COMPRESSED"})
"""Codes of findings that do not stop dcm2niix and dicom2nifti, which decode mosaics and compressed pixels by
themselves."""


@dataclass(frozen=True)
class ConversionTask:
    """One conversion: the inspected series, the destination and the options."""

    inspection: Inspection
    destination: Path
    policy: Policy
    sidecar: Sidecar
    limits: Limits
    """Limits of memory and time for reading."""

    max_gap_mm: float | None = None
    """The widest gap that is filled by interpolation; None for two median steps."""

    timeout_s: float = 600.0
    """Seconds after which a program is stopped."""

    dcm2niix_program: str = ""
    """Path of a dcm2niix to run in place of the installed one; empty for the installed one."""

    read_by_dcm2niix: tuple[Dcm2niixImage, ...] = ()
    """Images that dcm2niix made of the series, if it ran already and every voxel was compared; else empty."""

    @property
    def image_paths(self) -> list[Path]:
        """The files that hold pixels."""
        return [instance.path for instance in self.inspection.instances if instance.pixels is not None]

    def named_destination(self, name: str) -> Path:
        """Returns the destination of one of several volumes: ``scan_<name>.nii.gz`` for ``scan.nii.gz``."""
        stem = nifti_stem(self.destination)
        return self.destination.with_name(f"{stem}_{name}{self.destination.name[len(stem) :]}")

    def write_header_sidecar(self, target: Path) -> Path:
        """Writes the first header beside an image, in the form that ``sidecar`` names, and returns its path."""
        header = read_header(self.image_paths[0], self.limits)
        beside = sidecar_path(target)
        shape = self.inspection.report.shape
        if self.sidecar == "simplified":
            write_json(beside, get_simplified_json(header, shape[2] if shape else None))
        else:
            write_json(beside, bids_metadata(header))
        return beside

"""The description of one conversion, which every engine takes as its argument."""

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
"""Codes of findings about values that only the native engine converts correctly; dcm2niix and dicom2nifti ignore what
these findings describe."""

DECODED_BY_PROGRAMS = frozenset({"MOSAIC", "COMPRESSED"})
"""Codes of findings in spite of which dcm2niix and dicom2nifti are run, because they can read mosaics and compressed
pixels themselves."""


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
    """The widest gap between slices that policy ``resample`` fills; None for two median steps."""

    timeout_s: float = 600.0
    """Seconds after which dcm2niix is stopped."""

    dcm2niix_program: str = ""
    """Path of a dcm2niix to run instead of the installed one; empty for the installed one."""

    read_by_dcm2niix: tuple[Dcm2niixImage, ...] = ()
    """The images of dcm2niix, if it has already converted the series and every voxel was compared; else empty."""

    @property
    def image_paths(self) -> list[Path]:
        """The files that hold pixels."""
        return [instance.path for instance in self.inspection.instances if instance.pixels is not None]

    def named_destination(self, name: str) -> Path:
        """Returns the path for one of several volumes: ``scan_<name>.nii.gz`` for the destination ``scan.nii.gz``."""
        stem = nifti_stem(self.destination)
        return self.destination.with_name(f"{stem}_{name}{self.destination.name[len(stem) :]}")

    def write_header_sidecar(self, target: Path) -> Path:
        """Writes a sidecar from the header of the first file beside an image, and returns the sidecar's path."""
        header = read_header(self.image_paths[0], self.limits)
        beside = sidecar_path(target)
        shape = self.inspection.report.shape
        if self.sidecar == "simplified":
            write_json(beside, get_simplified_json(header, shape[2] if shape else None))
        else:
            write_json(beside, bids_metadata(header))
        return beside

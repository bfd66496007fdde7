"""Which engine converts which series: one converter over native, dcm2niix and dicom2nifti.

``auto`` tries in this order, and its result says which engine ran and why:

===========================  ==============================================================
a mosaic                     dcm2niix
diffusion                    dcm2niix, for ``.bval`` and ``.bvec``; then native, without them
pixels not decodable here    dcm2niix, which brings decoders of its own; then dicom2nifti
anything else                native
===========================  ==============================================================

Whatever the engine, the series is inspected first, and the policy decides whether it is converted at all.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.errors import (
    InvalidSeriesError,
    NiftiConversionError,
    UnsupportedTransferSyntaxError,
    UnsupportedValueError,
)
from dcm_processor_service.imaging.headers.instance_file import read_header
from dcm_processor_service.imaging.nifti.engine_dcm2niix import run_dcm2niix
from dcm_processor_service.imaging.nifti.sidecar import bids_metadata, write_with_sidecar
from dcm_processor_service.imaging.nifti.write import copy_nifti, nifti_stem, sidecar_path, write_json
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.series.policies import check_policy, open_findings, refusal
from dcm_processor_service.imaging.volumes.read import volumes_of
from dcm_processor_service.models import SeriesKind
from dcm_processor_service.models.nifti import NiftiFiles, NiftiVolume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.nifti.engine_dcm2niix import Dcm2niixImage
    from dcm_processor_service.imaging.series.inspection import Inspection
    from dcm_processor_service.models.nifti import Engine, Policy, Sidecar

__all__ = ["AutoConverter"]

ENGINES = ("auto", "native", "dcm2niix", "dicom2nifti")

# what dcm2niix gets right where the native engine has to refuse
_DCM2NIIX_ONLY = frozenset({"MOSAIC", "COMPRESSED"})
# what it and dicom2nifti leave undone
_NATIVE_ONLY = frozenset({"MODALITY_LUT"})
# what it splits into files by itself
_DCM2NIIX_SPLITS = frozenset(
    {
        "LOCALIZER",
        "MIXED_FORMAT",
        "MIXED_ORIENTATION",
        "MIXED_SIZE",
        "MULTI_VOLUME",
        "SINGLE_SLICE",
    }
)


@dataclass(frozen=True)
class AutoConverter:
    """Converts a series with the engine that suits it; a :class:`~dcm_processor_service.ports.NiftiConverter`.

    Args:
        timeout_s: After which dcm2niix is stopped.
        dcm2niix_program: Path of another dcm2niix than the one that is installed with this package.
    """

    timeout_s: float = 600.0
    dcm2niix_program: str = ""

    def convert(
        self,
        paths: Sequence[Path],
        destination: Path,
        *,
        engine: Engine = "auto",
        policy: Policy = "strict",
        sidecar: Sidecar = "bids",
    ) -> NiftiFiles:
        """Writes ``destination``, plain or gzipped as its name says, with sidecars beside it.

        Where the policy finds several volumes, each has a file of its own: ``scan.nii.gz`` becomes
        ``scan_<name>.nii.gz`` for every volume's name, in stable order.

        Args:
            paths: The files of one series, in any order.
            destination: ``.nii`` or ``.nii.gz``.
            engine: ``auto``, or one by name.
            policy: What to do with a series that is not one clean volume; see
                :mod:`dcm_processor_service.imaging.series.policies`.
            sidecar: The JSON beside each image: ``bids``, ``simplified`` or ``none``.

        Raises:
            InvalidNameError: The name ends in neither ``.nii`` nor ``.nii.gz``.
            InvalidSeriesError: The policy refuses the series; carries the report.
            UnsupportedTransferSyntaxError: No engine here can decode its pixels.
            UnsupportedValueError: There is no such engine or policy.
            NiftiConversionError: The engine made no usable result.
        """
        conversion = _Conversion(engine, policy, sidecar, self.timeout_s, self.dcm2niix_program)
        nifti_stem(destination)
        return conversion.run(examine(paths), destination)


@dataclass(frozen=True)
class _Conversion:
    engine: Engine
    policy: Policy
    sidecar: Sidecar
    timeout_s: float
    dcm2niix_program: str

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UnsupportedValueError(f"an engine is one of {', '.join(ENGINES)}, not {self.engine!r}")
        check_policy(self.policy)

    def run(self, inspection: Inspection, destination: Path) -> NiftiFiles:
        if self.engine == "native":
            return self._native(inspection, destination, "asked for")
        if self.engine == "dcm2niix":
            return self._dcm2niix(inspection, destination, "asked for")
        if self.engine == "dicom2nifti":
            return self._dicom2nifti(inspection, destination, "asked for")
        return self._auto(inspection, destination)

    def _auto(self, inspection: Inspection, destination: Path) -> NiftiFiles:
        report = inspection.report
        if report.kind is SeriesKind.MOSAIC:
            return self._dcm2niix(inspection, destination, "the slices of each volume lie in a mosaic")
        if report.is_diffusion and self.policy != "resample" and not _NATIVE_ONLY & report.codes:
            try:
                return self._dcm2niix(inspection, destination, "diffusion: it reads b-values and gradients")
            except (InvalidSeriesError, NiftiConversionError) as error:
                if self.policy == "strict" and isinstance(error, InvalidSeriesError):
                    raise
                reason = f"diffusion, without .bval and .bvec, because: {error}"
                return self._native(inspection, destination, reason)
        try:
            return self._native(inspection, destination, self._why_native(inspection))
        except UnsupportedTransferSyntaxError as missing:
            return self._without_decoder(inspection, destination, missing)

    def _why_native(self, inspection: Inspection) -> str:
        report = inspection.report
        if report.is_convertible:
            return "a clean 4D stack" if report.kind is SeriesKind.FOUR_D else "one uniform volume"
        return f"policy {self.policy} takes the volumes out of a series that is not one: {report.kind.value}"

    def _without_decoder(
        self, inspection: Inspection, destination: Path, missing: UnsupportedTransferSyntaxError
    ) -> NiftiFiles:
        for attempt in (self._dcm2niix, self._dicom2nifti):
            try:
                return attempt(inspection, destination, "no decoder for its pixels is installed")
            except (InvalidSeriesError, NiftiConversionError, UnsupportedTransferSyntaxError):
                continue
        raise missing

    def _native(self, inspection: Inspection, destination: Path, reason: str) -> NiftiFiles:
        volumes = volumes_of(inspection, self.policy)
        several = len(volumes) > 1
        written = [
            write_with_sidecar(
                volume,
                volume.to_nifti(),
                _named(destination, volume.name) if several else destination,
                self.sidecar,
                volume.name if several else "",
            )
            for volume in volumes
        ]
        return NiftiFiles(
            tuple(path for files in written for path in files.paths),
            "native",
            reason,
            tuple(path for files in written for path in files.sidecars),
            tuple(volume for files in written for volume in files.volumes),
            inspection.report,
        )

    def _dcm2niix(self, inspection: Inspection, destination: Path, reason: str) -> NiftiFiles:
        report = inspection.report
        allowed = _DCM2NIIX_ONLY | (_DCM2NIIX_SPLITS if self.policy in {"split", "largest"} else frozenset())
        refused = [finding for finding in report.findings if finding.blocking and finding.code not in allowed]
        refused += [finding for finding in report.findings if finding.code in _NATIVE_ONLY]
        if refused or not report.frame_count:
            raise refusal(report, refused)
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".dcm2niix-") as folder:
            images = run_dcm2niix(_image_paths(inspection), Path(folder), report, self.timeout_s, self.dcm2niix_program)
            if self.policy == "largest":
                images = (max(images, key=lambda image: _voxels(image.shape)),)
            elif len(images) > 1 and self.policy != "split":
                raise InvalidSeriesError(
                    f"series {report.series_instance_uid} is refused: dcm2niix makes {len(images)} images of it "
                    f"({', '.join(image.name for image in images)}): convert with policy split or largest",
                    report,
                )
            return self._keep(images, destination, inspection, reason)

    def _keep(
        self, images: Sequence[Dcm2niixImage], destination: Path, inspection: Inspection, reason: str
    ) -> NiftiFiles:
        several = len(images) > 1
        sidecars: list[Path] = []
        volumes = []
        for number, image in enumerate(images, start=1):
            name = (image.name or str(number)) if several else ""
            target = _named(destination, name) if several else destination
            copy_nifti(image.path, target)
            if self.sidecar == "bids":
                sidecars.append(sidecar_path(target))
                write_json(sidecars[-1], image.metadata)
            elif self.sidecar == "simplified":
                sidecars.append(self._header_sidecar(inspection, target))
            for gradient in image.gradients:
                sidecars.append(sidecar_path(target, gradient.suffix))
                shutil.move(gradient, sidecars[-1])
            volumes.append(NiftiVolume(target, name, image.shape, image.affine_ras))
        paths = tuple(volume.path for volume in volumes)
        return NiftiFiles(paths, "dcm2niix", reason, tuple(sidecars), tuple(volumes), inspection.report)

    def _header_sidecar(self, inspection: Inspection, target: Path) -> Path:
        from dcm_processor_service.imaging.nifti.sidecar import get_simplified_json

        header = read_header(_image_paths(inspection)[0])
        beside = sidecar_path(target)
        part = inspection.report.shape
        content = bids_metadata(header)
        if self.sidecar == "simplified":
            content = get_simplified_json(header, part[2] if part else None)
        write_json(beside, content)
        return beside

    def _dicom2nifti(self, inspection: Inspection, destination: Path, reason: str) -> NiftiFiles:
        from dcm_processor_service.imaging.nifti.engine_dicom2nifti import Dicom2NiftiConverter

        refused = [one for one in open_findings(inspection, "strict") if one.code not in _DCM2NIIX_ONLY]
        refused += [one for one in inspection.report.findings if one.code in _NATIVE_ONLY]
        if refused:
            raise refusal(inspection.report, refused)
        files = Dicom2NiftiConverter().convert(_image_paths(inspection), destination)
        expected = inspection.report.shape
        got = files.volumes[0].shape
        if inspection.report.kind is not SeriesKind.MOSAIC and expected is not None and sorted(got) != sorted(expected):
            for path in (*files.paths, *files.sidecars):
                path.unlink(missing_ok=True)
            raise NiftiConversionError(
                f"dicom2nifti gave shape {got} for series {inspection.report.series_instance_uid}, whose headers hold "
                f"{expected}: its result is not taken, try the engine native"
            )
        sidecars = files.sidecars
        if self.sidecar != "none":
            sidecars = (self._header_sidecar(inspection, destination), *sidecars)
        return replace(files, reason=reason, sidecars=sidecars, report=inspection.report)


def _image_paths(inspection: Inspection) -> list[Path]:
    return [instance.path for instance in inspection.instances if instance.pixels is not None]


def _named(destination: Path, name: str) -> Path:
    stem = nifti_stem(destination)
    return destination.with_name(f"{stem}_{name}{destination.name[len(stem) :]}")


def _voxels(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count

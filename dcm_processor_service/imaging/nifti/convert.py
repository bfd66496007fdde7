"""Converts DICOM to NIfTI: inspects a series, applies the policy, and runs the engine that suits the series.

The inspection says what the series is, and the policy decides whether it is converted.
:mod:`dcm_processor_service.imaging.nifti.engines` lists the engines, and says when each is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dcm_processor_service.errors import (
    InvalidSeriesError,
    NiftiConversionError,
    UnsupportedTransferSyntaxError,
    UnsupportedValueError,
)
from dcm_processor_service.imaging.headers.instance_file import foreign_errors_as
from dcm_processor_service.imaging.nifti.engines import ENGINES
from dcm_processor_service.imaging.nifti.task import ConversionTask
from dcm_processor_service.imaging.nifti.write import nifti_stem
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.series.policies import check_policy, refusal
from dcm_processor_service.models.images.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.models.images.nifti import Engine, NiftiFiles, Policy, Sidecar

__all__ = ["AutoConverter"]


@dataclass(frozen=True)
class AutoConverter:
    """Converts a series with the engine that suits it; implements :class:`~dcm_processor_service.ports.NiftiConverter`.

    Args:
        timeout_s: Seconds after which dcm2niix is stopped.
        dcm2niix_program: Path of a dcm2niix to run instead of the installed one.
        limits: Limits of memory and time for reading.
    """

    timeout_s: float = 600.0
    dcm2niix_program: str = ""
    limits: Limits = field(default_factory=Limits)

    def convert(
        self,
        paths: Sequence[Path],
        destination: Path,
        *,
        engine: Engine = "auto",
        policy: Policy = "strict",
        sidecar: Sidecar = "bids",
        max_gap_mm: float | None = None,
        verify: bool = False,
    ) -> NiftiFiles:
        """Writes ``destination``, plain or gzipped as its name says, with sidecars beside it.

        If the policy chooses several volumes, each gets its own file: instead of ``scan.nii.gz``, there is a
        ``scan_<name>.nii.gz`` with the name of each volume. Names and order are the same each time.

        Args:
            paths: The files of one series, in any order.
            destination: Path that ends in ``.nii`` or ``.nii.gz``.
            engine: Name of an engine, or ``auto``.
            policy: What to do with a series that is not one clean volume; see
                :mod:`dcm_processor_service.imaging.series.policies`.
            sidecar: The JSON beside each image: ``bids``, ``simplified`` or ``none``.
            max_gap_mm: The widest gap between slices that policy ``resample`` fills; None for two median steps.
            verify: Whether to convert only if this package and dcm2niix read every voxel with the same value and at the
                same place.

        Raises:
            InvalidNameError: The name of ``destination`` ends neither in ``.nii`` nor in ``.nii.gz``.
            InvalidSeriesError: The policy refuses the series; the error has the report.
            UnsupportedTransferSyntaxError: No engine here can decode the pixels.
            UnsupportedValueError: There is no such engine or policy.
            NiftiConversionError: The engine made no usable result, or ``verify`` found a difference.
        """
        names = ("auto", *ENGINES)
        if engine not in names:
            raise UnsupportedValueError(f"an engine is one of {', '.join(names)}, not {engine!r}")
        check_policy(policy)
        nifti_stem(destination)
        inspection = examine(paths, self.limits)
        task = ConversionTask(
            inspection,
            destination,
            policy,
            sidecar,
            max_gap_mm=max_gap_mm,
            timeout_s=self.timeout_s,
            limits=self.limits,
            dcm2niix_program=self.dcm2niix_program,
        )
        message = f"series {inspection.report.series_instance_uid} cannot be converted: a file of it is damaged"
        with foreign_errors_as(lambda: NiftiConversionError(f"{message}, or its result cannot be written")):
            if not verify:
                return _converted(task, engine)
            from dcm_processor_service.imaging.nifti.verification import verified

            with verified(task) as images:
                return _converted(replace(task, read_by_dcm2niix=images), engine)


def _converted(task: ConversionTask, engine: Engine) -> NiftiFiles:
    return _by_choice(task) if engine == "auto" else ENGINES[engine].convert(task, "asked for")


def _by_choice(task: ConversionTask) -> NiftiFiles:
    """Converts with the first engine that suits the series; if it fails, tries the next one, if that is allowed."""
    instead = ""
    for engine in ENGINES.values():
        choice = engine.chosen_for(task.inspection.report, task.policy)
        if choice is None:
            continue
        try:
            return engine.convert(task, instead or choice.reason)
        except UnsupportedTransferSyntaxError as missing:
            return _by_own_decoders(task, missing)
        except (InvalidSeriesError, NiftiConversionError) as error:
            refused = task.policy == "strict" and isinstance(error, InvalidSeriesError)
            if refused or not choice.otherwise:
                raise
            instead = f"{choice.otherwise}, because: {error}"
    raise refusal(task.inspection.report, ())


def _by_own_decoders(task: ConversionTask, missing: UnsupportedTransferSyntaxError) -> NiftiFiles:
    for engine in ENGINES.values():
        if not engine.brings_decoders:
            continue
        try:
            return engine.convert(task, "no decoder for its pixels is installed")
        except (InvalidSeriesError, NiftiConversionError, UnsupportedTransferSyntaxError):
            continue
    raise missing

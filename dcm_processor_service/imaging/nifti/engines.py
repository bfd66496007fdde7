"""The engines that convert DICOM to NIfTI, and the rules by which ``auto`` chooses one.

This table shows the choice; the result of a conversion says which engine ran, and why:

===========================  ==============================================================
a mosaic                     dcm2niix; then native
diffusion                    dcm2niix, which knows every vendor's b-values; then native
pixels not decodable here    dcm2niix, which brings decoders of its own; then dicom2nifti
anything else                native
===========================  ==============================================================

An engine is one module and one entry in :data:`ENGINES`. The module is imported when the engine runs. It has one
function, ``convert(task, reason)``, which takes a
:class:`~dcm_processor_service.imaging.nifti.task.ConversionTask` and returns
:class:`~dcm_processor_service.models.images.nifti.NiftiFiles` or raises ``InvalidSeriesError``,
``NiftiConversionError`` or ``UnsupportedTransferSyntaxError``. The name of a new engine must also be added to
:data:`~dcm_processor_service.models.images.nifti.Engine`, which editors and the command line show.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dcm_processor_service.imaging.nifti.task import NATIVE_ONLY
from dcm_processor_service.models import SeriesKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.imaging.nifti.task import ConversionTask
    from dcm_processor_service.models import NiftiFiles, SeriesReport
    from dcm_processor_service.models.images.nifti import Policy

__all__ = ["ENGINES", "EngineChoice", "NiftiEngine"]


class EngineChoice(NamedTuple):
    """The reason why ``auto`` chooses an engine for a series."""

    reason: str
    otherwise: str = ""
    """The reason for the next engine, if this one fails; empty if no other engine may be tried."""


def _never(_report: SeriesReport, _policy: Policy) -> EngineChoice | None:
    return None


@dataclass(frozen=True)
class NiftiEngine:
    """One engine, with the rule by which ``auto`` chooses it.

    Args:
        module: Name of its module, which has ``convert(task, reason)``.
        chosen_for: Function that takes the report on a series and a policy, and returns why ``auto`` chooses this
            engine; None if ``auto`` does not.
        brings_decoders: Whether to try it if this package cannot decode the pixels, because it has its own decoders.
    """

    module: str
    chosen_for: Callable[[SeriesReport, Policy], EngineChoice | None] = _never
    brings_decoders: bool = False

    def convert(self, task: ConversionTask, reason: str) -> NiftiFiles:
        """Converts a series; the result states ``reason`` as the reason why this engine ran.

        Raises:
            InvalidSeriesError: The engine, or the policy, refuses the series.
            UnsupportedTransferSyntaxError: The engine cannot decode the pixels.
            NiftiConversionError: The engine made no usable result.
        """
        files: NiftiFiles = importlib.import_module(self.module).convert(task, reason)
        return files


def _dcm2niix_choice(report: SeriesReport, policy: Policy) -> EngineChoice | None:
    if report.kind is SeriesKind.MOSAIC:
        return EngineChoice("the slices of each volume lie in a mosaic", "a mosaic whose layout is known")
    if report.is_diffusion and policy != "resample" and not NATIVE_ONLY & report.codes:
        return EngineChoice(
            "diffusion: it reads b-values and gradients of every vendor", "diffusion, by the standard's attributes"
        )
    return None


def _native_choice(report: SeriesReport, policy: Policy) -> EngineChoice | None:
    if report.is_convertible:
        return EngineChoice("a clean 4D stack" if report.kind is SeriesKind.FOUR_D else "one uniform volume")
    return EngineChoice(f"policy {policy} extracts volumes from a series that is not one volume: {report.kind.value}")


_HERE = __name__.rpartition(".")[0]

ENGINES: dict[str, NiftiEngine] = {
    "dcm2niix": NiftiEngine(f"{_HERE}.engine_dcm2niix", _dcm2niix_choice, brings_decoders=True),
    "native": NiftiEngine(f"{_HERE}.engine_native", _native_choice),
    "dicom2nifti": NiftiEngine(f"{_HERE}.engine_dicom2nifti", brings_decoders=True),
}
"""Engines by name, in the order in which ``auto`` tries them."""

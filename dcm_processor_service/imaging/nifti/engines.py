"""The engines that convert DICOM to NIfTI, and when each is chosen; an engine is one module and one entry here.

``auto`` tries them as this table says, and its result states which engine ran and why:

===========================  ==============================================================
a mosaic                     dcm2niix; then native
diffusion                    dcm2niix, which knows every vendor's b-values; then native
pixels not decodable here    dcm2niix, which brings decoders of its own; then dicom2nifti
anything else                native
===========================  ==============================================================

The module of an engine has one function, ``convert(task, reason)``, which takes a
:class:`~dcm_processor_service.imaging.nifti.task.ConversionTask` and returns
:class:`~dcm_processor_service.models.images.nifti.NiftiFiles` or raises ``InvalidSeriesError``,
``NiftiConversionError`` or ``UnsupportedTransferSyntaxError``. It is imported when the engine runs. Its name is added
to :data:`~dcm_processor_service.models.images.nifti.Engine`, which editors and the command line show.
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
    """The reason why ``auto`` takes an engine for a series."""

    reason: str
    otherwise: str = ""
    """Reason in the result of the next engine if this one fails; empty if no other engine may take over."""


def _never(_report: SeriesReport, _policy: Policy) -> EngineChoice | None:
    return None


@dataclass(frozen=True)
class NiftiEngine:
    """One engine, with the rule by which ``auto`` chooses it.

    Args:
        module: Name of its module, which has ``convert(task, reason)``.
        chosen_for: Function that returns why ``auto`` takes it for a series under a policy, or None.
        brings_decoders: Whether it is tried if this installation cannot decode the pixels.
    """

    module: str
    chosen_for: Callable[[SeriesReport, Policy], EngineChoice | None] = _never
    brings_decoders: bool = False

    def convert(self, task: ConversionTask, reason: str) -> NiftiFiles:
        """Converts a series; the result repeats ``reason`` as the reason for the engine.

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
    return EngineChoice(f"policy {policy} takes the volumes out of a series that is not one: {report.kind.value}")


_HERE = __name__.rpartition(".")[0]

ENGINES: dict[str, NiftiEngine] = {
    "dcm2niix": NiftiEngine(f"{_HERE}.engine_dcm2niix", _dcm2niix_choice, brings_decoders=True),
    "native": NiftiEngine(f"{_HERE}.engine_native", _native_choice),
    "dicom2nifti": NiftiEngine(f"{_HERE}.engine_dicom2nifti", brings_decoders=True),
}
"""Engines by name, in the order in which ``auto`` tries them."""

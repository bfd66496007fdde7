"""What the session's facades see of this room: the ports, over its functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models import SeriesReport
    from dcm_processor_service.models.nifti import Engine, NiftiFiles, Policy, Sidecar

__all__ = ["EngineConverter", "NativeVolumeReader"]


class NativeVolumeReader:
    """Inspects series and reads volumes natively; a :class:`~dcm_processor_service.ports.VolumeReader`."""

    def inspect(self, paths: Sequence[Path]) -> SeriesReport:
        """Says what the files of one series are."""
        return inspect_series(paths)

    def read(self, paths: Sequence[Path], policy: Policy) -> tuple[Volume, ...]:
        """Reads the volumes that the policy finds."""
        return read_volumes(paths, policy)

    def preview(self, paths: Sequence[Path]) -> bytes:
        """Draws a contact sheet."""
        from dcm_processor_service.imaging.pictures.series_sheet import preview_series  # loads Pillow

        return preview_series(paths)

    def preview_results(self, niftis: Sequence[Path], series: Sequence[Path]) -> Iterator[bytes | None]:
        """Draws contact sheets of results."""
        from dcm_processor_service.imaging.pictures.results import preview_results  # loads Pillow

        return preview_results(niftis, series)


class EngineConverter:
    """Converts with the engine that is asked for; a :class:`~dcm_processor_service.ports.NiftiConverter`."""

    def convert(
        self,
        paths: Sequence[Path],
        destination: Path,
        *,
        engine: Engine = "auto",
        policy: Policy = "strict",
        sidecar: Sidecar = "bids",
    ) -> NiftiFiles:
        """Writes the NIfTI files of one series."""
        return AutoConverter(engine, policy, sidecar).convert(paths, destination)

"""The argument and the result of the functions that read one vendor's elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dcm_processor_service.imaging.headers.values import in_groups, items, number, text, texts

if TYPE_CHECKING:
    from pydicom import Dataset

    from dcm_processor_service.imaging.headers.values import Header
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["MrScan", "Readout", "functional_groups"]

_ROW_AXIS, _COLUMN_AXIS = 0, 1


class Readout(NamedTuple):
    """The values that one vendor's elements state. A value that they do not state is None or empty."""

    is_positive: bool | None = None
    """Whether phase was encoded in the direction in which column or row numbers grow."""

    echo_spacing_s: float | None = None
    readout_s: float | None = None
    is_estimated: bool = False
    slice_times_s: tuple[float, ...] = ()
    """Times in seconds, one for each slice of the array."""

    multiband_factor: int | None = None


@dataclass(frozen=True)
class MrScan:
    """The headers of one MR volume, or of several volumes at the same place, such as a time series."""

    header: Dataset
    """Whole header of the first file, with private elements."""

    places: tuple[Dataset, ...]
    """The datasets that hold the first frame's attributes, in the order in which they are searched: its own functional
    groups, the shared functional groups, the header."""

    stack: Stack
    shape: tuple[int, ...]
    """Shape of the array: (i, j, k[, t])."""

    @property
    def is_mosaic(self) -> bool:
        """Whether each frame of the stack holds all slices of a volume."""
        return len(self.stack.grid[0]) < self.shape[2]

    @property
    def is_3d(self) -> bool:
        """Whether phase was encoded along the slices too."""
        return text(self.header, "MRAcquisitionType").upper() == "3D"

    @property
    def is_echo_planar(self) -> bool:
        """Whether several lines were read after each excitation, by alternating gradients."""
        is_named = "EP" in texts(self.header, "ScanningSequence")
        return is_named or text(self.header, "EchoPlanarPulseSequence").upper() == "YES"

    @property
    def phase_axis(self) -> int | None:
        """The array axis along which phase was encoded; None if the header does not say.

        The header says ROW or COL (PS3.3, section C.8.3.1); in enhanced objects, COLUMN.
        """
        said = in_groups(self.places, "MRFOVGeometrySequence", _text_or_none, "InPlanePhaseEncodingDirection")
        return {"ROW": _ROW_AXIS, "COL": _COLUMN_AXIS, "COLUMN": _COLUMN_AXIS}.get(str(said).upper())

    @property
    def phase_lines(self) -> int | None:
        """Number of lines of the reconstructed image along the axis of phase encoding; None if it is unknown."""
        if self.phase_axis is not None:
            return self.shape[self.phase_axis]
        return self.shape[0] if self.shape[0] == self.shape[1] else None

    @property
    def echo_train_length(self) -> float:
        """Number of lines that were read after each excitation; 0 if the header does not say."""
        timing = "MRTimingAndRelatedParametersSequence"
        return in_groups(self.places, timing, number, "EchoTrainLength") or 0.0

    @property
    def repetition_s(self) -> float | None:
        """RepetitionTime in seconds."""
        found = in_groups(self.places, "MRTimingAndRelatedParametersSequence", number, "RepetitionTime")
        return found / 1000 if found else None

    @property
    def maker(self) -> str:
        """Manufacturer, in capitals."""
        return text(self.header, "Manufacturer").upper()


def functional_groups(header: Dataset, frame_number: int) -> tuple[Dataset, ...]:
    """Returns the datasets to search for a frame's attributes: its own functional groups, the shared ones, the header.

    Args:
        header: Header with all its sequences.
        frame_number: Number of the frame, from 1; 0 leaves out the groups of single frames.
    """
    per_frame = items(header, "PerFrameFunctionalGroupsSequence")[max(frame_number - 1, 0) : frame_number]
    return (*per_frame, *items(header, "SharedFunctionalGroupsSequence")[:1], header)


def _text_or_none(dataset: Header, keyword: str) -> str | None:
    return text(dataset, keyword) or None

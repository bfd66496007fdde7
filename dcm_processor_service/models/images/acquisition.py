"""How an MR volume was acquired, as far as its headers say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Direction", "MrAcquisition"]

Direction: TypeAlias = tuple[float, float, float]
"""A direction in the patient: LPS, length 1."""


@dataclass(frozen=True)
class MrAcquisition:
    """The direction and speed of phase encoding, and the times of the slices; unknown values are None or empty.

    Directions are in the patient's coordinates, so that they do not depend on the axes of an array.

    Example:
        >>> acquisition = MrAcquisition(phase_encoding_lps=(0, 1, 0), is_polarity_known=True, readout_s=0.035)
        >>> acquisition.phase_encoding_lps, acquisition.slice_times_s
        ((0, 1, 0), ())
    """

    phase_encoding_lps: Direction | None = None
    """The direction in which phase was encoded, with the sign of BIDS's PhaseEncodingDirection."""

    is_polarity_known: bool = False
    """Whether the sign of that direction is known; if not, phase may have been encoded in the opposite direction."""

    echo_spacing_s: float | None = None
    """Seconds between two lines of the reconstructed image: BIDS's EffectiveEchoSpacing."""

    readout_s: float | None = None
    """Seconds from the first to the last line of the reconstructed image: BIDS's TotalReadoutTime."""

    is_readout_estimated: bool = False
    """Whether echo spacing and readout time come from the water-fat shift, the only value that Philips states."""

    slice_times_s: tuple[float, ...] = ()
    """The time at which each slice of a volume was excited, in seconds after the earliest slice; the slices are in the
    order of :attr:`slices_lps`."""

    slices_lps: Direction | None = None
    """Direction from the first slice to the next one."""

    multiband_factor: int | None = None
    """Number of slices that were excited at once; None if it was one, or is not known."""

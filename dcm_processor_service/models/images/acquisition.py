"""How an MR volume was acquired, as far as its headers say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Direction", "MrAcquisition"]

Direction: TypeAlias = tuple[float, float, float]
"""A direction in the patient: LPS, length 1."""


@dataclass(frozen=True)
class MrAcquisition:
    """In which direction phase was encoded, how fast, and when each slice was taken; what is not known is absent.

    Directions are those in the patient, so that they hold whatever the axes of an array.

    Example:
        >>> acquisition = MrAcquisition(phase_encoding_lps=(0, 1, 0), is_polarity_known=True, readout_s=0.035)
        >>> acquisition.phase_encoding_lps, acquisition.slice_times_s
        ((0, 1, 0), ())
    """

    phase_encoding_lps: Direction | None = None
    """Along which phase was encoded, as BIDS's PhaseEncodingDirection counts it."""

    is_polarity_known: bool = False
    """Whether the sign of that direction is known; if not, phase may have been encoded in the opposite direction."""

    echo_spacing_s: float | None = None
    """Between lines of the image as it was reconstructed: BIDS's EffectiveEchoSpacing."""

    readout_s: float | None = None
    """From the first line to the last one, of the image as it was reconstructed: BIDS's TotalReadoutTime."""

    is_readout_estimated: bool = False
    """Whether echo spacing and readout time come from the water-fat shift, the only value that Philips states."""

    slice_times_s: tuple[float, ...] = ()
    """When each slice of a volume was excited, seconds after its first; in the order of :attr:`slices_lps`."""

    slices_lps: Direction | None = None
    """Direction from the first slice to the next one."""

    multiband_factor: int | None = None
    """How many slices were excited at once, where they were several."""

"""Estimates the readout of Philips' scans from the water-fat shift; Philips states no polarity and no slice times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.imaging.acquisition.mr_scan import Readout
from dcm_processor_service.imaging.acquisition.private_blocks import owned_number
from dcm_processor_service.imaging.headers.values import in_groups, number

if TYPE_CHECKING:
    from dcm_processor_service.imaging.acquisition.mr_scan import MrScan

__all__ = ["philips_readout"]

_CREATOR = "Philips Imaging DD 001"
_WATER_FAT_PPM = 3.4


def philips_readout(scan: MrScan) -> Readout:
    """Estimates the readout of an echo-planar scan.

    The water-fat shift (2001,1022) is the number of pixels by which fat appears shifted. It equals the difference in
    frequency between fat and water, 3.4 ppm of the imaging frequency, times the duration of one excitation's lines.
    Their number is one more than EchoTrainLength.
    """
    shift = owned_number(scan.header, 0x2001, _CREATOR, 0x22)
    frequency = in_groups(scan.places, "MRImagingModifierSequence", number, "TransmitterFrequency")
    frequency = number(scan.header, "ImagingFrequency") or frequency
    train, lines = scan.echo_train_length, scan.phase_lines
    if not shift or not frequency or train < 2 or not lines or lines < 2:  # noqa: PLR2004 two lines have a spacing
        return Readout()
    readout = shift / (frequency * _WATER_FAT_PPM * (train + 1)) * train
    return Readout(None, readout / (lines - 1), readout, is_estimated=True)

"""Private elements that are read, as (group << 16 | element)."""

from __future__ import annotations

__all__ = [
    "GE_COMPLEX_PART",
    "GE_SEQUENCE_NAMES",
    "MOSAIC_TAGS",
    "PRIVATE_B_VALUES",
    "PRIVATE_TAGS",
    "SIEMENS_MOSAIC_COUNT",
    "UIH_GRID_COUNT",
]

# how many slices lie side by side in one image: US, DS
SIEMENS_MOSAIC_COUNT, UIH_GRID_COUNT = 0x0019100A, 0x00651050

# Siemens (0019,100C) IS, GE (0043,1039) IS in the first of four values
PRIVATE_B_VALUES = (0x0019100C, 0x00431039)

GE_COMPLEX_PART = 0x0043102F

GE_SEQUENCE_NAMES = (0x0019109C, 0x0019109E)
"""GE's name of the pulse sequence, and its internal one: LO."""

MOSAIC_TAGS = (SIEMENS_MOSAIC_COUNT, UIH_GRID_COUNT)
"""Private elements that count the slices in one image."""

PRIVATE_TAGS = (
    *PRIVATE_B_VALUES,
    *MOSAIC_TAGS,
    GE_COMPLEX_PART,
    *GE_SEQUENCE_NAMES,
    *(0x20050000 | block for block in range(0x10, 0x100)),
    *(0x20050000 | block << 8 | element for block in range(0x10, 0x100) for element in (0x0D, 0x0E)),
)
"""What is read of private elements: Philips' may stand in any block of their group."""

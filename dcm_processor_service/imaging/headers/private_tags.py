"""Tags of the private elements that are read, as numbers (group << 16 | element)."""

from __future__ import annotations

__all__ = [
    "GE_COMPLEX_PART",
    "GE_SEQUENCE_NAMES",
    "MOSAIC_GROUPS",
    "OWNERS",
    "PRIVATE_B_VALUES",
    "PRIVATE_TAGS",
    "SIEMENS_MOSAIC_COUNT",
    "UIH_GRID_COUNT",
]

# elements that state how many slices lie side by side in one image, of VR US and DS
SIEMENS_MOSAIC_COUNT, UIH_GRID_COUNT = 0x0019100A, 0x00651050

# elements that state b-values: of Siemens, VR IS; of GE, VR IS, the first of four values
PRIVATE_B_VALUES = (0x0019100C, 0x00431039)

GE_COMPLEX_PART = 0x0043102F

GE_SEQUENCE_NAMES = (0x0019109C, 0x0019109E)
"""GE's elements with the name of the pulse sequence and with its internal name, both of VR LO."""

MOSAIC_GROUPS = frozenset({0x0019, 0x0065})
"""Groups of the private elements that state the number of slices in one image."""

OWNERS = {
    SIEMENS_MOSAIC_COUNT: "SIEMENS MR HEADER",
    UIH_GRID_COUNT: "IMAGE PRIVATE HEADER",
    PRIVATE_B_VALUES[0]: "SIEMENS MR HEADER",
    PRIVATE_B_VALUES[1]: "GEMS_PARM_01",
    GE_COMPLEX_PART: "GEMS_PARM_01",
    **dict.fromkeys(GE_SEQUENCE_NAMES, "GEMS_ACQU_01"),
}
"""For each element above, the private creator of its block, in upper case."""

_BLOCKS = range(0x10, 0x100)

PRIVATE_TAGS = (
    *(tag & 0xFFFF00FF | block << 8 for tag in (*OWNERS, 0x2005100D, 0x2005100E) for block in _BLOCKS),
    *(group << 16 | block for group in (0x0019, 0x0043, 0x0065, 0x2005) for block in _BLOCKS),
)
"""The private elements that are read, in every block in which they may be, and the private creators of the blocks."""

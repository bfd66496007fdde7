"""Colours of structures: a table for structures without a colour, and conversions between sRGB and CIE L*a*b*."""

from __future__ import annotations

import numpy as np

__all__ = ["LABEL_COLOURS", "lab_of_rgb", "label_colour", "rgb_of_lab"]

# people with red-green colour blindness can tell these apart too (after Okabe and Ito)
LABEL_COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
_WHITE_D50 = np.array([0.96422, 1.0, 0.82521])
_TO_LINEAR_RGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
_BEND_LAB = 6 / 29
_BEND_RGB = 0.0031308


def label_colour(number: int) -> tuple[int, int, int]:
    """Returns a colour for a structure without one, by the structure's number, from 1; the table is used cyclically.

    Example:
        >>> label_colour(1), label_colour(1) == label_colour(len(LABEL_COLOURS) + 1)
        ((230, 159, 0), True)
    """
    return LABEL_COLOURS[(number - 1) % len(LABEL_COLOURS)]


def lab_of_rgb(rgb: tuple[int, int, int]) -> tuple[float, float, float]:
    """Converts sRGB, 0 to 255, to CIE L*a*b* under D50; :func:`rgb_of_lab` converts back.

    Example:
        >>> [round(part, 1) + 0.0 for part in lab_of_rgb((255, 0, 0))], rgb_of_lab(lab_of_rgb((12, 200, 34)))
        ([54.3, 80.8, 69.9], (12, 200, 34))
    """
    shown = np.array(rgb) / 255
    linear = np.where(shown > 12.92 * _BEND_RGB, ((shown + 0.055) / 1.055) ** 2.4, shown / 12.92)
    xyz = np.linalg.solve(_TO_LINEAR_RGB, linear) / _WHITE_D50
    x, y, z = np.where(xyz > _BEND_LAB**3, np.cbrt(xyz), xyz / (3 * _BEND_LAB**2) + 4 / 29).tolist()
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def rgb_of_lab(lab: tuple[float, float, float]) -> tuple[int, int, int]:
    """Converts CIE L*a*b* under D50, as in DICOM (PS3.3, section C.10.7.1.1), to sRGB, 0 to 255.

    For colours outside of sRGB, red, green and blue are clipped to their range.

    Example:
        >>> rgb_of_lab((100, 0, 0)), rgb_of_lab((53.6, 0, 0)), rgb_of_lab((54.29, 80.8, 69.89))
        ((255, 255, 255), (128, 128, 128), (255, 0, 0))
    """
    lightness, a, b = lab
    middle = (lightness + 16) / 116
    f = np.array([middle + a / 500, middle, middle - b / 200])
    xyz = np.where(f > _BEND_LAB, f**3, 3 * _BEND_LAB**2 * (f - 4 / 29)) * _WHITE_D50
    linear = np.clip(_TO_LINEAR_RGB @ xyz, 0, 1)
    shown = np.where(linear > _BEND_RGB, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    red, green, blue = (int(part) for part in np.rint(shown * 255))
    return red, green, blue

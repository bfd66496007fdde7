"""Display windows for images whose header has none."""

from __future__ import annotations

from dcm_processor_service.imaging.volumes.voxel_grid import DisplayWindow

__all__ = ["preset_window"]

_CT = (
    (("BRAIN", "HEAD", "SKULL", "NECK"), DisplayWindow(40, 80)),
    (("CHEST", "LUNG", "THORAX"), DisplayWindow(-500, 1500)),
    (
        ("SPINE", "BONE", "EXTREMITY", "HIP", "KNEE", "SHOULDER", "ANKLE", "WRIST", "FOOT", "HAND"),
        DisplayWindow(400, 1800),
    ),
)
_CT_SOFT_TISSUE = DisplayWindow(40, 400)


def preset_window(modality: str, body_part: str = "", unit: str = "HU") -> DisplayWindow | None:
    """Returns the usual display window for a modality and body part; None if the values have no fixed scale.

    Args:
        modality: Modality (0008,0060).
        body_part: BodyPartExamined (0018,0015).
        unit: Unit of the values; presets are only for Hounsfield units.

    Example:
        >>> preset_window("CT", "CHEST").center, preset_window("MR", "BRAIN")
        (-500, None)
    """
    if modality != "CT" or unit != "HU":
        return None
    part = body_part.upper()
    return next((window for words, window in _CT if any(word in part for word in words)), _CT_SOFT_TISSUE)

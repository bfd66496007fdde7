"""Makes fused pictures: structures painted over the images of a series, as RGB Secondary Capture on the same planes.

Every viewer shows them, even a viewer that supports neither segmentations nor structure sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived.attributes.pixels import require_window
from dcm_processor_service.derived.drawings.named_masks import NamedMasks
from dcm_processor_service.derived.inputs import voxels_of
from dcm_processor_service.derived.objects.image import color_images
from dcm_processor_service.derived.objects.segmentations.mask_checks import require_one_grid
from dcm_processor_service.derived.objects.segmentations.segmentation import Segment
from dcm_processor_service.derived.one_volume import place_one_volume
from dcm_processor_service.derived.placement import place
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.pictures.fused import FusedPictures, LegendEntry
from dcm_processor_service.imaging.volumes.resampling import apply_window, percentile_window
from dcm_processor_service.imaging.volumes.volume import Volume
from dcm_processor_service.imaging.volumes.voxel_grid import DisplayWindow
from dcm_processor_service.models.derived import OverlayOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom import FileDataset

    from dcm_processor_service.derived.inputs import PlacedArray, Voxels
    from dcm_processor_service.derived.placement import Placement
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import Code, Recipe

__all__ = ["overlay"]

_SOFT_TISSUE = DisplayWindow(40, 400)
_LEGIBLE_PIXELS = 400


def overlay(
    volume: Voxels,
    structures: Mapping[str, Segment | Voxels] | Voxels,
    source: Source,
    recipe: Recipe,
    labels: Mapping[int, Code | str] | str | None = None,
    options: OverlayOptions | None = None,
) -> list[FileDataset]:
    """Makes a series of fused pictures, one instance per slice, on the planes of the volume.

    Small images are enlarged by a whole factor, so that the legend is legible; their pixels become smaller, and the
    image covers the same area.

    Args:
        volume: The images, shape (i, j, k): usually the source as it was read.
        structures: Masks by name on the grid of the volume, or a label map; bare arrays get the volume's position.
            Names need no code.
        source: Series that the volume was read from.
        recipe: Producer, role and time of making.
        labels: Name or code of each label; only for a label map.
        options: Outline or fill, window, text, slices.

    Raises:
        DerivedObjectError: A mask does not fit, there is no such slice, or the source is not a series.
        UnsupportedValueError: Volume and masks lie on different grids, or a name or the text cannot be drawn.

    Example:
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> from dcm_processor_service.models.derived import Producer, Recipe
        >>> ct = dcmread(get_testdata_file("CT_small.dcm"))
        >>> image = ct.pixel_array.T - 1024
        >>> recipe = Recipe(Producer("thresholds", "1.0"), role="bones")
        >>> (made,) = overlay(image, {"bone": image > 300}, SourceSeries.from_headers([ct]), recipe)
        >>> made.PhotometricInterpretation, made.Rows, made.FrameOfReferenceUID == ct.FrameOfReferenceUID
        ('RGB', 512, True)
    """
    options = options or OverlayOptions()
    if options.style not in {"outline", "fill"}:
        raise DerivedObjectError(f"no style is called {options.style!r}: say 'outline' or 'fill'")
    if not isinstance(source, SourceSeries):
        raise DerivedObjectError("fused pictures show the images of a series: give that series as source")
    voxels = voxels_of(volume)
    placement = place_one_volume(voxels, source)
    masks = NamedMasks.of(_with_place(structures, volume), labels, source)
    require_one_grid([placement, masks.placement])
    columns, rows = placement.array.shape[:2]
    scale = 1 if placement.is_projection else max(1, -(-_LEGIBLE_PIXELS // max(columns, rows)))
    drawing = FusedPictures((rows, columns), scale, _legend(masks), options.text, options.style == "fill")
    chosen = _chosen(options.slices, voxels, source, len(placement.origins))
    window = _window(volume, placement.array, source, options.window)
    shown = text(source.first, "PhotometricInterpretation")
    negative = volume.is_monochrome1 if isinstance(volume, Volume) else shown == "MONOCHROME1"
    pictures = np.empty((len(chosen), rows * scale, columns * scale, 3), np.uint8)
    for picture, index in zip(pictures, chosen, strict=True):
        grey = apply_window(placement.array[:, :, index, 0].T, window, is_monochrome1=negative)
        picture[...] = drawing.draw(grey, ((number, mask.T) for number, mask in masks.on_slice(index)))
    placed = _enlarged(placement, pictures.transpose(2, 1, 0, 3), scale, chosen)
    made = color_images(placed, source, recipe)
    if options.shows_identity:
        for dataset in made:
            dataset.BurnedInAnnotation = "YES"
    return made


def _with_place(
    structures: Mapping[str, Segment | Voxels] | Voxels, volume: Voxels
) -> Mapping[str, Segment | Voxels] | Voxels:
    """Returns the masks; a bare array becomes a volume at the place of ``volume``, if that is a Volume."""

    def placed(mask: Voxels) -> Voxels:
        return volume.like(mask) if isinstance(volume, Volume) and isinstance(mask, np.ndarray) else mask

    if not isinstance(structures, Mapping):
        return placed(structures)
    return {
        name: replace(each, mask=placed(each.mask)) if isinstance(each, Segment) else placed(each)
        for name, each in structures.items()
    }


def _legend(masks: NamedMasks) -> tuple[LegendEntry, ...]:
    words = list(masks.said)
    if not masks.placement.is_projection:  # structures on a projection have no volume in ml
        words = [f"{name}  {ml:.1f} ml" for name, ml in zip(words, masks.volumes_ml(), strict=True)]
    return tuple(LegendEntry(*each) for each in zip(words, masks.colours(), strict=True))


def _chosen(slices: Sequence[int] | None, voxels: PlacedArray, source: SourceSeries, count: int) -> list[int]:
    """Converts indices of slices in the given array to indices on the planes of the source, ascending.

    Raises:
        DerivedObjectError: There is no such slice, or the source's slices do not follow the third axis of the array.
    """
    if slices is None:
        return list(range(count))
    shape = voxels.array.shape[:3]
    along = np.broadcast_to(np.arange(shape[2] if len(shape) > 2 else 1), shape)  # noqa: PLR2004 columns and rows
    found = place(replace(voxels, array=along), source).array[:, :, :, 0]
    if found[0, 0, 0] != found[-1, -1, 0]:
        raise DerivedObjectError(
            "slices are counted along the slices of the source, and the third axis of the volume is not that of its "
            "slices: give the volume as it was read"
        )
    at = {int(index): position for position, index in enumerate(found[0, 0])}
    wrong = sorted(set(slices) - at.keys())
    if wrong or not slices:
        raise DerivedObjectError(f"slices are one or more from 0 to {count - 1}; given: {wrong or 'none'}")
    return sorted({at[index] for index in slices})


def _window(
    volume: Voxels, array: NDArray[Any], source: SourceSeries, given: tuple[float, float] | None
) -> DisplayWindow:
    if given is not None:
        return DisplayWindow(*require_window(given))
    if isinstance(volume, Volume) and volume.display_window is not None:
        return volume.display_window
    return _SOFT_TISSUE if source.modality == "CT" else percentile_window(array)


def _enlarged(placement: Placement, pictures: NDArray[np.uint8], scale: int, chosen: Sequence[int]) -> Placement:
    """Places pictures on the chosen slices, with ``scale`` pixels for each source pixel along an axis."""
    affine = placement.affine_lps.copy()
    shift = affine[:3, :2].sum(axis=1) * (0.5 / scale - 0.5)  # the outer edges of the outer pixels stay where they are
    affine[:3, :2] /= scale
    origins = placement.origins[list(chosen)] + (0 if placement.is_projection else shift)
    affine[:3, 3] = origins[0]
    between_rows, between_columns = placement.pixel_spacing
    return replace(
        placement,
        array=pictures,
        affine_lps=affine,
        pixel_spacing=(between_rows / scale, between_columns / scale),
        origins=origins,
        slices=None if placement.slices is None else tuple(placement.slices[index] for index in chosen),
    )

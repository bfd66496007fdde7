"""The structures to be drawn: masks by name, or a label map, on one grid, available slice by slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived.attributes.wording import require_line
from dcm_processor_service.derived.inputs import voxels_of
from dcm_processor_service.derived.objects.segmentations.mask_checks import (
    chosen_labels,
    holds_fractions,
    require_one_grid,
    whole_numbers,
)
from dcm_processor_service.derived.objects.segmentations.segmentation import Segment
from dcm_processor_service.derived.one_volume import place_one_volume
from dcm_processor_service.derived.terminology.structures import find_structure
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.pictures.colours import LABEL_COLOURS, label_colour, rgb_of_lab
from dcm_processor_service.models.derived import Code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.placement import Placement
    from dcm_processor_service.derived.source import SourceSeries

__all__ = ["NamedMasks"]

_HALF = 0.5


@dataclass(frozen=True)
class NamedMasks:
    """Masks on one grid, with the name, code and colour given for each."""

    said: Mapping[str, Segment]
    """Segments by name. For a label map, the ``mask`` of each is the whole label map."""

    placement: Placement
    _arrays: tuple[NDArray[Any], ...] = field(repr=False)
    """Shape (columns, rows, slices): one for each name, or the label map alone."""

    _labels: tuple[int, ...] = ()
    """Labels of a label map, one for each name; empty for masks."""

    @classmethod
    def of(
        cls,
        structures: Mapping[str, Segment | Voxels] | Voxels,
        labels: Mapping[int, Code | str] | str | None,
        source: SourceSeries,
    ) -> NamedMasks:
        """Places masks by name, or a label map with the names of its labels.

        Raises:
            DerivedObjectError: A mask is invalid or does not lie on the source, two labels have one name, or the names
                of the labels are missing.
            UnsupportedValueError: The masks lie on different grids.
        """
        if isinstance(structures, Mapping):
            if labels is not None:
                raise DerivedObjectError("labels are the names of a label map, and masks have names: leave labels out")
            return cls._of_masks(structures, source)
        if labels is None:
            raise DerivedObjectError("a label map needs the names of its labels: labels={1: 'liver', 2: 'spleen'}")
        return cls._of_label_map(structures, labels, source)

    @classmethod
    def _of_masks(cls, masks: Mapping[str, Segment | Voxels], source: SourceSeries) -> NamedMasks:
        said = {
            require_line("the name of a structure", name): each if isinstance(each, Segment) else Segment(each)
            for name, each in masks.items()
        }
        voxels = {name: voxels_of(each.mask) for name, each in said.items()}
        holds_fractions({name: each.array for name, each in voxels.items()})
        placements = [place_one_volume(each, source) for each in voxels.values()]
        require_one_grid(placements)
        return cls(said, placements[0], tuple(each.array[..., 0] for each in placements))

    @classmethod
    def _of_label_map(
        cls, label_map: Voxels, labels: Mapping[int, Code | str] | str, source: SourceSeries
    ) -> NamedMasks:
        voxels = voxels_of(label_map)
        placement = place_one_volume(replace(voxels, array=whole_numbers(voxels.array)), source)
        array = placement.array[..., 0]
        chosen = chosen_labels(array, labels)
        said = {
            require_line("the name of a label", each.meaning if isinstance(each, Code) else each): Segment(
                array, code=each if isinstance(each, Code) else None
            )
            for each in chosen.values()
        }
        if len(said) < len(chosen):
            raise DerivedObjectError("two labels have the same name: merge them, or give them different names")
        return cls(said, placement, (array,), tuple(chosen))

    def on_slice(self, index: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Yields each structure that occurs on a slice: its number, from 0, and its mask of shape (columns, rows).

        A fraction of one half or more belongs to the mask.
        """
        if self._labels:
            plane = self._arrays[0][:, :, index]
            occur = set(np.unique(plane).tolist())
            yield from ((number, plane == label) for number, label in enumerate(self._labels) if label in occur)
            return
        for number, array in enumerate(self._arrays):
            mask = array[:, :, index] >= _HALF
            if mask.any():
                yield number, mask

    def colours(self) -> list[tuple[int, int, int]]:
        """Lists the colour of each structure: the given, or else the recommended, or else an unused palette colour.

        If an earlier structure has the recommended colour already, a palette colour is taken instead.
        """
        found: list[tuple[int, int, int]] = []
        for name, each in self.said.items():
            known = None if isinstance(each.code, Code) else find_structure(each.code or name)
            recommended = known.rgb if known is not None else None
            own = each.color_rgb or (rgb_of_lab(each.color_lab) if each.color_lab is not None else recommended)
            if own is None or (own in found and own is recommended):
                own = next((one for one in LABEL_COLOURS if one not in found), label_colour(len(found) + 1))
            found.append(own)
        return found

    def volumes_ml(self) -> list[float]:
        """Lists the volume of each structure, ml: for each voxel, the area of a pixel times the height of the slice."""
        found = [0.0] * len(self.said)
        area_mm2 = self.placement.pixel_spacing[0] * self.placement.pixel_spacing[1]
        for index, height_mm in enumerate(self.placement.heights_mm):
            for number, mask in self.on_slice(index):
                found[number] += np.count_nonzero(mask) * area_mm2 * height_mm / 1000
        return found

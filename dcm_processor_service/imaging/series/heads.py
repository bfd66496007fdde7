"""Reads the headers of one series, without pixels, from files on disk or from the first bytes of files elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from pydicom import FileDataset
from pydicom.charset import default_encoding
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset

from dcm_processor_service.imaging.headers.all_elements import short_elements_of
from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.fast_scan import SeriesMemory, scan_file, scan_head
from dcm_processor_service.imaging.headers.instance_file import foreign_errors_as, read_instance, unreadable
from dcm_processor_service.imaging.headers.raw_elements import FIRST_ELEMENT, read_element
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.series.inspection import report_on
from dcm_processor_service.imaging.series.order.slice_order import order_instances
from dcm_processor_service.models.images.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dcm_processor_service.imaging.headers.instance_file import InstanceFile, PixelLocation
    from dcm_processor_service.models import SeriesReport

__all__ = ["SeriesHeads", "read_headers"]

_LIMITS = Limits()
_MAPPING = "RealWorldValueMappingSequence"
_META_GROUP = b"\x02\x00"
_PREAMBLE_BYTES = 128
_LONG_VRS_HEAD_BYTES, _SHORT_HEAD_BYTES = 12, 8


class SeriesHeads:
    """Reads the headers of a series from the first bytes of its files, if these bytes suffice.

    Args:
        keeps_datasets: Whether :meth:`headers` will be called, which needs the datasets; :meth:`report` does not.
    """

    def __init__(self, *, keeps_datasets: bool) -> None:
        self._keeps_datasets = keeps_datasets
        self._memory = SeriesMemory()
        self._instances: list[InstanceFile] = []
        self._datasets: dict[int, FileDataset] = {}
        self._values: dict[bytes, bytes] = {}
        """The short values that were read, each by itself: files with equal values share one object."""

        self._has_mapping = False

    def add(self, path: Path, head: bytes, size_bytes: int) -> bool:
        """Reads a header, and returns whether the first bytes were enough for that.

        They are not if the header is longer than ``head``, if only pydicom can read the header, or if the pixels are
        compressed, because only the end of the file shows whether such pixels are complete.

        Args:
            path: The name of the file in messages; no file has to exist under this path.
            head: First bytes of the file.
            size_bytes: Size of the whole file.
        """
        with contained():
            instance = scan_head(path, head, size_bytes, self._memory)
            if instance is None or instance.pixels is None or instance.pixels.size_bytes is None:
                return False
            pixels = instance.pixels
            instance = self._with_elements(instance, head, pixels)
            if self._keeps_datasets:
                self._datasets[id(instance)] = _dataset(path, head, pixels)
        self._instances.append(instance)
        return True

    def _with_elements(self, instance: InstanceFile, head: bytes, pixels: PixelLocation) -> InstanceFile:
        """Adds those elements for which an inspection would otherwise open the file, which it cannot do here."""
        known = self._values.setdefault
        short = {tag: known(value, value) for tag, value in short_elements_of(head).items()}
        whole = None
        if not self._has_mapping and _MAPPING in instance.header:
            self._has_mapping = True
            whole = _dataset(instance.path, head, pixels)
        return replace(instance, is_there=False, short_elements=short, whole_header=whole)

    def headers(self) -> list[FileDataset]:
        """Returns the headers that were added, in slice order."""
        with contained():
            return [self._datasets[id(instance)] for instance in order_instances(self._instances)]

    def report(self) -> SeriesReport | None:
        """Returns the report on the series; None if a SOPInstanceUID is absent or occurs twice."""
        with contained():
            uids = {text(instance.header, "SOPInstanceUID") for instance in self._instances}
        return None if len(uids) < len(self._instances) or "" in uids else report_on(self._instances)


def read_headers(paths: Iterable[Path], limits: Limits = _LIMITS) -> list[FileDataset]:
    """Reads all elements up to the pixel data of the files of one series, in slice order.

    Raises:
        InvalidSeriesError: A file is not a DICOM file or ends inside its header.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> [header.Modality for header in read_headers([Path(get_testdata_file("CT_small.dcm"))])]
        ['CT']
    """
    memory = SeriesMemory()
    instances: list[InstanceFile] = []
    datasets: dict[int, FileDataset] = {}
    with contained():
        for path in paths:
            scanned = scan_file(path, memory)
            if scanned is None or scanned.instance.pixels is None:
                instance = read_instance(path, limits=limits)
                assert isinstance(instance.header, FileDataset)
                dataset = instance.header
            else:
                instance = scanned.instance
                dataset = _dataset(path, scanned.head, scanned.instance.pixels)
            instances.append(instance)
            datasets[id(instance)] = dataset
        return [datasets[id(instance)] for instance in order_instances(instances)]


def _dataset(path: Path, head: bytes, pixels: PixelLocation) -> FileDataset:
    """Makes a pydicom dataset of the header of a scanned file.

    It does the same as pydicom's own reader, but need not search for two positions that are known here: the end of the
    file meta information, and the beginning of the pixels.
    """
    own_head = _LONG_VRS_HEAD_BYTES if pixels.vr else _SHORT_HEAD_BYTES
    is_implicit = not pixels.vr  # an element of an explicit transfer syntax has a VR
    with foreign_errors_as(lambda: unreadable(path, "damaged, its header cannot be read: get it again")):
        begin = _end_of_meta(head)
        meta = FileMetaDataset(read_dataset(io.BytesIO(head[FIRST_ELEMENT:begin]), False, True))
        meta.set_original_encoding(False, True, default_encoding)
        content = _Head(head[: pixels.offset_bytes - own_head], str(path))
        content.seek(begin)
        elements = read_dataset(content, is_implicit, True)
        dataset = FileDataset(content, elements, head[:_PREAMBLE_BYTES], meta, is_implicit, True)
        dataset.set_original_encoding(is_implicit, True, elements.original_character_set)
    return dataset


def _end_of_meta(head: bytes) -> int:
    """Returns the position of the data set, which follows the elements of group 0002 (PS3.10, section 7.1)."""
    position = FIRST_ELEMENT
    while head.startswith(_META_GROUP, position):
        _tag, _vr, length, value = read_element(head, position, False)
        position = value + length
    return position


class _Head(io.BytesIO):
    """The bytes of a header, with the name of its file."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name

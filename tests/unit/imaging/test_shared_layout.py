"""Headers of a series that are compared block by block equal the same headers read one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.imaging.headers.fast_scan import SeriesMemory, scan_instance
from dcm_processor_service.imaging.headers.values import ScannedHeader
from tests.desk import examples
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dcm_processor_service.imaging.headers.instance_file import InstanceFile


def told(instance: InstanceFile) -> tuple[Any, ...]:
    """Returns everything that a scan reads from a file."""
    header = instance.header
    assert isinstance(header, ScannedHeader)
    elements = {key: (element.vr, element.content) for key, element in header.elements.items()}
    return elements, instance.pixels, instance.transfer_syntax_uid, instance.file_size_bytes


def same_as_alone(paths: list[Path]) -> SeriesMemory:
    memory = SeriesMemory()
    for path in paths:
        assert told(scan_instance(path, memory)) == told(scan_instance(path))
    return memory


def rewritten(paths: list[Path], change: Callable[[int, Dataset], None]) -> list[Path]:
    for number, path in enumerate(paths):
        ds = dcmread(path)
        change(number, ds)
        ds.save_as(path)
    return paths


def hits(memory: SeriesMemory) -> int:
    return memory.layout._hits


def test_most_files_of_a_series_are_compared_and_not_read(tmp_path: Path) -> None:
    memory = same_as_alone(single_frame(Recipe(slices=12, volumes=5), tmp_path))
    assert hits(memory) > 50


def add_private(number: int, ds: Dataset) -> None:
    block = ds.private_block(0x0029, "MAKER", create=True)
    block.add_new(0x10, "OB", bytes([number]) * (2 + 2 * (number % 5)))
    block.add_new(0x20, "LO", "x" * (number % 3))


def add_sequence(number: int, ds: Dataset) -> None:
    item = Dataset()
    item.ReferencedSOPInstanceUID = f"1.2.{number}"
    ds.ReferencedImageSequence = [item] * (1 + number % 3)
    ds["ReferencedImageSequence"].is_undefined_length = number % 7 != 3


def leave_out(number: int, ds: Dataset) -> None:
    if number % 4 == 1:
        del ds.SeriesDescription
    if number % 4 == 2:
        ds.SeriesNumber = None


def rescale(number: int, ds: Dataset) -> None:
    ds.RescaleSlope, ds.RescaleIntercept = f"{1 + number / 7:.4g}", "0"


def many(number: int, ds: Dataset) -> None:
    for change in (add_private, add_sequence, rescale):
        change(number, ds)
    ds.ImageComments = "c" * (3000 * (number % 3))


@pytest.mark.parametrize("change", [add_private, add_sequence, leave_out, rescale, many])
def test_whatever_differs_between_files_is_read(tmp_path: Path, change: Callable[[int, Dataset], None]) -> None:
    extra = {"SeriesDescription": "d", "SeriesNumber": "3"}
    memory = same_as_alone(rewritten(single_frame(Recipe(slices=24, extra=extra), tmp_path), change))
    assert hits(memory) > 0 or change is leave_out


def test_values_of_other_lengths_do_not_make_another_layout(tmp_path: Path) -> None:
    def lengthen(number: int, ds: Dataset) -> None:
        ds.SeriesDescription, ds.ImageComments = "d" * (2 + 2 * number), "c" * (300 * number)

    paths = rewritten(single_frame(Recipe(slices=24), tmp_path), lengthen)
    assert hits(same_as_alone(paths)) >= 20


def test_headers_longer_than_the_first_look_and_other_encodings_between(tmp_path: Path) -> None:
    def lengthen(number: int, ds: Dataset) -> None:
        ds.private_block(0x0029, "MAKER", create=True).add_new(0x10, "OB", bytes(100_000 + 2 * (number % 2)))

    (tmp_path / "implicit").mkdir()
    explicit = rewritten(single_frame(Recipe(slices=12, syntax=ExplicitVRLittleEndian), tmp_path), lengthen)
    implicit = single_frame(Recipe(slices=12, syntax=ImplicitVRLittleEndian), tmp_path / "implicit")
    mixed = [path for pair in zip(explicit, implicit, strict=True) for path in pair]
    assert hits(same_as_alone(mixed)) > 0


def test_a_series_whose_files_are_all_different_is_given_up(tmp_path: Path) -> None:
    def unlike(number: int, ds: Dataset) -> None:
        block = ds.private_block(0x0029, "MAKER", create=True)
        for element in range(number + 1):
            block.add_new(0x10 + element, "LO", "x")

    memory = same_as_alone(rewritten(single_frame(Recipe(slices=30), tmp_path), unlike))
    assert not memory.layout.is_of_use
    assert memory.layout._misses < 12


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000))
def test_damage_is_seen_as_if_the_file_stood_alone(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("series")
    paths = single_frame(Recipe(slices=6, rescale=("1", "-1024")), folder)
    random = np.random.default_rng(seed)
    memory = SeriesMemory()
    for path in paths[:4]:
        scan_instance(path, memory)
    content = bytearray(paths[4].read_bytes())
    header_bytes = len(content) - 40
    for _ in range(random.integers(1, 4)):
        content[int(random.integers(132, header_bytes))] = int(random.integers(256))
    damaged = folder / "damaged.dcm"
    kept_bytes = int(random.integers(200, len(content))) if seed % 2 else len(content)
    damaged.write_bytes(bytes(content)[:kept_bytes])
    assert outcome(damaged, memory) == outcome(damaged, SeriesMemory())


def outcome(path: Path, memory: SeriesMemory) -> Any:
    try:
        found = scan_instance(path, memory)
    except Exception as error:  # noqa: BLE001 what it raises alone it shall raise in company
        return type(error), str(error)
    return told(found) if isinstance(found.header, ScannedHeader) else [*found.header.keys()]

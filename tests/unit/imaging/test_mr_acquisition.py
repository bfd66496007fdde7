"""Phase encoding, readout and slice times are read if the header states them, and left out otherwise."""

from __future__ import annotations

import gzip
import json
import struct
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset, dcmread

from dcm_processor_service.imaging.acquisition.mr_scan import functional_groups
from dcm_processor_service.imaging.acquisition.private_blocks import (
    owned_item,
    owned_number,
    owned_numbers,
    owned_texts,
    owned_value,
)
from dcm_processor_service.imaging.headers.fast_scan import scan_instance
from dcm_processor_service.imaging.headers.values import ScannedHeader
from dcm_processor_service.imaging.nifti.engine_dcm2niix import run_dcm2niix
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FMRI = {
    "Manufacturer": "GE MEDICAL SYSTEMS",
    "ScanningSequence": ["EP", "GR"],
    "MRAcquisitionType": "2D",
    "RepetitionTime": "3000",
    "InPlanePhaseEncodingDirection": "COL",
    "AcquisitionMatrix": [64, 0, 0, 64],
    "RectilinearPhaseEncodeReordering": "LINEAR",
}
PHILIPS = {
    "Manufacturer": "Philips",
    "ImagingFrequency": "127.774832",
    "EchoTrainLength": "55",
    "InPlanePhaseEncodingDirection": "ROW",
}


def protocol(order: str, options: str = "EPI, FMRI") -> bytes:
    text = f'set IOPT "{options}"\nSLICEORDER "{order}"\n'
    packed = gzip.compress(text.encode(), mtime=0)  # a list, so that the names of tests are the same in every process
    return struct.pack("<I", len(packed)) + packed


def ge_elements(block: int, **changes: Any) -> Callable[[Dataset], None]:
    """GE's private elements in a block of that number."""
    elements = {
        "spacing_us": (0x43, "GEMS_PARM_01", 0x2C, "SS", 500),
        "asset": (0x43, "GEMS_PARM_01", 0x83, "DS", ["0.5", "1"]),
        "multiband": (0x43, "GEMS_PARM_01", 0xB6, "LO", ["1", "0"]),
        "delay_s": (0x43, "GEMS_PARM_01", 0x7C, "FL", 0.0),
        "slices": (0x21, "GEMS_RELA_01", 0x4F, "SS", 6),
        "protocol": (0x25, "GEMS_SERS_01", 0x1B, "OB", protocol("1")),
        "raw": (0x43, "GEMS_PARM_01", 0x2A, "OB", None),
        "name": (0x19, "GEMS_ACQU_01", 0x9E, "LO", "EPI"),
    }

    def add(ds: Dataset) -> None:
        for name, (group, creator, element, vr, usual) in elements.items():
            value = changes.get(name, usual)
            ds.add_new(group << 16 | block, "LO", creator)
            if value is not None:
                ds.add_new(group << 16 | block << 8 | element, vr, value)

    return add


def raw_header(*, options: int = 0x0800, polarity: int = 0, view_order: int = 0, revision: float = 26.0) -> bytes:
    content = bytearray(2000)
    struct.pack_into("<H", content, 24, 100)
    struct.pack_into("<f", content, 100, revision)
    shifted = revision > 25.002
    base = 100 + (0x4C if shifted else 0)
    struct.pack_into("<H", content, base + 0x3A, options)
    struct.pack_into("<H", content, base + 0x30, polarity)
    struct.pack_into("<H", content, base + (0x308 if shifted else 0x394), view_order)
    return bytes(content)


def sidecar(tmp_path: Path, extra: dict[str, Any], edit: Callable[[Dataset], None], **shape: Any) -> dict[str, Any]:
    paths = single_frame(Recipe(modality="MR", extra=extra, **shape), tmp_path)
    for path in paths:
        ds = dcmread(path)
        edit(ds)
        ds.save_as(path)
    read_volume(paths).to_nifti(tmp_path / "x.nii")
    content: dict[str, Any] = json.loads((tmp_path / "x.json").read_text())
    return content


@pytest.mark.parametrize("block", [0x10, 0x11, 0xEE])
def test_ge_elements_are_found_in_whatever_block_their_creator_reserved(tmp_path: Path, block: int) -> None:
    fields = sidecar(tmp_path, FMRI, ge_elements(block))
    assert fields["PhaseEncodingDirection"] == "j"
    # 32 of 64 lines are read, half a millisecond apart, for an image of 4 rows
    assert fields["TotalReadoutTime"] == pytest.approx(31 * 0.0005)
    assert fields["EffectiveEchoSpacing"] == pytest.approx(31 * 0.0005 / 3, rel=1e-5)
    assert fields["SliceTiming"] == [0, 1.5, 0.5, 2, 1, 2.5]
    assert "MultibandAccelerationFactor" not in fields


def test_ge_elements_that_lost_the_name_of_their_creator_say_nothing(tmp_path: Path) -> None:
    def anonymous(ds: Dataset) -> None:
        ge_elements(0x10)(ds)
        for group in (0x19, 0x21, 0x25, 0x43):
            del ds[group << 16 | 0x10]

    fields = sidecar(tmp_path, FMRI, anonymous)
    assert not {"TotalReadoutTime", "EffectiveEchoSpacing", "SliceTiming"} & fields.keys()


def test_ge_slices_are_timed_from_the_one_that_is_numbered_first(tmp_path: Path) -> None:
    fields = sidecar(tmp_path, FMRI, ge_elements(0x10, protocol=protocol("0")), reversed_numbers=True)
    assert fields["SliceTiming"] == [2.5, 2, 1.5, 1, 0.5, 0]


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": None},
        {"protocol": b"\0\0\0\0\x1f\x8b\x08damaged"},
        {"protocol": protocol("1", "EPI, MPH")},
        {"protocol": protocol("2")},
        {"delay_s": 0.5},
        {"slices": 5},
        {"multiband": ["2", "0"]},
        {"multiband": ["many"]},
        {"name": "epi_pepolar"},
    ],
    ids=repr,
)
def test_ge_slice_times_that_are_not_certain_are_left_out(tmp_path: Path, change: dict[str, Any]) -> None:
    assert "SliceTiming" not in sidecar(tmp_path, FMRI, ge_elements(0x10, **change))


def test_ge_states_how_many_slices_it_excites_at_once(tmp_path: Path) -> None:
    assert sidecar(tmp_path, FMRI, ge_elements(0x10, multiband=["3", "4"]))["MultibandAccelerationFactor"] == 3


def test_partial_fourier_of_ge_rounds_lines_up_to_four(tmp_path: Path) -> None:
    odd = FMRI | {"AcquisitionMatrix": [64, 0, 0, 68]}
    whole = sidecar(tmp_path, odd, ge_elements(0x10))
    part = sidecar(tmp_path, odd | {"ScanOptions": ["EPI_GEMS", "PFF"]}, ge_elements(0x10))
    assert whole["TotalReadoutTime"] == pytest.approx(33 * 0.0005)
    assert part["TotalReadoutTime"] == pytest.approx(35 * 0.0005)


RAW = {name: value for name, value in FMRI.items() if name != "RectilinearPhaseEncodeReordering"}


OF_UNKNOWN_LAYOUT = [raw_header(revision=revision) for revision in (float("nan"), 1.0, 99.0)]


@pytest.mark.parametrize("revision", [5.0, 16.0, 26.0, 40.0])
@pytest.mark.parametrize(("polarity", "view_order", "said"), [(0, 0, "j"), (4, 0, "j-"), (0, 2, "j-"), (4, 2, "j")])
def test_polarity_of_older_ge_releases_stands_in_the_raw_header(
    tmp_path: Path, revision: float, polarity: int, view_order: int, said: str
) -> None:
    raw = raw_header(polarity=polarity, view_order=view_order, revision=revision)
    assert sidecar(tmp_path, RAW, ge_elements(0x10, raw=raw))["PhaseEncodingDirection"] == said


@pytest.mark.parametrize("raw", [None, b"short", bytes(100), raw_header(options=0), *OF_UNKNOWN_LAYOUT], ids=str)
def test_without_polarity_the_axis_alone_is_reported(tmp_path: Path, raw: bytes | None) -> None:
    fields = sidecar(tmp_path, RAW, ge_elements(0x10, raw=raw))
    assert fields["PhaseEncodingAxis"] == "j"
    assert "PhaseEncodingDirection" not in fields


def test_two_polarities_that_contradict_each_other_are_none(tmp_path: Path) -> None:
    fields = sidecar(tmp_path, FMRI, ge_elements(0x10, raw=raw_header(polarity=4)))
    assert fields["PhaseEncodingAxis"] == "j"
    assert "PhaseEncodingDirection" not in fields


@pytest.mark.parametrize(("block", "creator"), [(0x10, "Philips Imaging DD 001"), (0x42, "PHILIPS IMAGING DD 001")])
def test_philips_readout_is_called_an_estimate(tmp_path: Path, block: int, creator: str) -> None:
    def add(ds: Dataset) -> None:
        ds.add_new(0x20010000 | block, "LO", creator)
        ds.add_new(0x20010000 | block << 8 | 0x22, "FL", 13.9626)

    fields = sidecar(tmp_path, PHILIPS, add, columns=112)
    # the result of dcm2niix for these numbers
    assert fields["EstimatedTotalReadoutTime"] == pytest.approx(0.0315659, rel=1e-5)
    assert fields["EstimatedEffectiveEchoSpacing"] == pytest.approx(0.000284377, rel=1e-4)
    assert fields["PhaseEncodingAxis"] == "i"
    assert not {"TotalReadoutTime", "EffectiveEchoSpacing", "PhaseEncodingDirection"} & fields.keys()


SIEMENS_EPI = {
    "Manufacturer": "SIEMENS",
    "ScanningSequence": "EP",
    "MRAcquisitionType": "2D",
    "RepetitionTime": "2000",
    "AcquisitionDate": "20240301",
}


def timed(
    slice_s: Sequence[float], volume_s: Sequence[float], start: str = "235958.500000"
) -> Callable[[Dataset], None]:
    """Sets AcquisitionTime by the place of the slice and the number of the volume; the scan may go on past midnight."""
    begin = datetime.strptime(f"20240301 {start}", "%Y%m%d %H%M%S.%f")  # noqa: DTZ007 headers have no zone

    def add(ds: Dataset) -> None:
        k = round((float(ds.ImagePositionPatient[2]) + 7) / 2.5)
        volume = int(ds.get("TemporalPositionIdentifier", 1)) - 1
        at = begin + timedelta(seconds=slice_s[k] + volume_s[volume])
        ds.AcquisitionDate, ds.AcquisitionTime = f"{at:%Y%m%d}", f"{at:%H%M%S.%f}"

    return add


INTERLEAVED = (0.9975, 0.0, 1.3325, 0.3325, 1.6675, 0.665)


@pytest.mark.parametrize("volumes", [1, 3])
def test_siemens_slices_of_one_file_each_are_timed_by_their_clock(tmp_path: Path, volumes: int) -> None:
    fields = sidecar(tmp_path, SIEMENS_EPI, timed(INTERLEAVED, (0.0, 2.0, 4.0)), volumes=volumes)
    assert fields["SliceTiming"] == pytest.approx(INTERLEAVED)
    assert "MultibandAccelerationFactor" not in fields


def test_siemens_slices_at_one_time_were_excited_together(tmp_path: Path) -> None:
    fields = sidecar(tmp_path, SIEMENS_EPI, timed((0.0, 0.5, 1.0) * 2, (0.0, 2.0)), volumes=2)
    assert fields["SliceTiming"] == [0.0, 0.5, 1.0] * 2
    assert fields["MultibandAccelerationFactor"] == 2


@pytest.mark.parametrize("digits", [6, 8], ids=["seconds", "tenths"])
def test_a_clock_that_was_cut_short_tells_no_times_of_siemens_slices(tmp_path: Path, digits: int) -> None:
    set_times = timed((0.0, 0.4, 1.1, 1.3, 2.0, 2.5), (0.0, 3.0), "120000.000000")

    def cut(ds: Dataset) -> None:
        set_times(ds)
        ds.AcquisitionTime = str(ds.AcquisitionTime)[:digits]

    fields = sidecar(tmp_path, SIEMENS_EPI | {"RepetitionTime": "3000"}, cut, volumes=2)
    assert not {"SliceTiming", "MultibandAccelerationFactor"} & {*fields}


def test_a_clock_of_whole_seconds_with_zeros_behind_tells_no_times_of_siemens_slices(tmp_path: Path) -> None:
    whole = timed((0.0, 0.0, 1.0, 1.0, 2.0, 2.0), (0.0, 3.0), "120000.000000")
    fields = sidecar(tmp_path, SIEMENS_EPI | {"RepetitionTime": "3000"}, whole, volumes=2)
    assert not {"SliceTiming", "MultibandAccelerationFactor"} & {*fields}


def test_dcm2niix_has_the_same_times_of_siemens_slices(tmp_path: Path) -> None:
    fields = sidecar(tmp_path, SIEMENS_EPI, timed(INTERLEAVED, (0.0, 2.0), "120000.000000"), volumes=2)
    paths = sorted(tmp_path.glob("*.dcm"))
    (tmp_path / "other").mkdir()
    [other] = run_dcm2niix(paths, tmp_path / "other", inspect_series(paths), 100)
    # dcm2niix holds the time of day in single precision
    assert fields["SliceTiming"] == pytest.approx(other.metadata["SliceTiming"], abs=0.01)


@pytest.mark.parametrize(
    ("slice_s", "volume_s", "change"),
    [
        pytest.param((0.5,) * 6, (0.0, 2.0), {}, id="one time"),
        pytest.param((0.0, 0.5, 1.0, 1.5, 2.0, 2.5), (0.0, 3.0), {}, id="longer than the repetition time"),
        pytest.param(INTERLEAVED, (0.0, 2.0), {"ScanningSequence": "GR"}, id="not echo-planar"),
        pytest.param(INTERLEAVED, (0.0, 2.0), {"MRAcquisitionType": "3D"}, id="in three dimensions"),
    ],
)
def test_siemens_slice_times_that_are_not_certain_are_left_out(
    tmp_path: Path, slice_s: tuple[float, ...], volume_s: tuple[float, ...], change: dict[str, str]
) -> None:
    assert "SliceTiming" not in sidecar(tmp_path, SIEMENS_EPI | change, timed(slice_s, volume_s), volumes=2)


def test_siemens_volumes_that_differ_in_their_slices_times_have_none(tmp_path: Path) -> None:
    def moved(ds: Dataset) -> None:
        turned = int(ds.TemporalPositionIdentifier) == 2
        timed(INTERLEAVED[::-1] if turned else INTERLEAVED, (0.0, 2.0))(ds)

    assert "SliceTiming" not in sidecar(tmp_path, SIEMENS_EPI, moved, volumes=2)


def test_a_damaged_csa_header_loses_only_its_own_values(tmp_path: Path) -> None:
    def add(ds: Dataset) -> None:
        ds.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
        ds.add_new(0x00291010, "OB", b"SV10\4\3\2\1\xff\xff\xff\xff" + bytes(100))

    extra = {"Manufacturer": "SIEMENS", "InPlanePhaseEncodingDirection": "ROW"}
    fields = sidecar(tmp_path, extra, add)
    assert fields["PhaseEncodingAxis"] == "i"
    assert not {"TotalReadoutTime", "SliceTiming"} & fields.keys()


def test_a_scan_in_three_dimensions_encodes_phase_along_two_axes(tmp_path: Path) -> None:
    extra = {"Manufacturer": "Maker", "InPlanePhaseEncodingDirection": "ROW", "MRAcquisitionType": "3D"}
    assert "PhaseEncodingAxis" not in sidecar(tmp_path, extra, lambda _: None)


def test_other_modalities_have_no_mr_acquisition(tmp_path: Path) -> None:
    assert read_volume(single_frame(Recipe(), tmp_path)).acquisition is None


def test_private_elements_are_read_by_owner_and_type() -> None:
    header, inner = Dataset(), Dataset()
    header.add_new(0x00210010, "LO", "OTHER")
    header.add_new(0x00211001, "DS", "9")
    header.add_new(0x00210012, "LO", "Owner ")
    header.add_new(0x00211201, "DS", ["1.5", "2"])
    header.add_new(0x00211202, "LO", ["one ", "two"])
    header.add_new(0x00211203, "UN", b"\1\2")
    header.add_new(0x00211204, "UN", b"12")
    header.add_new(0x002112FE, "SQ", [inner])
    assert owned_numbers(header, 0x21, "OWNER", 1) == (1.5, 2)
    assert owned_number(header, 0x21, "owner", 1) == 1.5
    assert owned_texts(header, 0x21, "OWNER", 2) == ("one", "two")
    assert owned_numbers(header, 0x21, "OWNER", 2) == ()
    assert owned_texts(header, 0x21, "OWNER", 9) == ()
    assert owned_numbers(header, 0x21, "OWNER", 9) == ()
    assert owned_numbers(header, 0x21, "OWNER", 3) == owned_numbers(header, 0x21, "OWNER", 4) == ()
    assert owned_texts(header, 0x21, "OWNER", 3) == ()
    assert owned_value(header, 0x21, "OWNER", 5) is None
    assert owned_item(header, 0x21, "OWNER", 0xFE) == inner
    assert owned_item(header, 0x21, "OWNER", 1) is None


def test_numbers_that_are_not_finite_are_none() -> None:
    header = Dataset()
    header.add_new(0x00210010, "LO", "OWNER")
    for element, values in enumerate(([1.5, float("inf")], float("nan"), [float("-inf")], 2.5), 1):
        header.add_new(0x00211000 | element, "FD", values)
    assert [owned_numbers(header, 0x21, "OWNER", element) for element in range(1, 5)] == [(), (), (), (2.5,)]
    assert owned_number(header, 0x21, "OWNER", 1) is None


def test_of_two_blocks_of_one_owner_the_first_that_holds_an_element_counts() -> None:
    header = Dataset()
    for block in (
        0x13,
        0x11,
        0x12,
    ):  # a header in memory may have its tags in any order, a file has them in ascending order
        header.add_new(0x00210000 | block, "LO", "OWNER")
        header.add_new(0x00210001 | block << 8, "IS", block)
    header.add_new(0x00211302, "IS", 7)
    assert owned_number(header, 0x21, "OWNER", 1) == 0x11
    assert owned_number(header, 0x21, "OWNER", 2) == 7


def test_a_scanned_header_has_no_private_values_by_creator(tmp_path: Path) -> None:
    [path] = single_frame(Recipe(modality="MR", slices=1, extra={"Manufacturer": "GE"}), tmp_path)
    ds = dcmread(path)
    ge_elements(0x10)(ds)
    ds.save_as(path)
    header = scan_instance(path).header
    assert isinstance(header, ScannedHeader)
    assert owned_value(header, 0x43, "GEMS_PARM_01", 0x2C) is None
    assert owned_numbers(header, 0x43, "GEMS_PARM_01", 0x2C) == ()
    assert owned_texts(header, 0x43, "GEMS_PARM_01", 0xB6) == ()
    assert owned_numbers(ds, 0x43, "GEMS_PARM_01", 0x2C) == (500,)


def test_attributes_of_a_frame_are_its_own_and_the_shared_ones() -> None:
    header, shared, *own = (Dataset() for _ in range(5))
    for number, each in enumerate(own, 1):
        each.InStackPositionNumber = number
    shared.StackID = "1"
    header.PerFrameFunctionalGroupsSequence, header.SharedFunctionalGroupsSequence = own, [shared]
    assert functional_groups(header, 2) == (own[1], shared, header)
    assert functional_groups(header, 3) == (own[2], shared, header)
    assert functional_groups(header, 0) == functional_groups(header, 4) == (shared, header)
    assert functional_groups(Dataset(), 1) == (Dataset(),)

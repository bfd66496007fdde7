"""Each vendor's values for an MR acquisition, with headers made in memory: known values are exact, others absent."""

from __future__ import annotations

import gzip
import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from dcm_processor_service.imaging.acquisition.bids_fields import acquisition_fields
from dcm_processor_service.imaging.acquisition.ge import ge_readout
from dcm_processor_service.imaging.acquisition.mr_acquisition import mr_acquisition
from dcm_processor_service.imaging.acquisition.mr_scan import MrScan, Readout
from dcm_processor_service.imaging.acquisition.philips import philips_readout
from dcm_processor_service.imaging.acquisition.siemens import siemens_readout
from dcm_processor_service.imaging.volumes.voxel_grid import SliceSource, VoxelGrid
from dcm_processor_service.models import MrAcquisition
from tests.unit.imaging.csa import add_csa
from tests.unit.imaging.synthetic import MR, Recipe, new_instance, save

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.imaging.series.stack import Stack

XA = "SIEMENS MR SDI 02"


def dataset(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def private(made: Dataset, group: int, creator: str, **elements: tuple[int, str, Any]) -> Dataset:
    """Adds elements of one block, each by its last two digits, VR and value."""
    made.add_new(group << 16 | 0x10, "LO", creator)
    for element, vr, value in elements.values():
        made.add_new(group << 16 | 0x1000 | element, vr, value)
    return made


def frame_of(*places: Dataset) -> SimpleNamespace:
    return SimpleNamespace(places=places, number=1, instance=SimpleNamespace(header=places[-1], path=None))


def scan(
    header: Dataset,
    shape: tuple[int, ...] = (8, 6, 1),
    groups: Sequence[Dataset] = (),
    grid: Sequence[Sequence[SimpleNamespace]] | None = None,
) -> MrScan:
    grid = grid or [[frame_of(*groups, header)] * shape[2]]
    stack = cast("Stack", SimpleNamespace(grid=grid, first=grid[0][0]))
    return MrScan(header, (*groups, header), stack, shape)


# ---- Siemens ----


@pytest.mark.parametrize(("stated", "expected"), [(0, False), (1, True), (2, None)])
def test_siemens_polarity_is_zero_or_one(stated: int, expected: bool | None) -> None:  # noqa: FBT001
    header = dataset()
    add_csa(header, PhaseEncodingDirectionPositive=("IS", [stated]))
    assert siemens_readout(scan(header)) == Readout(is_positive=expected)
    item = private(dataset(), 0x21, XA, polarity=(0x1C, "IS", stated))
    group = private(dataset(), 0x21, XA, item=(0xFE, "SQ", Items([item])))
    assert siemens_readout(scan(dataset(), groups=[dataset(), group])) == Readout(is_positive=expected)


def siemens_header(csa: float | None, plain: float | None) -> Dataset:
    header = dataset(InPlanePhaseEncodingDirection="COL")
    if csa is not None:
        add_csa(header, BandwidthPerPixelPhaseEncode=("FD", [csa]))
    if plain is not None:
        private(header, 0x19, "SIEMENS MR HEADER", bandwidth=(0x28, "FD", plain))
    return header


@pytest.mark.parametrize(
    ("csa", "plain", "of_group", "used"),
    [
        (20.0, 25.0, 40.0, 20.0),
        (None, 25.0, 40.0, 25.0),
        (None, None, 40.0, 40.0),
        (0.25, None, None, 0.25),
        (0.0, 25.0, None, None),
        (-20.0, None, None, None),
        (None, None, None, None),
    ],
)
def test_siemens_bandwidth_along_phase_encoding_tells_spacing_and_readout(
    csa: float | None, plain: float | None, of_group: float | None, used: float | None
) -> None:
    group = dataset()
    if of_group is not None:
        item = private(dataset(), 0x21, XA, bandwidth=(0x53, "FD", of_group))
        private(group, 0x21, XA, item=(0xFE, "SQ", Items([item])))
    found = siemens_readout(scan(siemens_header(csa, plain), groups=[group]))
    if used is None:
        assert (found.echo_spacing_s, found.readout_s) == (None, None)
    else:  # six lines, five steps between them
        assert found.echo_spacing_s == pytest.approx(1 / (used * 6))
        assert found.readout_s == pytest.approx(5 / (used * 6))


def test_siemens_readout_needs_the_number_of_lines() -> None:
    header = siemens_header(20.0, None)
    del header.InPlanePhaseEncodingDirection
    assert siemens_readout(scan(header)).readout_s is None
    # of a square image, whichever axis it is
    assert siemens_readout(scan(header, (6, 6, 1))).readout_s == pytest.approx(5 / 120)
    header.InPlanePhaseEncodingDirection = "ROW"
    assert siemens_readout(scan(header)).readout_s == pytest.approx(7 / 160)


def timed_frames(clock: Sequence[str], after_start: Sequence[float | None]) -> list[SimpleNamespace]:
    frames = []
    for at, precise in zip(clock, after_start, strict=True):
        group = dataset(FrameContentSequence=[dataset(FrameAcquisitionDateTime=at)])
        if precise is not None:
            item = private(dataset(), 0x21, XA, time=(0x04, "FD", precise))
            private(group, 0x21, XA, item=(0xFE, "SQ", Items([item])))
        frames.append(frame_of(group, dataset()))
    return frames


CLOCK = ("20240301120000.400000", "20240301120000.500000", "20240301120000.450000")


@pytest.mark.parametrize(
    ("after_start", "expected"),
    [
        (
            (7.401, 7.502, 7.4485),
            (0.0, 0.101, 0.0475),
        ),  # these times are more precise, and differ from the clock by milliseconds only
        ((7.401, 7.515, 7.4485), (0.0, 0.1, 0.05)),  # these times contradict the clock
        ((7.401, None, 7.4485), (0.0, 0.1, 0.05)),
        ((None, None, None), (0.0, 0.1, 0.05)),
    ],
)
def test_siemens_frames_are_timed_by_the_precise_element_if_the_clock_agrees(
    after_start: Sequence[float | None], expected: tuple[float, ...]
) -> None:
    header = dataset(EchoPlanarPulseSequence="YES", RepetitionTime="2000")
    grid = [timed_frames(CLOCK, after_start)]
    assert siemens_readout(scan(header, (8, 6, 3), grid=grid)).slice_times_s == expected


@pytest.mark.parametrize(
    ("header", "shape"),
    [
        ({"ScanningSequence": "GR"}, (8, 6, 3)),
        ({"MRAcquisitionType": "3D"}, (8, 6, 3)),
        ({"RepetitionTime": None}, (8, 6, 3)),
        ({"RepetitionTime": "100"}, (8, 6, 3)),  # the last slice would be excited when the next volume begins
    ],
    ids=repr,
)
def test_siemens_slice_times_need_an_echo_planar_volume_and_its_repetition_time(
    header: dict[str, Any], shape: tuple[int, ...]
) -> None:
    made = dataset(**{"ScanningSequence": "EP", "RepetitionTime": "101"} | header)
    plain = dataset(ScanningSequence="EP", RepetitionTime="101")
    grid = [timed_frames(CLOCK, [None] * 3)]
    assert siemens_readout(scan(plain, shape, grid=grid)).slice_times_s == (0.0, 0.1, 0.05)
    assert siemens_readout(scan(made, shape, grid=grid)).slice_times_s == ()


def test_the_repetition_time_of_enhanced_objects_is_read_from_functional_groups() -> None:
    grid = [timed_frames(CLOCK, [None] * 3)]
    for milliseconds, expected in ((101.0, (0.0, 0.1, 0.05)), (100.0, ())):
        group = dataset(MRTimingAndRelatedParametersSequence=[dataset(RepetitionTime=milliseconds)])
        made = scan(dataset(EchoPlanarPulseSequence="YES"), (8, 6, 3), [group], grid)
        assert siemens_readout(made).slice_times_s == expected


def test_siemens_mosaics_state_the_times_of_their_slices_in_milliseconds() -> None:
    for number in range(2):
        header = dataset(ScanningSequence="EP", RepetitionTime="2000")
        if number:
            private(header, 0x19, "SIEMENS MR HEADER", times=(0x29, "FD", [502.5, 0.0, 1005.0, 502.5]))
        else:
            add_csa(header, MosaicRefAcqTimes=("FD", [502.5, 0.0, 1005.0, 502.5]))
        frame = frame_of(header)
        found = siemens_readout(scan(header, (8, 6, 4), grid=[[frame]]))
        assert found.slice_times_s == (0.5025, 0.0, 1.005, 0.5025)
        assert found.multiband_factor is None  # one slice, one slice, two slices
        assert siemens_readout(scan(header, (8, 6, 5), grid=[[frame]])).slice_times_s == ()
        assert siemens_readout(scan(header, (8, 6, 1), grid=[[frame]])).slice_times_s == ()


@pytest.mark.parametrize("after_start", [(None, None, None), (7.4, 7.5, 7.45)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_siemens_slice_times_are_empty_if_one_frame_lacks_its_time(
    place: int, after_start: Sequence[float | None]
) -> None:
    header = dataset(EchoPlanarPulseSequence="YES", RepetitionTime="2000")
    clock = [*CLOCK[:place], "", *CLOCK[place + 1 :]]
    assert siemens_readout(scan(header, (8, 6, 3), grid=[timed_frames(clock, after_start)])).slice_times_s == ()


@pytest.mark.parametrize(("later", "is_timed"), [(0.0, True), (0.005, True), (0.007, False), (0.1, False)])
def test_siemens_slice_times_need_the_same_times_in_the_last_volume(later: float, *, is_timed: bool) -> None:
    header = dataset(EchoPlanarPulseSequence="YES", RepetitionTime="2000")
    last = [f"20240301120010.{thousandth:03}000" for thousandth in (400, 500, 450 - round(later * 1000))]
    middle = [CLOCK[0]] * 3  # without effect on the result
    grid = [timed_frames(times, [None] * 3) for times in (CLOCK, middle, last)]
    found = siemens_readout(scan(header, (8, 6, 3), grid=grid))
    assert found.slice_times_s == ((0.0, 0.1, 0.05) if is_timed else ())


@pytest.mark.parametrize(
    ("thousandths", "fine"),
    [((0, 0, 0), False), ((0, 500, 0), True), ((0, 0, 1), True)],
)
def test_one_time_with_a_fraction_shows_that_the_clock_of_siemens_has_them(
    thousandths: Sequence[int], *, fine: bool
) -> None:
    header = dataset(EchoPlanarPulseSequence="YES", RepetitionTime="9000")
    clock = [f"2024030112000{second}.{part:03}000" for second, part in enumerate(thousandths)]
    found = siemens_readout(scan(header, (8, 6, 3), grid=[timed_frames(clock, [None] * 3)])).slice_times_s
    assert found == (tuple(second + part / 1000 for second, part in enumerate(thousandths)) if fine else ())


@pytest.mark.parametrize(("later", "is_timed"), [(0.0, True), (5.0, True), (7.5, False)])
def test_siemens_mosaic_times_need_the_same_times_in_the_last_mosaic(
    tmp_path: Path, later: float, *, is_timed: bool
) -> None:
    grid = []
    for number, moved in enumerate((0.0, later)):
        header = new_instance(Recipe(modality="MR"), "1.2.3", MR)
        header.ScanningSequence, header.RepetitionTime = "EP", "2000"
        private(header, 0x19, "SIEMENS MR HEADER", times=(0x29, "FD", [500.0, 0.0, 1000.0 + moved]))
        mosaic = frame_of(header)
        mosaic.instance.path = save(header, tmp_path / f"{number}.dcm")
        grid.append([mosaic])
    found = siemens_readout(scan(grid[0][0].instance.header, (8, 6, 3, 2), grid=grid))
    assert found.slice_times_s == ((0.5, 0.0, 1.0) if is_timed else ())


def test_a_single_siemens_slice_has_no_slice_times() -> None:
    header = dataset(ScanningSequence="EP", RepetitionTime="2000")
    grid = [timed_frames(CLOCK[:1], [None])]
    assert siemens_readout(scan(header, (8, 6, 1), grid=grid)) == Readout()


# ---- Philips ----


def philips_scan(
    *, shift: float = 13.6, train: int | None = 3, size: tuple[int, int, int] = (8, 6, 1), **header: Any
) -> MrScan:
    made = dataset(**{"ImagingFrequency": "100", "InPlanePhaseEncodingDirection": "COL"} | header)
    if train is not None:
        made.EchoTrainLength = train
    private(made, 0x2001, "Philips Imaging DD 001", shift=(0x22, "FL", shift))
    return scan(made, size)


@pytest.mark.parametrize(
    ("changes", "readout", "steps"),
    [
        # 340 Hz between fat and water; 13.6 pixels of 4 lines are read in 40 ms, so that 3 steps take 30 ms
        ({}, 0.030, 5),
        ({"train": 2}, 13.6 / 340 / 3 * 2, 5),
        ({"size": (8, 2, 1)}, 0.030, 1),
        ({"InPlanePhaseEncodingDirection": "ROW"}, 0.030, 7),
        ({"ImagingFrequency": "50"}, 0.060, 5),
    ],
    ids=repr,
)
def test_philips_readout_is_estimated_from_the_water_fat_shift(
    changes: dict[str, Any], readout: float, steps: int
) -> None:
    found = philips_readout(philips_scan(**changes))
    assert found.readout_s == pytest.approx(readout, rel=1e-5)
    assert found.echo_spacing_s == pytest.approx(readout / steps, rel=1e-5)
    assert (found.is_estimated, found.is_positive, found.slice_times_s) == (True, None, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"train": 1},
        {"train": None},
        {"shift": 0.0},
        {"size": (8, 1, 1)},
        {"ImagingFrequency": None},
        {"InPlanePhaseEncodingDirection": "OTHER"},
    ],
    ids=repr,
)
def test_philips_readout_is_absent_if_one_of_its_numbers_is_absent(changes: dict[str, Any]) -> None:
    assert philips_readout(philips_scan(**changes)) == Readout()


def test_philips_frequency_and_echo_train_are_read_from_functional_groups() -> None:
    header = dataset(InPlanePhaseEncodingDirection="COL")
    private(header, 0x2001, "Philips Imaging DD 001", shift=(0x22, "FL", 13.6))
    group = dataset(
        MRImagingModifierSequence=[dataset(TransmitterFrequency=100.0)],
        MRTimingAndRelatedParametersSequence=[dataset(EchoTrainLength=3)],
    )
    assert philips_readout(scan(header, groups=[group])).readout_s == pytest.approx(0.030, rel=1e-5)
    header.ImagingFrequency = "50"
    assert philips_readout(scan(header, groups=[group])).readout_s == pytest.approx(0.060, rel=1e-5)


# ---- GE ----


def ge_header(**values: Any) -> Dataset:
    header = dataset(**{"InPlanePhaseEncodingDirection": "COL", "AcquisitionMatrix": [0, 64, 32, 0]} | values)
    parameters: dict[str, tuple[int, str, Any]] = {
        "spacing_us": (0x2C, "SS", 500),
        "asset": (0x83, "DS", ["0.5", "1"]),
    }
    return private(header, 0x43, "GEMS_PARM_01", **parameters)


def test_ge_without_a_multiband_element_excites_one_slice_at_once() -> None:
    found = ge_readout(scan(ge_header()))
    assert found.multiband_factor is None
    # half of 32 lines are read, 15 steps of half a millisecond, for an image of 6 lines
    assert found.readout_s == pytest.approx(0.0075)
    assert found.echo_spacing_s == pytest.approx(0.0015)


@pytest.mark.parametrize(
    ("factor", "multiband"), [(["4"], 4), (["2", "0"], 2), (["1"], None), (["0"], None), (["x"], None), ([""], None)]
)
def test_ge_states_its_multiband_factor_as_text(factor: list[str], multiband: int | None) -> None:
    header = ge_header()
    header.add_new(0x004310B6, "LO", factor)
    assert ge_readout(scan(header)).multiband_factor == multiband


@pytest.mark.parametrize("change", [{"spacing": 0}, {"spacing": -500}, {"share": "0"}, {"share": "-1"}, {"lines": 1}])
def test_ge_readout_is_absent_if_a_number_makes_no_sense(change: dict[str, Any]) -> None:
    header = ge_header()
    header[0x0043102C].value = change.get("spacing", 500)
    header[0x00431083].value = change.get("share", "0.5")
    found = ge_readout(scan(header, (8, change.get("lines", 6), 1)))
    assert (found.echo_spacing_s, found.readout_s) == (None, None)


def test_ge_lines_of_enhanced_objects_are_read_from_functional_groups() -> None:
    header = ge_header()
    group = dataset(MRFOVGeometrySequence=[dataset(MRAcquisitionPhaseEncodingStepsInPlane=48)])
    assert ge_readout(scan(header, groups=[group])).readout_s == pytest.approx(23 * 0.0005)
    del header.AcquisitionMatrix
    assert ge_readout(scan(header, groups=[group])).readout_s == pytest.approx(23 * 0.0005)
    assert ge_readout(scan(header)).readout_s is None


def test_ge_share_of_lines_is_a_decimal_number() -> None:
    header = ge_header(AcquisitionMatrix=[0, 64, 50, 0])
    header[0x00431083].value = "0.28"  # 14 lines, which in binary come to a little more
    assert ge_readout(scan(header)).readout_s == pytest.approx(13 * 0.0005)


def test_ge_image_of_two_lines_has_one_step() -> None:
    found = ge_readout(scan(ge_header(), (8, 2, 1)))
    assert found.echo_spacing_s == found.readout_s == pytest.approx(0.0075)


def ge_functional(count: int = 4, order: str = "0", **values: Any) -> Dataset:
    header = ge_header(**{"MRAcquisitionType": "2D", "RepetitionTime": "2000"} | values)
    text = f'set IOPT "EPI, FMRI"\nset SLICEORDER "{order}"\n'
    private(header, 0x25, "GEMS_SERS_01", protocol=(0x1B, "OB", gzip.compress(text.encode(), mtime=0)))
    return private(header, 0x21, "GEMS_RELA_01", slices=(0x4F, "SS", count))


def numbered(*numbers: str | None) -> list[list[SimpleNamespace]]:
    return [[frame_of(dataset(InstanceNumber=one) if one else dataset()) for one in numbers]]


@pytest.mark.parametrize(
    ("order", "numbers", "expected"),
    [
        ("0", ("1", "2", "3", "4"), (0.0, 0.5, 1.0, 1.5)),
        ("0", ("9", "8", "7", "6"), (1.5, 1.0, 0.5, 0.0)),
        (
            "1",
            ("5", "6", "7", "8"),
            (0.0, 1.0, 0.5, 1.5),
        ),  # slices are acquired in this order: first, third, second, fourth
        ("1", ("4", "3", "2", "1"), (1.5, 0.5, 1.0, 0.0)),
        ("0", ("1", "2", "4", "5"), ()),
        ("0", ("2", "4", "6", "8"), ()),
        ("0", ("1", "2", "1", "2"), ()),
        ("0", ("1", "2", "3", None), ()),
        ("0", (None, "2", "3", "4"), ()),
        ("0", (None, None, None, None), ()),
    ],
)
def test_ge_slices_are_timed_by_their_numbers(
    order: str, numbers: Sequence[str | None], expected: tuple[float, ...]
) -> None:
    header = ge_functional(order=order)
    assert ge_readout(scan(header, (8, 6, 4), grid=numbered(*numbers))).slice_times_s == expected


@pytest.mark.parametrize(
    "values",
    [{"RepetitionTime": None}, {"RepetitionTime": "0"}, {"MRAcquisitionType": "3D"}, {"count": 3}, {"count": 5}],
    ids=repr,
)
def test_ge_slice_times_need_a_repetition_time_and_a_count_of_slices_in_two_dimensions(values: dict[str, Any]) -> None:
    grid = numbered("1", "2", "3", "4")
    assert ge_readout(scan(ge_functional(), (8, 6, 4), grid=grid)).slice_times_s == (0.0, 0.5, 1.0, 1.5)
    assert ge_readout(scan(ge_functional(**values), (8, 6, 4), grid=grid)).slice_times_s == ()
    assert ge_readout(scan(ge_functional(count=1), (8, 6, 1), grid=numbered("1"))).slice_times_s == ()


@pytest.mark.parametrize(
    ("delays", "is_timed"), [([0.0], True), ([0.0, 0.0], True), ([0.25], False), ([0.0, 0.25], False)]
)
def test_ge_slices_of_a_scan_with_a_pause_between_volumes_are_not_timed(delays: list[float], *, is_timed: bool) -> None:
    header = ge_functional()
    header.add_new(0x0043107C, "FL", delays)
    found = ge_readout(scan(header, (8, 6, 4), grid=numbered("1", "2", "3", "4")))
    assert bool(found.slice_times_s) == is_timed


# ---- the volume's acquisition ----


def test_directions_have_length_one_and_the_sign_of_the_polarity() -> None:
    affine = np.diag([-2.0, 3.0, 5.0, 1.0])
    for polarity, expected in ((1, (-1, 0, 0)), (0, (1, 0, 0))):
        header = dataset(Modality="MR", Manufacturer="Siemens", InPlanePhaseEncodingDirection="ROW")
        add_csa(header, PhaseEncodingDirectionPositive=("IS", [polarity]))
        found = mr_acquisition(header, scan(header).stack, (8, 6, 1), affine)
        assert found == MrAcquisition(expected, is_polarity_known=True)
        assert found is not None
        assert not any(math.copysign(1, part) < 0 for part in (found.phase_encoding_lps or ()) if not part)


@pytest.mark.parametrize("values", [{}, {"MRAcquisitionType": "3D", "InPlanePhaseEncodingDirection": "ROW"}], ids=repr)
def test_a_polarity_without_an_axis_is_unknown(values: dict[str, str]) -> None:
    header = dataset(Modality="MR", Manufacturer="Siemens", **values)
    add_csa(header, PhaseEncodingDirectionPositive=("IS", [1]))
    assert mr_acquisition(header, scan(header).stack, (8, 6, 1), np.eye(4)) == MrAcquisition()


def test_slices_of_a_timed_volume_have_a_direction() -> None:
    header = dataset(Modality="MR", Manufacturer="SIEMENS", ScanningSequence="EP", RepetitionTime="2000")
    grid = [timed_frames(CLOCK, [None] * 3)]
    found = mr_acquisition(header, scan(header, (8, 6, 3), grid=grid).stack, (8, 6, 3), np.diag([2.0, 3.0, -5.0, 1.0]))
    assert found == MrAcquisition(slice_times_s=(0.0, 0.1, 0.05), slices_lps=(0, 0, -1))


@pytest.mark.parametrize(
    ("kind", "train", "has_axis"),
    [("3D", 55, True), ("3D", 2, True), ("3D", 1, False), ("3D", 0, False), ("2D", 1, True)],
)
def test_phase_of_three_dimensions_lies_along_one_axis_only_if_several_lines_follow_each_excitation(
    kind: str, train: int, *, has_axis: bool
) -> None:
    header = dataset(Modality="MR", Manufacturer="Maker", InPlanePhaseEncodingDirection="COL", MRAcquisitionType=kind)
    header.EchoTrainLength = train
    found = mr_acquisition(header, scan(header).stack, (8, 6, 1), np.eye(4))
    assert found == MrAcquisition((0, 1, 0) if has_axis else None)


# ---- the fields of BIDS ----


def grid_of(acquisition: MrAcquisition, affine: Any, slice_axis: int = 2) -> VoxelGrid:
    sources = ((SliceSource("1.2.3"),) * (2, 3, 4)[slice_axis],)
    return VoxelGrid(
        np.zeros((2, 3, 4)), np.asarray(affine, float), sources, slice_axis=slice_axis, acquisition=acquisition
    )


@pytest.mark.parametrize(
    ("slice_axis", "grows", "expected"),
    [
        (2, 1, {"SliceTiming": [0.0, 1.0, 2.0, 3.0]}),
        (2, -1, {"SliceTiming": [3.0, 2.0, 1.0, 0.0]}),
        (1, 1, {"SliceEncodingDirection": "j", "SliceTiming": [0.0, 1.0, 2.0]}),
        (1, -1, {"SliceEncodingDirection": "j", "SliceTiming": [2.0, 1.0, 0.0]}),
        (0, -1, {"SliceEncodingDirection": "i", "SliceTiming": [1.0, 0.0]}),
    ],
)
def test_slice_times_stand_in_the_order_of_the_array(slice_axis: int, grows: int, expected: dict[str, Any]) -> None:
    count = (2, 3, 4)[slice_axis]
    direction = tuple(float(grows * (axis == slice_axis)) for axis in range(3))
    acquisition = MrAcquisition(slice_times_s=tuple(map(float, range(count))), slices_lps=direction)  # type: ignore[arg-type]  # three numbers
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    assert acquisition_fields(grid_of(acquisition, affine, slice_axis)) == expected
    assert acquisition_fields(grid_of(acquisition, affine, (slice_axis + 1) % 3)) == {}
    longer = MrAcquisition(slice_times_s=(*acquisition.slice_times_s, 9.0), slices_lps=acquisition.slices_lps)
    assert acquisition_fields(grid_of(longer, affine, slice_axis)) == {}


def test_phase_encoding_that_is_oblique_to_the_axes_has_no_name() -> None:
    for degrees, name in ((0, "j"), (2, "j"), (3, None), (45, None), (88, "i-"), (178, "j-")):
        turn = math.radians(degrees)
        acquisition = MrAcquisition((-math.sin(turn), math.cos(turn), 0.0), is_polarity_known=True)
        fields = acquisition_fields(grid_of(acquisition, np.diag([2.0, 3.0, 4.0, 1.0])))
        assert fields == ({} if name is None else {"PhaseEncodingDirection": name})
        unknown = MrAcquisition(acquisition.phase_encoding_lps)
        fields = acquisition_fields(grid_of(unknown, np.diag([2.0, 3.0, 4.0, 1.0])))
        assert fields == ({} if name is None else {"PhaseEncodingAxis": name[0]})


def test_a_resampled_volume_keeps_only_the_direction() -> None:
    acquisition = MrAcquisition((1.0, 0.0, 0.0), echo_spacing_s=0.0005, readout_s=0.12345678, multiband_factor=3)
    whole = grid_of(acquisition, np.eye(4))
    assert acquisition_fields(whole) == {
        "MultibandAccelerationFactor": 3,
        "PhaseEncodingAxis": "i",
        "EffectiveEchoSpacing": 0.0005,
        "TotalReadoutTime": 0.123457,
    }
    resampled = VoxelGrid(whole.array, whole.affine_lps, acquisition=acquisition)
    assert acquisition_fields(resampled) == {"MultibandAccelerationFactor": 3, "PhaseEncodingAxis": "i"}

"""Names of structures and label maps: what people call things finds its code, and nothing is invented."""

from __future__ import annotations

import csv
from collections import Counter
from importlib import resources
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from dcm_processor_service.derived import Segment, segmentation, validate
from dcm_processor_service.derived.objects.segmentations.segment_names import SegmentName
from dcm_processor_service.derived.objects.segmentations.segmentation import label_segmentation
from dcm_processor_service.derived.terminology.structures import find_structure, label_names
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models import Code
from dcm_processor_service.testing import fake_context
from tests.unit.derived.sources import make_headers, make_recipe, make_source

MASK = np.zeros((5, 4, 3), bool)
MASK[1] = True
LABELS = np.zeros((5, 4, 3), np.int16)
LABELS[0, :, 0], LABELS[1, :, 1], LABELS[2, 1:3, :] = 1, 5, 9


@pytest.mark.parametrize(
    ("name", "value", "side"),
    [
        ("urinary bladder", "89837001", ""), ("Urinary_Bladder", "89837001", ""), ("bladder", "89837001", ""),
        ("kidney_left", "64033007", "Left"), ("Left kidney", "64033007", "Left"), ("kidneys", "64033007", ""),
        ("vertebrae_L5", "49668003", ""), ("L5 vertebra", "49668003", ""), ("L5", "49668003", ""),
        ("lung nodule", "27925004", ""), ("body", "38266002", ""), ("rib_left_3", "25888004", "Left"),
        ("left rib 3", "25888004", "Left"), ("left ventricle", "87878005", ""), ("right lung", "39607008", "Right"),
        ("lung_upper_lobe_left", "45653009", "Left"), ("liver", "10200004", ""), ("gluteus minimus", "75297007", ""),
        ("subclavian_artery_left", "36765005", "Left"), ("liver segment 4", "277958008", ""),
        ("lower_left_canine_fdi33", "39844006", ""),
        # bundles of MONAI's model zoo
        ("IVC", "64131007", ""), ("Portal and Splenic Veins", "110765007", ""), ("Left Kideny", "64033007", "Left"),
        ("Right adrenal gland", "23451007", "Right"), ("pancreatic tumor", "108369006", ""),
        ("peripheral zone", "279706003", ""), ("transition zone", "399384005", ""), ("lv_pool", "87878005", ""),
        ("Enhancing tumor", "C113842", ""), ("edema", "79654002", ""), ("tools", "57134006", ""),
        ("3rd-Ventricle", "49841001", ""), ("Right-Accumbens-Area", "427667007", "Right"),
        ("Left-Caudate", "11000004", "Left"), ("Left-Pallidum", "14738005", "Left"),
        ("left kidney tumour", "108369006", "Left"), ("kidney_cyst_left", "367643001", "Left"),
    ],
)  # fmt: skip
def test_everyday_names_have_their_code_and_side(name: str, value: str, side: str) -> None:
    found = find_structure(name)
    assert found is not None
    assert found.code is not None
    assert (found.code.value, found.side.meaning if found.side else "") == (value, side)


@pytest.mark.parametrize(
    ("british", "name"),
    [("tumour", "tumor"), ("Oedema", "edema"), ("haemorrhage", "hemorrhage"), ("oesophagus", "esophagus"),
     ("grey matter", "gray matter"), ("brain_tumour", "brain tumor")],
)  # fmt: skip
def test_british_names_are_those_of_the_terminologies(british: str, name: str) -> None:
    first, second = (segmentation({each: MASK}, make_source(), make_recipe(each)) for each in (british, name))
    of_both = [
        (one.SegmentSequence[0].SegmentedPropertyTypeCodeSequence, one.SegmentSequence[0].SegmentLabel)
        for one in (first, second)
    ]
    assert of_both[0][0] == of_both[1][0]
    assert of_both[0][1] == british


@pytest.mark.parametrize(
    ("name", "organ"),
    [
        ("pancreatic tumor", "Pancreas"), ("left kidney tumour", "Kidney"), ("liver_tumor", "Liver"),
        ("lung nodules", "Lung"), ("kidney_cyst_left", "Kidney"), ("hepatic metastases", "Liver"),
        ("brain tumor", "Brain"),
    ],
)  # fmt: skip
def test_what_is_found_in_an_organ_names_the_organ(name: str, organ: str) -> None:
    made = segmentation({name: MASK}, make_source(), make_recipe())
    (segment,) = made.SegmentSequence
    assert segment.AnatomicRegionSequence[0].CodeMeaning == organ
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert validate(made) == ()


def test_a_tumor_of_no_particular_organ_names_none() -> None:
    made = segmentation({"tumor": MASK, "liver": MASK}, make_source(), make_recipe())
    assert not [item for item in made.SegmentSequence if "AnatomicRegionSequence" in item]
    with pytest.raises(DerivedObjectError, match="no coded concept"):
        segmentation({"gadget tumor": MASK}, make_source(), make_recipe())


@pytest.mark.parametrize(
    "name", ["PZ", "anterior", "mean", "volume", "yes", "other", "red", "unknown", "mm", "artifact", "male"]
)
def test_a_name_that_hits_no_structure_is_refused(name: str) -> None:
    with pytest.raises(DerivedObjectError, match="no structure is called"):
        segmentation({name: MASK}, make_source(), make_recipe())


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("background", "309825002"), ("ground glass opacity", "123037004"), ("urine", "91720002"), ("fat", "85756007"),
        ("edema", "49755003"), ("tools", "260787004"), ("contrast agent", "105590001"),
    ],
)  # fmt: skip
def test_what_is_no_anatomy_says_so(name: str, category: str) -> None:
    made = segmentation({name: MASK}, make_source(), make_recipe())
    assert made.SegmentSequence[0].SegmentedPropertyCategoryCodeSequence[0].CodeValue == category


@pytest.mark.parametrize(
    "name",
    [
        "Whole tumor", "Tumor core", "central gland", "kidney cortex", "medulla of no organ", "pelvicalyceal system",
        "anterior hippocampus", "prostate/uterus",
    ],
)  # fmt: skip
def test_no_code_is_invented_for_what_bundles_find(name: str) -> None:
    with pytest.raises(DerivedObjectError, match=r"no public terminology has a code|no coded concept"):
        segmentation({name: MASK}, make_source(), make_recipe())


def test_bundles_of_monai_have_their_labels() -> None:
    organs = label_names("monai:swin_unetr_btcv_segmentation")
    assert (len(organs), organs[3], organs[13]) == (13, "left kidney", "left adrenal gland")
    assert label_names("monai:wholeBody_ct_segmentation") == label_names("totalsegmentator:total_v1")
    assert label_names("monai:prostate_mri_anatomy") == {1: "central gland", 2: "peripheral zone"}
    bundles = [
        *("spleen_ct_segmentation", "pancreas_ct_dints_segmentation", "swin_unetr_btcv_segmentation"),
        *("wholeBody_ct_segmentation", "ventricular_short_axis_3label", "endoscopic_tool_segmentation"),
    ]
    for bundle in bundles:
        for name in label_names(f"monai:{bundle}").values():
            found = find_structure(name)
            assert found is not None, name
            assert found.code is not None, name
    made = label_map_of("monai:swin_unetr_btcv_segmentation")
    assert [item.SegmentLabel for item in made.SegmentSequence] == ["spleen", "esophagus", "inferior vena cava"]
    with pytest.raises(DerivedObjectError, match=r"no table of labels 'monai:swin_unetr'.*swin_unetr_btcv"):
        label_names("monai:swin_unetr")


def test_every_label_of_the_large_bundles_of_monai_has_its_code_or_is_known_to_have_none() -> None:
    brain = label_names("monai:wholeBrainSeg_Large_UNEST_segmentation")
    found = {name: find_structure(name) for name in brain.values()}
    assert (len(brain), len(set(brain.values()))) == (132, 132)
    assert not [name for name, structure in found.items() if structure is None]
    sides = [structure.side.meaning for structure in found.values() if structure is not None and structure.side]
    assert sides.count("Left") == sides.count("Right") == 63
    coded = {structure.code.value for structure in found.values() if structure is not None and structure.code}
    assert coded == {
        "49841001", "35918002", "427667007", "4958002", "119238007", "11000004", "33060004", "68523003", "5366008",
        "53118009", "66720007", "14738005", "89278009", "119406000", "110700", "3937002",
    }  # fmt: skip
    organs = label_names("monai:vista3d")
    assert (len(organs), organs[33], organs[62], organs[97], organs[115]) == (
        132, "vertebrae L5", "colon", "sacrum", "heart",
    )  # fmt: skip
    assert label_names("monai:multi_organ_segmentation")[3] == "liver"
    without = {"prostate or uterus", "vertebrae L6"}
    for name in {*organs.values(), *label_names("monai:multi_organ_segmentation").values()} - without:
        assert SegmentName.of(name).code.value, name


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("Right-ACgG--anterior-cingulate-gyrus", "right anterior cingulate gyrus"),
        ("Left-MPoG--postcentral-gyrus", "left postcentral gyrus medial segment"),
        ("Left-PoG---postcentral-gyrus", "left postcentral gyrus"),
        ("Right-Inf-Lat-Vent", "right temporal horn of lateral ventricle"),
        ("Right-OpIFG-opercular-part-of-the-IFG", "right opercular part of the inferior frontal gyrus"),
        ("Right-FuG---fusiform-gyrus ", "right fusiform gyrus"), ("Left-Ventral-DC", "left ventral diencephalon"),
        ("Left-Cerebellum-White-Matter", "left cerebellar white matter"), ("Brain-Stem", "brainstem"),
        ("Cerebellar-Vermal-Lobules-I-V", "cerebellar vermal lobules I-V"),
        ("Left-Ent---entorhinal-area", "entorhinal cortex left"),
    ],
)  # fmt: skip
def test_labels_of_brains_are_found_as_their_bundle_spells_them(name: str, spelled: str) -> None:
    found, same = find_structure(name), find_structure(spelled)
    assert found is not None
    assert found == same


def test_all_labels_without_a_code_are_named_at_once_and_what_to_do() -> None:
    labels = np.where(LABELS == 1, 35, np.where(LABELS == 5, 46, np.where(LABELS == 9, 8, 0)))
    bundle = "monai:wholeBrainSeg_Large_UNEST_segmentation"
    with pytest.raises(
        DerivedObjectError, match=r"35 \(right anterior cingulate gyrus\), 46 \(left central operculum\)"
    ):
        label_map_of(bundle, labels)
    with pytest.raises(DerivedObjectError, match=r"and 48 more: give labels="):
        label_map_of(bundle, np.arange(35, 95).reshape(5, 4, 3))
    own = {35: Code("ACgG", "99LAB", "Cingulate gyrus"), 46: Code("CO", "99LAB", "Operculum"), 8: "right caudate"}
    assert len(label_map_of(own, labels).SegmentSequence) == 3


def test_half_of_a_pair_with_a_code_of_its_own_is_not_taken_for_the_whole() -> None:
    assert find_structure("heart ventricle") is None


def test_all_names_of_the_tasks_are_known_and_those_of_the_main_one_have_codes_and_colours() -> None:
    tasks = ["total", "total_v1", "total_mr", "liver_segments", "teeth", "head_muscles", "kidney_cysts_auxiliary"]
    names = {name for task in tasks for name in label_names(f"totalsegmentator:{task}").values()}
    assert not [name for name in names if find_structure(name) is None]
    total = [find_structure(name) for name in label_names("totalsegmentator").values()]
    assert len(total) == 117
    assert all(each is not None and each.code is not None and each.rgb is not None for each in total)


def test_a_structure_without_a_code_is_said_to_have_none() -> None:
    with pytest.raises(DerivedObjectError, match="no public terminology has a code for 'masseter_left'"):
        segmentation({"masseter_left": MASK}, make_source(), make_recipe())
    own = Code("M1", "99LAB", "Masseter")
    made = segmentation({"masseter_left": Segment(MASK, code=own)}, make_source(), make_recipe())
    assert made.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "M1"


def test_a_segment_has_the_recommended_or_the_given_colour() -> None:
    made = segmentation(
        {"liver": MASK, "spleen": Segment(MASK, color_rgb=(255, 255, 255)), "tumor": MASK}, make_source(), make_recipe()
    )
    liver, spleen, tumor = made.SegmentSequence
    assert spleen.RecommendedDisplayCIELabValue[0] == 65535
    assert "RecommendedDisplayCIELabValue" in liver
    assert "RecommendedDisplayCIELabValue" not in tumor


def label_map_of(labels: Any, array: Any = LABELS) -> Any:
    return label_segmentation(array, labels, make_source(), make_recipe())


def voxels_by_segment(made: Any) -> dict[int, int]:
    bits = np.unpackbits(np.frombuffer(made.PixelData, np.uint8), bitorder="little")
    size = made.Rows * made.Columns
    found: dict[int, int] = {}
    for index, groups in enumerate(made.PerFrameFunctionalGroupsSequence):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[number] = found.get(number, 0) + int(bits[index * size : (index + 1) * size].sum())
    return found


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int64, np.float32])
def test_a_label_map_is_one_segment_a_label(dtype: type) -> None:
    made = label_map_of({1: "spleen", 9: Code("X", "99LAB", "Thing")}, LABELS.astype(dtype))
    assert [item.SegmentLabel for item in made.SegmentSequence] == ["spleen", "Thing"]
    assert voxels_by_segment(made) == {1: 4, 2: 6}


def test_a_label_map_and_its_masks_are_the_same_segmentation() -> None:
    names = {1: "spleen", 5: "liver"}
    one = label_map_of(names)
    masks: dict[str, Any] = {name: np.equal(LABELS, label) for label, name in names.items()}
    other = segmentation(masks, make_source(), make_recipe())
    assert one.PixelData == other.PixelData
    assert one.SegmentSequence == other.SegmentSequence


def test_the_table_of_a_model_names_the_labels_that_occur() -> None:
    made = label_map_of("totalsegmentator")
    assert [item.SegmentLabel for item in made.SegmentSequence] == ["spleen", "liver", "adrenal_gland_left"]


def test_a_label_that_does_not_occur_is_an_empty_segment() -> None:
    assert len(label_map_of({1: "spleen", 300: "liver"}).SegmentSequence) == 2


@pytest.mark.parametrize(
    ("labels", "array", "message"),
    [
        ({1: "spleen"}, LABELS / 2, "whole numbers"), ({1: "spleen"}, LABELS - 1, "holds -1"),
        ({0: "spleen"}, LABELS, "counted from 1"), ({}, LABELS, "counted from 1"),
        ("nnunet", LABELS, "no table of labels"), ("totalsegmentator:liver_vessel", LABELS, "liver_vessels"),
        ("totalsegmentator:lung_nodules", LABELS, "no names for the labels"),
        ("totalsegmentator", LABELS * 0, "label map is empty"),
    ],
)  # fmt: skip
def test_label_maps_that_cannot_be_are_refused(labels: Any, array: Any, message: str) -> None:
    with pytest.raises(DerivedObjectError, match=message):
        label_map_of(labels, array)


def test_a_session_takes_a_label_map_with_its_names() -> None:
    derive = fake_context().session.dicom.derive
    made = derive.segmentation(LABELS, labels={5: "liver"}, like=make_headers())
    assert made.SegmentSequence[0].SegmentLabel == "liver"
    with pytest.raises(DerivedObjectError, match="needs the names of its labels"):
        derive.segmentation(LABELS, like=make_headers())
    with pytest.raises(DerivedObjectError, match="leave labels out"):
        derive.segmentation({"liver": MASK}, labels={1: "liver"}, like=make_headers())


def test_masks_of_other_axes_lie_on_one_grid_by_their_own_affines() -> None:
    affine = np.diag([-0.5, -0.75, 2.5, 1.0])
    turned = affine[:, [2, 1, 0, 3]]
    masks: dict[str, Any] = {
        "liver": nib.nifti1.Nifti1Image(MASK.astype(np.uint8), affine),
        "spleen": nib.nifti1.Nifti1Image(np.ascontiguousarray(MASK.transpose(2, 1, 0)).astype(np.uint8), turned),
        "pancreas": MASK,
    }
    assert voxels_by_segment(segmentation(masks, make_source(), make_recipe())) == {1: 12, 2: 12, 3: 12}


@pytest.mark.parametrize("name", ["_", "?", "", " ", "__"])
def test_a_name_without_a_letter_is_of_no_structure(name: str) -> None:
    assert find_structure(name) is None


def test_each_structure_stands_once_in_the_table() -> None:
    table = resources.files("dcm_processor_service.derived.terminology").joinpath("structures.csv")
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    counts = Counter(row["name"] for row in rows)
    assert counts
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize(
    ("name", "value", "side"),
    [("Thumb", "76505004", None), ("left thumb", "76505004", "Left"), ("right cornea", "28726007", "Right")],
)
def test_a_part_that_only_the_standard_names_has_its_code_and_side(name: str, value: str, side: str | None) -> None:
    assert find_structure(name) is None
    mask = np.ones((5, 4, 3), bool)
    by_name, by_code = segmentation(
        {name: mask, "mine": Segment(mask, code=name)}, make_source(), make_recipe()
    ).SegmentSequence
    for segment in (by_name, by_code):
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        assert (kind.CodeValue, kind.CodingSchemeDesignator) == (value, "SCT")
        sides = kind.get("SegmentedPropertyTypeModifierCodeSequence", ())
        assert [each.CodeMeaning for each in sides] == ([] if side is None else [side])
    assert by_code.SegmentLabel == "mine"

"""The UIDs of derived objects, as literals.

No release may change them. A job that is run again after an upgrade must make the objects that it made before; with
other UIDs every result would lie twice at the archive, and nobody could tell which one counts. When a test here fails,
mend the code, not the literal.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dcm_processor_service.derived import Segment, StudyIdentity, keyed_uid
from dcm_processor_service.derived.attributes.uids import UidPlan
from dcm_processor_service.models.derived import Producer, Recipe
from dcm_processor_service.session.images.derive import Derive
from dcm_processor_service.session.images.derive_async import AsyncDerive
from dcm_processor_service.testing import fake_context
from tests.unit.derived.sources import make_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydicom import Dataset

RECIPE = Recipe(Producer("liver-volume", "1.4.0", "5" * 24, job_name="segment"), role="smoothed", object_kind="ct")
SOURCES = ("1.2.3.1.2", "1.2.3.1.1")
PLANS: dict[str, tuple[Callable[[UidPlan], str], str]] = {
    "series": (UidPlan.series, "2.25.128354819682536955229129904572055968726"),
    "instance 1": (lambda plan: plan.instance(1), "2.25.274965375866864359600899025417525811771"),
    "instance 12": (lambda plan: plan.instance(12), "2.25.311934255261146105066574781535506836871"),
    "frame of reference": (UidPlan.frame_of_reference, "2.25.270177188081829591216901835081259176240"),
    "dimension organization": (
        lambda plan: plan.other("dimension organization"),
        "2.25.82270074288352316269173901614620110421",
    ),
}


@pytest.mark.parametrize(("make", "pinned"), PLANS.values(), ids=PLANS)
def test_uids_of_a_plan_are_those_of_every_release(make: Callable[[UidPlan], str], pinned: str) -> None:
    assert make(UidPlan.of(RECIPE, SOURCES)) == pinned
    assert make(UidPlan.of(RECIPE, SOURCES[::-1])) == pinned


def test_uids_of_a_key_are_those_of_every_release() -> None:
    assert keyed_uid("a", "b") == "2.25.70551534263214073512288095346499470803"
    assert keyed_uid("Müller", "") == "2.25.17510200957900029097487182049090497695"  # the key is escaped to ASCII first


MASK = np.zeros((5, 4, 3), bool)
MASK[1:3, 1, :2] = True
VALUES = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
ELSEWHERE = np.diag([1.0, 1.0, 1.0, 1.0])
WHO = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3")


def headers() -> list[Dataset]:
    return make_headers(SeriesNumber=4)


MAKERS: dict[str, Callable[[Derive], Iterable[Dataset]]] = {
    "image": lambda derive: derive(VALUES, like=headers(), role="smoothed"),
    "image, other role": lambda derive: derive(VALUES, like=headers(), role="sharpened")[:1],
    "image, of class": lambda derive: derive(VALUES, like=headers(), role="smoothed", kind="sc")[:1],
    "image, another space": lambda derive: derive(
        VALUES, like=headers(), role="moved", affine_lps=ELSEWHERE, same_frame=False
    )[:1],
    "image, no source": lambda derive: derive(VALUES, like=WHO, role="smoothed", affine_lps=ELSEWHERE, kind="ct")[:1],
    "image, multi-frame": lambda derive: derive(VALUES, like=headers(), role="all", kind="sc", multi_frame=True),
    "pages": lambda derive: derive([np.zeros((9, 11, 3), np.uint8)] * 2, like=headers(), role="pictures"),
    "segmentation": lambda derive: [derive.segmentation({"liver": MASK}, like=headers())],
    "segments": lambda derive: [
        derive.segmentation({"liver": Segment(MASK), "left kidney": Segment(~MASK)}, like=headers(), role="organs")
    ],
    "map": lambda derive: [derive.parametric_map(VALUES / 7, like=headers(), role="adc", units="mm2/s")],
    "measurements": lambda derive: [derive.measurement_report({"liver": {"Volume": (12.5, "ml")}}, like=headers())],
    "text": lambda derive: [derive.text_report("No nodules.", like=headers())],
    "document": lambda derive: [derive.pdf(b"%PDF-1.7 odd", like=headers())],
}


def own_uids(dataset: Dataset) -> dict[str, list[str]]:
    """The UIDs in an object that are made here, each once, by keyword."""
    found: dict[str, list[str]] = {}
    for element in dataset.iterall():
        known = found.setdefault(element.keyword, [])
        if element.VR == "UI" and str(element.value).startswith("2.25.") and str(element.value) not in known:
            known.append(str(element.value))
    return {keyword: uids for keyword, uids in found.items() if uids}


OBJECTS: dict[str, list[dict[str, list[str]]]] = {
    "image": [
        {
            "SOPInstanceUID": ["2.25.260134592982302295295602324344471333721"],
            "SeriesInstanceUID": ["2.25.72811865588653767040260813741895705582"],
        },
        {
            "SOPInstanceUID": ["2.25.333882580537794396728926950718908634024"],
            "SeriesInstanceUID": ["2.25.72811865588653767040260813741895705582"],
        },
        {
            "SOPInstanceUID": ["2.25.258399511400516574230976231967215605476"],
            "SeriesInstanceUID": ["2.25.72811865588653767040260813741895705582"],
        },
    ],
    "image, other role": [
        {
            "SOPInstanceUID": ["2.25.205022256817986646382294335062878250113"],
            "SeriesInstanceUID": ["2.25.35861502252452358617827145573563030621"],
        }
    ],
    "image, of class": [
        {
            "SOPInstanceUID": ["2.25.209830048193503248622941941309264823385"],
            "SeriesInstanceUID": ["2.25.100829565602242146561476359893337333575"],
        }
    ],
    "image, another space": [
        {
            "SOPInstanceUID": ["2.25.233206766168930186865905768305213358672"],
            "SeriesInstanceUID": ["2.25.74587206967580042504924544521187386065"],
            "FrameOfReferenceUID": ["2.25.264237359134551068396832622918614970457"],
        }
    ],
    "image, no source": [
        {
            "SOPInstanceUID": ["2.25.212290475483609199068343132523135505218"],
            "SeriesInstanceUID": ["2.25.312046523932967868437026159510899681923"],
            "FrameOfReferenceUID": ["2.25.312100897891379618714781044724808860071"],
        }
    ],
    "image, multi-frame": [
        {
            "SOPInstanceUID": ["2.25.269572661097887512166753189146334310827"],
            "SeriesInstanceUID": ["2.25.260780764342899508911778098490626578855"],
            "DimensionOrganizationUID": ["2.25.114387987629116003799426755699218517210"],
        }
    ],
    "pages": [
        {
            "SOPInstanceUID": ["2.25.73057565504299393012867547249319545909"],
            "SeriesInstanceUID": ["2.25.61145317669548203675362103442961571907"],
        },
        {
            "SOPInstanceUID": ["2.25.104846382600051047556398464090803119320"],
            "SeriesInstanceUID": ["2.25.61145317669548203675362103442961571907"],
        },
    ],
    "segmentation": [
        {
            "SOPInstanceUID": ["2.25.25858602033499830646062870799765044113"],
            "SeriesInstanceUID": ["2.25.216710448584514753482140201759824946350"],
            "DimensionOrganizationUID": ["2.25.297912475442197053149757746246547059873"],
            "TrackingUID": ["2.25.141637831911773186833607617439689705320"],
        }
    ],
    "segments": [
        {
            "SOPInstanceUID": ["2.25.100275370510086691792601677232720134790"],
            "SeriesInstanceUID": ["2.25.231511907300720047877576596182736402612"],
            "DimensionOrganizationUID": ["2.25.99498644396177936893303735185441214216"],
            "TrackingUID": [
                "2.25.215229432064659518625800219762730133586",
                "2.25.19117189472281815867362152166392471111",
            ],
        }
    ],
    "map": [
        {
            "SOPInstanceUID": ["2.25.15655791802615717407960846641356760769"],
            "SeriesInstanceUID": ["2.25.322437693476776449730464546720071601580"],
            "DimensionOrganizationUID": ["2.25.316028621252454787853112140847819371105"],
        }
    ],
    "measurements": [
        {
            "SOPInstanceUID": ["2.25.4549983572734059209474379871343702817"],
            "SeriesInstanceUID": ["2.25.75611305232863934404073256799767234363"],
            "UID": ["2.25.130036440506311820452721487321157163468", "2.25.215155578215293541789215164487954274575"],
        }
    ],
    "text": [
        {
            "SOPInstanceUID": ["2.25.236807113670386015091257533296032597510"],
            "SeriesInstanceUID": ["2.25.209473862127673431797028876139680561231"],
            "UID": ["2.25.130036440506311820452721487321157163468"],
        }
    ],
    "document": [
        {
            "SOPInstanceUID": ["2.25.339162817178841144050581150987486429802"],
            "SeriesInstanceUID": ["2.25.270216497525738863545371411442808731535"],
        }
    ],
}


@pytest.mark.parametrize("name", MAKERS)
def test_uids_of_objects_are_those_of_every_release(name: str) -> None:
    context = fake_context(
        session_id="5" * 24, service_name="liver-volume", service_version="1.4.0", job_name="segment"
    )
    made = [own_uids(dataset) for dataset in MAKERS[name](context.session.dicom.derive)]
    assert made == OBJECTS[name]


@pytest.mark.parametrize("method", ["segmentation", "measurement_report", "text_report", "pdf"])
def test_both_modes_have_the_same_roles(method: str) -> None:
    blocking, asynchronous = (inspect.signature(getattr(cls, method)) for cls in (Derive, AsyncDerive))
    assert blocking.parameters["role"].default == asynchronous.parameters["role"].default


def test_the_implementation_class_is_that_of_every_release() -> None:
    context = fake_context()
    document = context.session.dicom.derive.pdf(b"%PDF-1.7 odd", like=WHO)
    assert document.file_meta.ImplementationClassUID == "2.25.123881671621224340370112490931689087896"

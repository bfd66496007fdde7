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
from dcm_processor_service.session.derive import Derive
from dcm_processor_service.session.derive_async import AsyncDerive
from dcm_processor_service.testing import fake_context
from tests.unit.derived.sources import make_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydicom import Dataset

RECIPE = Recipe(Producer("liver-volume", "1.4.0", "5" * 24), role="smoothed", object_kind="ct")
SOURCES = ("1.2.3.1.2", "1.2.3.1.1")
PLANS: dict[str, tuple[Callable[[UidPlan], str], str]] = {
    "series": (UidPlan.series, "2.25.276376349038347100856120973562340890522"),
    "instance 1": (lambda plan: plan.instance(1), "2.25.61924589880923540310285169175482629605"),
    "instance 12": (lambda plan: plan.instance(12), "2.25.179055752571210632035385127718370081821"),
    "frame of reference": (UidPlan.frame_of_reference, "2.25.172405188590337175332591245137589718214"),
    "dimension organization": (
        lambda plan: plan.other("dimension organization"),
        "2.25.81594687740573179966402542650641973317",
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
            "SOPInstanceUID": ["2.25.6887907918254172155060707864824095880"],
            "SeriesInstanceUID": ["2.25.329811651387585206696843265432420387946"],
        },
        {
            "SOPInstanceUID": ["2.25.136419920075888280703062869883233090536"],
            "SeriesInstanceUID": ["2.25.329811651387585206696843265432420387946"],
        },
        {
            "SOPInstanceUID": ["2.25.323174873153264457783113629017383440549"],
            "SeriesInstanceUID": ["2.25.329811651387585206696843265432420387946"],
        },
    ],
    "image, other role": [
        {
            "SOPInstanceUID": ["2.25.187711146905089558220735277984340422346"],
            "SeriesInstanceUID": ["2.25.140156618327248561146028167666643385025"],
        }
    ],
    "image, of class": [
        {
            "SOPInstanceUID": ["2.25.245373690269129419670459173630180165193"],
            "SeriesInstanceUID": ["2.25.63587260403369831212744577449576063827"],
        }
    ],
    "image, another space": [
        {
            "SOPInstanceUID": ["2.25.37625188372626632470079045613925197443"],
            "SeriesInstanceUID": ["2.25.274577388929135609045611560487281042226"],
            "FrameOfReferenceUID": ["2.25.304237531039108263253273078431217969191"],
        }
    ],
    "image, no source": [
        {
            "SOPInstanceUID": ["2.25.182514815343881186497347379906357630693"],
            "SeriesInstanceUID": ["2.25.282752373354823584289058380745470632619"],
            "FrameOfReferenceUID": ["2.25.323148461062338464474478798021764455499"],
        }
    ],
    "image, multi-frame": [
        {
            "SOPInstanceUID": ["2.25.248646496823683983417530573615869120004"],
            "SeriesInstanceUID": ["2.25.202025811998692621216704783719243578812"],
            "DimensionOrganizationUID": ["2.25.316189032350684565870829632650313728928"],
        }
    ],
    "pages": [
        {
            "SOPInstanceUID": ["2.25.292409464115683133937160038980752677641"],
            "SeriesInstanceUID": ["2.25.148134821872286223404435334225230113402"],
        },
        {
            "SOPInstanceUID": ["2.25.248117703973477992755320147631351078123"],
            "SeriesInstanceUID": ["2.25.148134821872286223404435334225230113402"],
        },
    ],
    "segmentation": [
        {
            "SOPInstanceUID": ["2.25.274309873079008281180027612776295436437"],
            "SeriesInstanceUID": ["2.25.273845752640671230046027787585349179425"],
            "DimensionOrganizationUID": ["2.25.168561493351721840368179663804401112738"],
            "TrackingUID": ["2.25.305017934297226937025462003207896998005"],
        }
    ],
    "segments": [
        {
            "SOPInstanceUID": ["2.25.306821467694509464050683279068307377342"],
            "SeriesInstanceUID": ["2.25.6298101814398310887438768474303921420"],
            "DimensionOrganizationUID": ["2.25.320209222910808254162350003216861348592"],
            "TrackingUID": [
                "2.25.283493968433895495723786354031291208121",
                "2.25.117509409225831079277113827313008845806",
            ],
        }
    ],
    "map": [
        {
            "SOPInstanceUID": ["2.25.174528761013726615593779755247213951153"],
            "SeriesInstanceUID": ["2.25.78411242392407210946742054173894608446"],
            "DimensionOrganizationUID": ["2.25.338249603395353689883875539954179550977"],
        }
    ],
    "measurements": [
        {
            "SOPInstanceUID": ["2.25.39266547189372318453775204561671021213"],
            "SeriesInstanceUID": ["2.25.273350689850611285782105662823266358903"],
            "UID": ["2.25.130036440506311820452721487321157163468", "2.25.221937007461053759926249222532827443286"],
        }
    ],
    "text": [
        {
            "SOPInstanceUID": ["2.25.211452584611736813917748256862353588121"],
            "SeriesInstanceUID": ["2.25.100560334331017521322908085607898437271"],
        }
    ],
    "document": [
        {
            "SOPInstanceUID": ["2.25.314630898356597036650004217977658143571"],
            "SeriesInstanceUID": ["2.25.299114096881197150048024678814140156164"],
        }
    ],
}


@pytest.mark.parametrize("name", MAKERS)
def test_uids_of_objects_are_those_of_every_release(name: str) -> None:
    context = fake_context(session_id="5" * 24, service_name="liver-volume", service_version="1.4.0")
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

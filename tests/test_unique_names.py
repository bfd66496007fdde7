"""One name stands for one thing in the whole package, so that a reader of one module is right about another."""

from __future__ import annotations

from collections import defaultdict

from tests.public_places import ROOT, definitions


def homes() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for one in definitions():
        found[one.name].add(one.module)
    return found


def test_no_two_classes_or_type_aliases_share_a_name() -> None:
    assert not {name: sorted(places) for name, places in homes().items() if len(places) > 1}


def test_the_definitions_are_found_also_where_only_type_checkers_see_them() -> None:
    names = homes()
    assert names["SeriesRecord"] == {f"{ROOT}.models.subjects"}
    assert names["DicomSender"] == {f"{ROOT}.dicom_network.dicom_sender"}
    assert len(names) > 250

"""A later folder adds to a workspace, in a folder and in MongoDB: it never takes the place of another image."""

from __future__ import annotations

import shutil
import uuid
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread
from pymongo import MongoClient

from dcm_processor_service import Container, RuntimeContext, opened
from dcm_processor_service.errors import LocalFileError
from dcm_processor_service.local.chosen_store import ChosenStore
from dcm_processor_service.local.workspace import Workspace
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.testing import synthetic_series
from tests.mongod import remove_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dcm_processor_service.session.images.catalogue import Filed

SLICES = 5


@pytest.fixture(params=["sqlite", "mongodb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    if request.param == "sqlite":
        yield Workspace(tmp_path / "work")
        return
    url, name = request.getfixturevalue("mongo_url"), f"filing_{uuid.uuid4().hex[:12]}"
    try:
        yield Workspace(tmp_path / "work", ChosenStore(url, name, of_environment=False))
    finally:
        with MongoClient[dict[str, Any]](url) as client:
            remove_database(client[name])


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A series; beside its folder, another with another image under the UID of the third slice."""
    made = synthetic_series(slices=SLICES)
    for folder in ("scans", "other"):
        (tmp_path / folder).mkdir()
    for number, dataset in enumerate(made):
        dataset.save_as(tmp_path / "scans" / f"{number}.dcm", enforce_file_format=True)
    made[2].PixelData = made[2].PixelData[::-1]
    made[2].save_as(tmp_path / "other" / "2.dcm", enforce_file_format=True)
    return tmp_path / "scans"


def read(ctx: RuntimeContext) -> list[int]:
    """Returns the shape of the volume, which is refused if the instances contradict each other."""
    return list(ctx.session.dicom.get_series().volume().shape)


def outcome(place: Workspace, filed: Filed) -> Any:
    return place.run(
        read, filed.series[0], filed=filed, job_name="read", params={}, preview=False, depends_on=()
    ).outcome


def contents(place: Workspace, filed: Filed) -> list[bytes]:
    """Returns what the store holds of the series."""

    async def fetched(backend: Any) -> list[bytes]:
        instances = await backend.dicom.instances(filed.series[0])
        found = [content async for _one, content in backend.dicom.fetch(instances)]
        return sorted(content if isinstance(content, bytes) else content.read_bytes() for content in found)

    with opened(Container(settings=place.settings())) as container:
        return run_inline(fetched(container.backend()))


def test_another_image_of_a_known_uid_is_refused_and_replaces_nothing(place: Workspace, scans: Path) -> None:
    filed, _ = place.ingest([scans])
    assert outcome(place, filed).ok
    other = scans.with_name("other")
    later, catalogue = place.ingest([other])
    assert catalogue.left_out == []
    assert len(later.series[0].instance_ids) == SLICES + 1
    files = [*scans.iterdir(), *other.iterdir()]
    assert contents(place, later) == sorted(path.read_bytes() for path in files)
    refused = outcome(place, later)
    assert not refused.ok
    assert "CONFLICTING_INSTANCES" in str(refused.error)
    for folders in ([other], [scans], [scans, other], [other, scans]):
        again, _ = place.ingest(folders)
        assert set(again.series[0].instance_ids) == set(later.series[0].instance_ids)
    assert contents(place, again) == sorted(path.read_bytes() for path in files)


def test_a_wrong_image_is_forgotten_once_its_file_is_gone(place: Workspace, scans: Path) -> None:
    """Only where its folder is given again, and the right image under the UID with it."""
    place.ingest([scans])
    other = scans.with_name("other")
    later, _ = place.ingest([other])
    (other / "2.dcm").rename(scans.with_name("wrong.dcm"))
    kept, _ = place.ingest([scans])
    assert set(kept.series[0].instance_ids) == set(later.series[0].instance_ids)
    right, _ = place.ingest([scans, other])
    assert len(right.series[0].instance_ids) == SLICES
    assert contents(place, right) == sorted(path.read_bytes() for path in scans.iterdir())
    assert outcome(place, right).ok


def test_a_wrong_image_that_is_replaced_in_its_place_is_forgotten(place: Workspace, scans: Path) -> None:
    wrong, right = scans.with_name("other") / "2.dcm", scans / "2.dcm"
    kept = right.read_bytes()
    right.write_bytes(wrong.read_bytes())
    filed, _ = place.ingest([scans])
    right.write_bytes(kept)
    assert place.ingest([scans])[0] == filed
    assert contents(place, filed) == sorted(path.read_bytes() for path in scans.iterdir())
    assert outcome(place, filed).ok


def test_files_that_changed_names_keep_their_images(place: Workspace, scans: Path) -> None:
    """As if the same images were exported again in another order; content that a store holds need not move."""

    def uids_by_id(filed: Filed) -> dict[str, str]:
        async def read_all(backend: Any) -> dict[str, str]:
            instances = await backend.dicom.instances(filed.series[0])
            found = {}
            async for one, content in backend.dicom.fetch(instances):
                uid = str(dcmread(BytesIO(content) if isinstance(content, bytes) else content).SOPInstanceUID)
                assert one.sop_instance_uid == uid
                found[one.id] = uid
            return found

        with opened(Container(settings=place.settings())) as container:
            return run_inline(read_all(container.backend()))

    filed, _ = place.ingest([scans])
    before, known = uids_by_id(filed), contents(place, filed)
    (scans / "0.dcm").rename(scans / "first.dcm")
    (scans / "1.dcm").rename(scans / "0.dcm")
    (scans / "first.dcm").rename(scans / "1.dcm")
    again, _ = place.ingest([scans])
    assert contents(place, again) == known
    after = uids_by_id(again)
    assert sorted(after.values()) == sorted(before.values())
    if place.store is not None:
        assert after == before


@pytest.mark.parametrize("place", ["mongodb"], indirect=True)
def test_what_another_machine_has_filed_is_not_forgotten_on_this_one(
    place: Workspace, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same path names other files there. A folder with SQLite has one machine."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("platform.node", lambda: "another")
        place.ingest([scans, scans.with_name("other")])
    (scans.with_name("other") / "2.dcm").unlink()
    filed, _ = place.ingest([scans, scans.with_name("other")])
    assert len(filed.series[0].instance_ids) == SLICES + 1


def test_the_refusal_is_the_same_sentence_in_each_store(
    tmp_path: Path, scans: Path, request: pytest.FixtureRequest
) -> None:
    url, name = request.getfixturevalue("mongo_url"), f"filing_{uuid.uuid4().hex[:12]}"
    stores = [None, ChosenStore(url, name, of_environment=False)]
    told = []
    for number, store in enumerate(stores):
        place = Workspace(tmp_path / f"work{number}", store)
        place.ingest([scans])
        filed, _ = place.ingest([scans.with_name("other")])
        told.append(str(outcome(place, filed).error))
    with MongoClient[dict[str, Any]](url) as client:
        remove_database(client[name])
    assert told[0] == told[1]
    assert "CONFLICTING_INSTANCES" in told[0]


def test_a_copy_that_is_filed_later_is_the_same_instance(place: Workspace, scans: Path) -> None:
    filed, _ = place.ingest([scans])
    copy = scans.with_name("copy")
    shutil.copytree(scans, copy)
    assert place.ingest([copy])[0] == filed
    assert outcome(place, filed).ok


def test_an_instance_whose_patient_was_corrected_takes_the_place_of_the_earlier_one(
    place: Workspace, scans: Path
) -> None:
    filed, _ = place.ingest([scans])
    for path in scans.iterdir():
        dataset = dcmread(path)
        dataset.PatientComments = "corrected"
        dataset.save_as(path)
    again, _ = place.ingest([scans])
    assert again.series[0].instance_ids == filed.series[0].instance_ids
    assert contents(place, again) == sorted(path.read_bytes() for path in scans.iterdir())


def test_without_a_temporary_folder_a_known_image_is_filed_again(
    place: Workspace, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has to be read out of the store, so nothing needs the folder."""
    filed, _ = place.ingest([scans])
    monkeypatch.setattr("tempfile.tempdir", str(scans / "gone"))
    assert place.ingest([scans])[0] == filed


def test_a_temporary_folder_that_cannot_be_used_is_an_error_of_this_package(
    scans: Path, mongo_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"filing_{uuid.uuid4().hex[:12]}"
    place = Workspace(tmp_path / "work", ChosenStore(mongo_url, name, of_environment=False))
    place.ingest([scans])
    monkeypatch.setattr("tempfile.tempdir", str(scans / "gone"))
    with pytest.raises(LocalFileError, match="temporary folder"):
        place.ingest([scans.with_name("other")])
    with MongoClient[dict[str, Any]](mongo_url) as client:
        remove_database(client[name])

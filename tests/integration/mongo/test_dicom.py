"""Patients, studies, series and their files, as the platform's DICOM server files them."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from gridfs.grid_file_shared import DEFAULT_CHUNK_SIZE

from dcm_processor_service.backends.mongo.dicom import GROUP_BYTES, GROUP_CHUNKS
from dcm_processor_service.errors import AmbiguousSeriesError, StoredFileNotFoundError, StoredValueError
from dcm_processor_service.models import Instance, Patient, SeriesRecord, Study, SubjectLevel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.mongo.conftest import Store


def add(store: Store, collection: str, **fields: Any) -> str:
    return str(store.database[collection].insert_one({"PatientUID": "hash", "PeerUID": "p"} | fields).inserted_id)


def add_files(store: Store, contents: list[bytes]) -> list[str]:
    """What GridFSBucket writes, all at once."""
    files, chunks = [], []
    for number, content in enumerate(contents):
        metadata = {"SOPInstanceUID": f"1.2.3.{number}", "PatientName": "X^Y", "PeerUID": "p", "Slices": 1}
        file = {"_id": ObjectId(), "filename": f"{os.urandom(16).hex()}.dcm", "length": len(content)}
        files.append(
            file | {"chunkSize": DEFAULT_CHUNK_SIZE, "uploadDate": datetime.now(timezone.utc), "metadata": metadata}
        )
        for n, begin in enumerate(range(0, len(content), DEFAULT_CHUNK_SIZE)):
            chunks.append({"files_id": file["_id"], "n": n, "data": content[begin : begin + DEFAULT_CHUNK_SIZE]})
    if files:
        store.database["dicomfiles.chunks"].create_index([("files_id", 1), ("n", 1)], unique=True)
        store.database["dicomfiles.chunks"].insert_many(chunks)
        store.database["dicomfiles.files"].insert_many(files)
    return [str(file["_id"]) for file in files]


def series_of(instance_ids: list[str]) -> SeriesRecord:
    return SeriesRecord(id="5e" * 12, series_instance_uid="1.2.3", instance_ids=tuple(instance_ids))


async def fetched(store: Store, instances: list[Instance]) -> list[tuple[str, bytes]]:
    return [
        (instance.id, content)
        async for instance, content in store.backend.dicom.fetch(instances)
        if isinstance(content, bytes)
    ]


async def test_each_level_is_found_by_id_and_by_uid(store: Store) -> None:
    series_id = add(
        store,
        "series",
        StudyInstanceUID="1.2",
        SeriesInstanceUID="1.2.3",
        Instances=["1" * 24],
        Metadata={"Modality": "MR"},
    )
    study_id = add(store, "studies", StudyInstanceUID="1.2", Series=[series_id])
    patient_id = add(store, "patients", Studies=[study_id], Scheduled=True)
    dicom = store.backend.dicom
    patient = Patient(id=patient_id, patient_uid="hash", study_ids=(study_id,))
    study = Study(id=study_id, patient_uid="hash", study_instance_uid="1.2", series_ids=(series_id,))
    series = SeriesRecord(
        id=series_id,
        patient_uid="hash",
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        instance_ids=("1" * 24,),
        metadata={"Modality": "MR"},
    )
    for level, expected, uid in (
        (SubjectLevel.PATIENT, patient, "hash"),
        (SubjectLevel.STUDY, study, "1.2"),
        (SubjectLevel.SERIES, series, "1.2.3"),
    ):
        assert await dicom.find(level, expected.id) == expected
        assert await dicom.find(level, uid) == expected
        assert await dicom.find(level, "1.9") is None
        assert await dicom.find(level, "0" * 24) is None
    store.recorder.take()
    assert await dicom.children(patient) == [study]
    assert await dicom.children(study) == [series]
    assert store.recorder.take() == ["find studies", "find series"]


async def test_children_come_in_order_of_arrival_without_those_that_are_gone(store: Store) -> None:
    ids = [add(store, "series", SeriesInstanceUID=f"1.{number}") for number in range(4)]
    wanted = (ids[2], ids[0], str(ObjectId()), ids[3])
    found = await store.backend.dicom.children(Study(id="57" * 12, series_ids=wanted))
    assert [series.id for series in found] == [ids[2], ids[0], ids[3]]


async def test_of_two_peers_copies_none_is_picked(store: Store) -> None:
    ids = [add(store, "series", SeriesInstanceUID="1.2.3", PeerUID=peer) for peer in "ab"]
    with pytest.raises(AmbiguousSeriesError, match=f"the UID 1.2.3, .*: {ids[0]}, {ids[1]}"):
        await store.backend.dicom.find(SubjectLevel.SERIES, "1.2.3")
    found = await store.backend.dicom.find(SubjectLevel.SERIES, ids[1])
    assert found is not None
    assert found.id == ids[1]


async def test_instances_come_in_order_of_arrival_in_one_command(store: Store) -> None:
    ids = add_files(store, [b"a", b"bb", b"ccc"])
    wanted = [ids[2], ids[0], ids[1]]
    assert await store.backend.dicom.instances(series_of(wanted)) == [
        Instance(id=ids[2], sop_instance_uid="1.2.3.2", size_bytes=3),
        Instance(id=ids[0], sop_instance_uid="1.2.3.0", size_bytes=1),
        Instance(id=ids[1], sop_instance_uid="1.2.3.1", size_bytes=2),
    ]
    assert store.recorder.take() == ["find dicomfiles.files"]


@pytest.mark.parametrize("count", [0, 1, GROUP_CHUNKS, GROUP_CHUNKS + 1, 3 * GROUP_CHUNKS + 2])
async def test_files_come_in_the_order_asked_for_and_many_in_one_query(store: Store, count: int) -> None:
    contents = [bytes([number % 256]) * (1 + number) for number in range(count)]
    ids = add_files(store, contents)
    wanted = list(reversed(list(zip(ids, contents, strict=True))))
    instances = await store.backend.dicom.instances(series_of([instance_id for instance_id, _content in wanted]))
    store.recorder.take()
    assert await fetched(store, instances) == wanted
    assert store.recorder.take() == ["find dicomfiles.chunks"] * -(-count // GROUP_CHUNKS)


async def test_files_of_many_chunks_share_queries_as_well(store: Store) -> None:
    two_chunks, three_chunks = b"2" * 300_000, b"3" * 600_000
    contents = [b"1"] * (GROUP_CHUNKS - 4) + [two_chunks, three_chunks, two_chunks]
    ids = add_files(store, contents)
    instances = await store.backend.dicom.instances(series_of(ids))
    store.recorder.take()
    assert await fetched(store, instances) == list(zip(ids, contents, strict=True))
    assert store.recorder.take() == ["find dicomfiles.chunks"] * 2


async def test_a_group_has_no_more_bytes_than_memory_allows(store: Store) -> None:
    third = GROUP_BYTES // 3 + 1
    contents = [bytes([number]) * third for number in range(3)]
    instances = await store.backend.dicom.instances(series_of(add_files(store, contents)))
    store.recorder.take()
    assert [content for _id, content in await fetched(store, instances)] == contents
    commands = store.recorder.take()
    assert commands.count("find dicomfiles.chunks") == 2


async def test_a_walk_that_ends_early_leaves_nothing_under_way(store: Store) -> None:
    instances = await store.backend.dicom.instances(series_of(add_files(store, [b"x"] * (4 * GROUP_CHUNKS))))
    store.recorder.take()
    files = store.backend.dicom.fetch(instances)
    async for instance, _content in files:
        assert instance == instances[0]
        break
    await files.aclose()  # type: ignore[attr-defined]  # the port promises an iterator, this one is a generator
    assert await fetched(store, instances[:1]) == [(instances[0].id, b"x")]


async def test_an_instance_asked_for_twice_comes_twice(store: Store) -> None:
    (instance,) = await store.backend.dicom.instances(series_of(add_files(store, [b"x"])))
    assert await fetched(store, [instance, instance]) == [(instance.id, b"x")] * 2


async def test_a_missing_file_is_listed_and_its_reading_told(store: Store) -> None:
    ids = add_files(store, [b"a", b"b"])
    gone = str(ObjectId())
    instances = await store.backend.dicom.instances(series_of([ids[0], gone, ids[1]]))
    assert [(instance.id, instance.size_bytes) for instance in instances] == [(ids[0], 1), (gone, 0), (ids[1], 1)]
    with pytest.raises(StoredFileNotFoundError, match=f"the instance {gone} is no longer stored"):
        await fetched(store, instances)


def drop_first(store: Store) -> None:
    store.database["dicomfiles.chunks"].delete_one({"n": 0})


def drop_last(store: Store) -> None:
    store.database["dicomfiles.chunks"].delete_one({"n": 2})


def shorten(store: Store) -> None:
    store.database["dicomfiles.chunks"].update_one({"n": 1}, {"$set": {"data": b"x"}})


@pytest.mark.parametrize("damage", [drop_first, drop_last, shorten])
async def test_an_incomplete_file_is_never_handed_out(store: Store, damage: Callable[[Store], None]) -> None:
    instances = await store.backend.dicom.instances(series_of(add_files(store, [bytes(600_000)])))
    damage(store)
    with pytest.raises(StoredValueError, match=r"the instance 1\.2\.3\.0 is not complete: .* of 600000 bytes"):
        await fetched(store, instances)

"""A workspace is made in an empty database alone, and keeps nothing of a run before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bson import ObjectId

from dcm_processor_service.backends.mongo.driver.collection import Collection
from dcm_processor_service.errors import ConfigurationError, StoreUnavailableError
from dcm_processor_service.models import Job, JobState, Peer

if TYPE_CHECKING:
    from dcm_processor_service.ports import WorkspaceRepository
    from tests.integration.mongo.conftest import Store

PEER = Peer(id="", name="PACS", ae_title="PACS", host="pacs", port=104)


def workspace(store: Store) -> WorkspaceRepository:
    found = store.backend.workspace
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["orders", "settings", "dcm_workspace"])
async def test_a_database_that_holds_a_document_of_anyone_is_refused_and_stays_as_it_is(
    store: Store, name: str
) -> None:
    store.database[name].insert_one({"name": "x"})
    with pytest.raises(ConfigurationError, match=f"the database holds '{name}' .* so it is not a workspace"):
        await workspace(store).add_peer(PEER)
    assert store.database.list_collection_names() == [name]
    assert store.database[name].count_documents({}) == 1


async def test_collections_without_a_document_are_no_hindrance(store: Store) -> None:
    store.database.create_collection("orders")
    store.database.create_collection("a_view", viewOn="orders", pipeline=[])
    await workspace(store).add_peer(PEER)
    assert store.database["peers"].count_documents({}) == 1
    assert store.database["dcm_workspace"].count_documents({}) == 1


async def test_a_database_that_another_first_run_marks_meanwhile_is_a_workspace(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_of_all = Collection.names_of_all

    async def late(self: Collection) -> list[str]:
        store.database["dcm_workspace"].insert_one({"_id": "workspace"})
        return await names_of_all(self)

    monkeypatch.setattr(Collection, "names_of_all", late)
    await workspace(store).add_peer(PEER)
    assert store.database["peers"].count_documents({}) == 1


async def test_a_workspace_is_marked_once_its_indexes_are_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies() -> list[str]:
        raise StoreUnavailableError("as if the process were killed")

    with monkeypatch.context() as patched:
        patched.setattr(workspace(store), "_ensure_indexes", dies)
        with pytest.raises(StoreUnavailableError):
            await workspace(store).add_peer(PEER)
    assert store.database["dcm_workspace"].count_documents({}) == 0
    await workspace(store).add_peer(PEER)
    assert len(store.database["jobs"].index_information()) > 1


async def test_a_job_that_is_filed_again_has_no_progress_of_the_run_before(store: Store) -> None:
    job = Job(id=str(ObjectId()), session_id=str(ObjectId()), name="segment", state=JobState.RUNNING)
    await workspace(store).add_job(job)
    await store.backend.jobs.set_progress(job.id, 40, "segmenting")
    await workspace(store).add_job(job.model_copy(update={"state": JobState.FAILED, "error_message": "no room"}))
    await workspace(store).add_job(job)
    (document,) = store.database["jobs"].find()
    assert not {"progressMessage", "lastProgressAt", "result"} & set(document)
    assert document["progress"] == 0
    again = job.model_copy(update={"progress_message": "measuring"})
    await workspace(store).add_job(again)
    (document,) = store.database["jobs"].find()
    assert document["progressMessage"] == "measuring"

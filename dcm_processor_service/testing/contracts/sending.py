"""Contract tests: with every store, a session sends to a peer by name, and after a failure sends only the rest."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.errors import PeerNotFoundError, SendRejectedError
from dcm_processor_service.models import Instance, Job, Outcome, SendOptions, SeriesRecord
from dcm_processor_service.testing import FakePacs, Faults, synthetic_series
from dcm_processor_service.testing.contracts.store import SESSION_ID, Contract

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.session.session import AsyncSession
    from dcm_processor_service.testing.contracts.store import StoreUnderTest

__all__ = ["SendingContract"]


def seeded(store: StoreUnderTest, count: int) -> tuple[AsyncSession, list[Dataset]]:
    """Stores a job about a synthetic series, and returns its session and the datasets."""
    datasets = synthetic_series(slices=count)
    instances = [Instance(id=f"{n:024x}", sop_instance_uid=ds.SOPInstanceUID) for n, ds in enumerate(datasets, 1)]
    series = SeriesRecord(
        id="51" * 12,
        series_instance_uid=datasets[0].SeriesInstanceUID,
        instance_ids=tuple(instance.id for instance in instances),
    )
    store.seed.subject(series)
    for instance, dataset in zip(instances, datasets, strict=True):
        content = io.BytesIO()
        dataset.save_as(content, enforce_file_format=True)
        store.seed.instance(series.id, instance, content.getvalue())
    job = Job(id="10" * 12, session_id=SESSION_ID, name="j", subject=series)
    store.seed.job(job)
    return store.session(job.id), datasets


class SendingContract(Contract):
    """The session's data records acknowledged instances, so that a second sending sends only the rest."""

    async def test_a_later_job_of_the_session_settles_what_an_earlier_one_asked_for(
        self, store: StoreUnderTest
    ) -> None:
        session, datasets = seeded(store, 2)
        later = Job(id="20" * 12, session_id=SESSION_ID, name="after")
        store.seed.job(later)
        options = SendOptions(commit=True, wait_for_commitment=False)
        with FakePacs(Faults(commitment="silent")) as pacs:
            await session.dicom.send(datasets, to=pacs.peer, options=options)
            assert await session.data.keys() == []
            dicom = store.session(later.id).dicom
            (asked,) = await dicom.commitments.list()
            assert (asked.is_open, asked.job_id) == (True, "10" * 12)
            await dicom.send(datasets, to=pacs.peer, options=options)  # another job starts another transaction
            pacs.faults = Faults()
            settled = await dicom.commitments.wait(ask_again=True)
        assert {record.outcome for one in settled for record in one.records} == {Outcome.COMMITTED}
        assert [one.job_id for one in settled] == ["10" * 12, "20" * 12]
        assert await session.dicom.commitments.list() == settled

    async def test_a_series_a_dataset_and_a_folder_go_in_one_sending(
        self, store: StoreUnderTest, tmp_path: Path
    ) -> None:
        session, datasets = seeded(store, 3)
        extra, lone = synthetic_series(slices=5)[3:]
        (tmp_path / "more").mkdir()
        extra.save_as(tmp_path / "more" / "extra.dcm", enforce_file_format=True)
        with FakePacs() as pacs:
            store.seed.peer(pacs.peer.model_copy(update={"name": "PACS", "id": "b" * 24}))
            series = await session.dicom.get_series()
            report = await session.dicom.send([series, tmp_path / "more", lone], to="PACS")
            assert report.ok
            assert report.stored == 5
            sent = {dataset.SOPInstanceUID: dataset.PixelData for dataset in (*datasets, extra, lone)}
            assert {dataset.SOPInstanceUID: dataset.PixelData for dataset in pacs.datasets()} == sent
        assert await session.data.keys() == []

    async def test_an_acknowledged_instance_is_not_sent_again(self, store: StoreUnderTest) -> None:
        session, datasets = seeded(store, 5)
        with FakePacs(Faults(status=0xC000, status_after=4)) as pacs:
            series = await session.dicom.get_series()
            with pytest.raises(SendRejectedError) as caught:
                await session.dicom.send(series, to=pacs.peer)
            pacs.faults = Faults()
            assert caught.value.report is not None
            assert caught.value.report.count(Outcome.STORED) == 4
            assert await session.data.keys() == []  # the journal is not a result of the job
            again = store.session("10" * 12)
            report = await again.dicom.send(await again.dicom.get_series(), to=pacs.peer)
            assert (report.ok, report.stored) == (True, 5)
            assert sorted(pacs.arrivals) == sorted(dataset.SOPInstanceUID for dataset in datasets)
        assert await session.data.keys() == []

    async def test_a_result_that_was_made_anew_under_the_same_uids_is_sent_again(self, store: StoreUnderTest) -> None:
        session, datasets = seeded(store, 3)
        # the archive refuses until its faults are removed, since a single refusal could be followed by a second attempt
        with FakePacs(Faults(status=0xC000, status_after=2)) as pacs:
            with pytest.raises(SendRejectedError):
                await session.dicom.send(datasets, to=pacs.peer)
            pacs.faults = Faults()
            datasets[0].SeriesDescription = "another"
            assert (await store.session("10" * 12).dicom.send(datasets, to=pacs.peer)).ok
            received = {dataset.SOPInstanceUID: dataset.get("SeriesDescription") for dataset in pacs.datasets()}
        first, second, third = (dataset.SOPInstanceUID for dataset in datasets)
        assert pacs.arrivals == [first, second, first, third]
        assert received[first] == "another"
        assert await session.data.keys() == []

    async def test_an_unknown_peer_raises_with_its_name(self, store: StoreUnderTest) -> None:
        session, _datasets = seeded(store, 1)
        with pytest.raises(PeerNotFoundError, match="no DICOM peer is named 'PACS'"):
            await session.dicom.send(await session.dicom.get_series(), to="PACS")

    async def test_a_peer_answers_an_echo_and_a_probe(self, store: StoreUnderTest) -> None:
        session, _datasets = seeded(store, 1)
        with FakePacs() as pacs:
            peer = pacs.peer
            assert (await session.peers.echo(peer)).ok
            accepted = await session.peers.probe(peer)
            assert any(context.accepted for context in accepted)
        gone = await session.peers.echo(peer)
        assert not gone.ok
        assert gone.reason

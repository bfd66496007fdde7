"""``session.dicom`` passes each argument, and the patient's keys, to the parts that send and fetch."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.errors import PatientMismatchError, PeerNotFoundError, SeriesNotFoundError
from dcm_processor_service.models import (
    FetchOptions,
    InstanceRecord,
    Job,
    Outcome,
    Patient,
    Peer,
    SendCheck,
    SendOptions,
    StorageCommitment,
    Study,
)
from dcm_processor_service.session.images.dicom_async import ignore_progress, ignore_record
from dcm_processor_service.session.network.commitments import _report
from dcm_processor_service.session.network.priors import PriorsWanted
from dcm_processor_service.testing import fake_async_context, fake_context, synthetic_series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from dcm_processor_service import Container

PACS = Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242)


class Noting:
    """Records the arguments of each method."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        async def called(*args: Any) -> str:
            self.calls.append((name, *args))
            return f"of {name}"

        return called


def noted(use: Callable[[Any], Any], **keywords: str) -> list[tuple[Any, ...]]:
    """Runs calls of an asynchronous ``session.dicom``; returns the arguments that reached the parts behind it."""
    series = synthetic_series(slices=3)
    for dataset in series:
        for keyword, value in keywords.items():
            setattr(dataset, keyword, value)
    noting = Noting()

    async def run() -> None:
        dicom: Any = fake_async_context(series=series).session.dicom
        dicom._sending = dicom._fetching = noting
        await use(dicom)

    asyncio.run(run())
    return noting.calls


def test_sending_checking_and_fetching_get_every_argument() -> None:
    what, to, options, fetching = object(), object(), SendOptions(associations=2), FetchOptions()

    def told() -> None:
        """Takes reports of progress."""

    async def use(dicom: Any) -> None:
        assert await dicom.send(what, to, options=options, on_record=told) == "of send"
        assert await dicom.send(what, to) == "of send"
        assert await dicom.check(what, to, options=options) == "of check"
        assert await dicom.fetch(what, to, options=fetching, on_progress=told) == "of fetch"
        assert await dicom.fetch(what, to) == "of fetch"

    assert noted(use) == [
        ("send", what, to, options, told),
        ("send", what, to, None, ignore_record),
        ("check", what, to, options),
        ("fetch", what, to, fetching, told),
        ("fetch", what, to, None, ignore_progress),
    ]


def test_priors_are_those_of_the_jobs_patient_before_its_study() -> None:
    options, told = FetchOptions(), ignore_progress

    async def use(dicom: Any) -> None:
        await dicom.priors(
            modality="MR", before=date(2020, 2, 29), from_=PACS, most=2, limit=7, options=options, on_progress=told
        )
        await dicom.priors()

    given, plain = noted(
        use, PatientID="4711", PatientSex="F", PatientBirthDate="19790131", StudyDate="20250601", StudyTime="101500"
    )
    assert given[0] == plain[0] == "priors"
    assert (given[2:], plain[2:]) == ((options, told), (None, ignore_progress))
    wanted, own = given[1], plain[1]
    assert isinstance(wanted, PriorsWanted)
    assert (wanted.modality, wanted.most, wanted.limit, wanted.from_) == ("MR", 2, 7, PACS)
    assert wanted.before == datetime(2020, 2, 29)  # noqa: DTZ001  as headers write it
    assert (own.modality, own.most, own.limit, own.from_) == ("", None, 100, None)
    assert own.before == datetime(2025, 6, 1, 10, 15)  # noqa: DTZ001
    for one in (wanted, own):
        identity = one.identity
        assert (identity.patient_id, identity.birth_date, identity.sex) == ("4711", "19790131", "F")
        assert len(one.own_study_uids) == 1


def test_without_a_patient_id_nobodys_priors_are_asked_for() -> None:
    async def use(dicom: Any) -> None:
        with pytest.raises(PatientMismatchError, match="no PatientID"):
            await dicom.priors()

    assert noted(use, PatientID="") == []


@pytest.mark.parametrize("keyword", ["PatientID", "IssuerOfPatientID"])
def test_nobodys_priors_are_asked_for_by_an_id_that_could_not_be_decoded(keyword: str) -> None:
    async def use(dicom: Any) -> None:
        with pytest.raises(PatientMismatchError, match="correct SpecificCharacterSet"):
            await dicom.priors()

    assert noted(use, **{"SpecificCharacterSet": "ISO_IR 192", "PatientID": "4711", keyword: "M\ufffdller"}) == []


class Checking:
    """A sender that checks, and records its arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, str, SendOptions]] = []

    def check_sending(self, items: Any, peer: Peer, *, options: SendOptions) -> SendCheck:
        self.calls.append((items, peer.address, options))
        return SendCheck(peer=peer.address)

    def check(self, peer: Peer) -> None:
        """Takes any certificate."""


def test_a_check_goes_to_the_peer_of_that_name_or_to_the_one_that_is_given() -> None:
    sender = Checking()

    def customise(container: Container) -> None:
        container.sender.override(sender)

    dicom = fake_context(series=synthetic_series(slices=3), peers=[PACS], customise=customise).session.dicom
    series, options = dicom.get_series(), SendOptions(transcode=False)
    other = PACS.model_copy(update={"name": "OTHER", "port": 105})
    assert dicom.check(series, to="PACS").peer == PACS.address
    assert dicom.check(["folder", series], to=other, options=options).peer == other.address
    assert sender.calls == [
        (series.paths(), PACS.address, SendOptions()),
        (["folder", *series.paths()], other.address, options),
    ]
    with pytest.raises(PeerNotFoundError, match="'CT'"):
        dicom.check(series, to="CT")


def test_a_patient_whose_document_is_gone_has_the_studies_that_the_job_knows() -> None:
    known = Patient(id="4" * 24, study_ids=("7" * 24, "8" * 24))
    study = Study(id="7" * 24, study_instance_uid="1.2.3")
    store = MemoryStore(subjects={study.id: study})

    def customise(container: Container) -> None:
        container.backend.override(store.backend())

    ctx = fake_context(customise=customise)
    ctx.job.preset(Job(id=ctx.job.id, session_id=ctx.job.session_id, subject=known))
    dicom = ctx.session.dicom
    assert dicom.studies() == [study]
    with pytest.raises(SeriesNotFoundError, match="the patient of this job is no longer stored"):
        dicom.patient()
    store.subjects[known.id] = known.model_copy(update={"study_ids": ()})
    assert dicom.studies() == []


def commitment(uid: str, *outcomes: Outcome, port: int = 4242) -> StorageCommitment:
    return StorageCommitment(
        transaction_uid=uid,
        peer=PACS.model_copy(update={"port": port}),
        asked_at=datetime(2025, 1, 2, tzinfo=timezone.utc),
        records=tuple(
            InstanceRecord(sop_instance_uid=f"{uid}.{number}", outcome=one) for number, one in enumerate(outcomes)
        ),
        answered_at=datetime(2025, 1, 3, tzinfo=timezone.utc),
    )


def test_a_report_of_commitments_names_the_transaction_only_where_there_is_one() -> None:
    kept, lost = commitment("1.1", Outcome.COMMITTED, Outcome.COMMITTED), commitment("1.2", Outcome.FAILED, port=105)
    one, both = _report([kept]), _report([kept, lost])
    assert (one.transaction_uid, one.unmet, one.peer) == ("1.1", (), PACS.address)
    assert (both.transaction_uid, both.unmet) == ("", ("storage commitment",))
    assert both.peer == f"{PACS.address}, {lost.peer.address}"
    assert both.records == (*kept.records, *lost.records)
    assert _report([kept, kept]).peer == PACS.address


def test_a_volume_is_verified_from_its_own_files_before_it_is_read() -> None:
    verified: list[tuple[Any, str, bool]] = []

    def customise(container: Container) -> None:
        def note(paths: Sequence[Path], policy: str, folder: Path) -> None:
            verified.append((list(paths), policy, folder.is_dir()))

        container.imaging.override(replace(container.imaging(), verify=note))

    series = fake_context(series=synthetic_series(slices=3), customise=customise).session.dicom.get_series()
    series.volume()
    assert verified == []
    series.volume("largest", verify=True)
    assert verified == [(series.paths(), "largest", True)]


def test_a_picture_of_a_scan_is_drawn_from_a_few_slices_spread_over_it() -> None:
    drawn: list[tuple[list[str], int]] = []

    def customise(container: Container) -> None:
        imaging = container.imaging()

        def note(paths: Sequence[Path], count: int) -> Any:
            drawn.append(([str(imaging.dataset(path).InstanceNumber) for path in paths], count))

        container.imaging.override(replace(imaging, picture_of_scan=note))

    fake_context(series=synthetic_series(slices=23), customise=customise).session.report()
    assert drawn == [([str(number) for number in range(2, 17, 2)], 23)]

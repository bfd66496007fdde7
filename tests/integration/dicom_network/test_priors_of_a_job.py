"""``peers.find``, ``dicom.fetch`` and ``dicom.priors`` of a job, in both modes."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import FetchOptions, FetchReport, FoundStudy
from dcm_processor_service.errors import FetchIncompleteError, FindError, PatientMismatchError, PeerNotFoundError
from dcm_processor_service.models import FetchOutcome, FetchRecord
from dcm_processor_service.testing import FakePacs, Faults, fake_async_context, fake_context, synthetic_series

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service import AsyncRuntimeContext, Container, FindQuery, Peer, RuntimeContext

PATIENT = {"PatientID": "SYNTHETIC", "PatientBirthDate": "19790131", "PatientSex": "F"}


def study(uid: str, day: str, **values: str) -> list[Dataset]:
    made = synthetic_series(slices=3)
    for number, dataset in enumerate(made):
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = (
            uid,
            f"{uid}.1",
            f"{uid}.1.{number}",
        )
        dataset.StudyDate, dataset.StudyTime = day, "101500"
        for keyword, value in {**PATIENT, **values}.items():
            setattr(dataset, keyword, value)
    return made


NOW = study("1.1", "20250601")
EARLIER = [*study("1.2", "20240101"), *study("1.3", "20230101"), *study("1.4", "20230101", Modality="MR")]


def context(series: list[Dataset] | None = None, **more: Any) -> RuntimeContext:
    return fake_context(series=NOW if series is None else series, **more)


def uids(studies: Iterable[Any]) -> list[str]:
    return [one.study_instance_uid for one in studies]


def test_priors_are_series_like_the_jobs_own_newest_first(caplog: pytest.LogCaptureFixture) -> None:
    with FakePacs(holds=[*NOW, *EARLIER]) as pacs:
        ctx = context(peers=[pacs.peer])
        priors = ctx.session.dicom.priors(modality="CT")
        assert uids(priors.studies) == ["1.2", "1.3"]
        assert [series.info.study_instance_uid for series in priors.series] == ["1.2", "1.3"]
        assert priors.passed_over == {"1.1": "it is of this job"}
        volume = priors.series[0].volume()
    assert volume.shape == (16, 16, 3)
    assert (volume.array == ctx.session.dicom.get_series().volume().array).all()
    assert [series.instance_count() for series in priors.series] == [3, 3]
    assert len(priors.series[0].headers()) == 3
    assert priors.series[0].inspect().modality == "CT"
    assert "SYNTHETIC" not in caplog.text


def test_the_last_one_of_any_modality_before_a_day(tmp_path: Path) -> None:
    with FakePacs(holds=EARLIER) as pacs:
        dicom = context(scratch=tmp_path).session.dicom
        priors = dicom.priors(before=date(2023, 12, 31), most=1, from_=pacs.peer)
        assert len(priors.studies) == 1
        assert priors.studies[0].metadata["StudyDate"] == "20230101"
        (path, *_rest) = priors.series[0].paths()
    assert path.is_relative_to(tmp_path)


def test_the_last_one_of_a_modality_from_a_peer_that_does_not_tell_modalities() -> None:
    held = [*EARLIER, *study("1.5", "20250101", Modality="MR")]
    with FakePacs(Faults(untold_keys=["ModalitiesInStudy"]), holds=held) as pacs:
        priors = context().session.dicom.priors(modality="CT", most=1, from_=pacs.peer)
    assert uids(priors.studies) == ["1.2"]
    assert priors.passed_over == {
        "1.5": "it has no series of the modality",
        "1.3": "it is not among the 1 newest",
        "1.4": "it is not among the 1 newest",
    }


def test_no_prior_is_an_empty_answer() -> None:
    with FakePacs(holds=NOW) as pacs:
        priors = context().session.dicom.priors(from_=pacs.peer)
    assert (priors.series, priors.studies, priors.report.records) == ((), (), ())


@pytest.mark.parametrize("values", [{"PatientBirthDate": "19800131"}, {"PatientSex": "M"}])
def test_a_prior_that_contradicts_the_patient_is_refused(values: dict[str, str]) -> None:
    with FakePacs(holds=[*EARLIER, *study("1.9", "20220101", **values)]) as pacs:
        dicom = context().session.dicom
        with pytest.raises(PatientMismatchError, match=r"1\.9 \(Patient(BirthDate|Sex)\)"):
            dicom.priors(from_=pacs.peer)
    assert not pacs.retrievals


@pytest.mark.parametrize("values", [{"PatientBirthDate": "19800131"}, {"IssuerOfPatientID": "ELSEWHERE"}])
def test_a_header_that_contradicts_what_was_told_is_refused_and_removed(values: dict[str, str], tmp_path: Path) -> None:
    alters = {f"1.2.1.{number}": values for number in range(3)}
    with FakePacs(Faults(alters=alters), holds=study("1.2", "20240101")) as pacs:
        dicom = context([*study("1.1", "20250601", IssuerOfPatientID="HERE")], scratch=tmp_path).session.dicom
        with pytest.raises(PatientMismatchError, match="nothing of it was kept"):
            dicom.priors(from_=pacs.peer)
    assert not list(tmp_path.rglob("1.2.1.*"))


def test_a_job_without_a_patient_id_has_no_priors() -> None:
    dicom = context(study("1.1", "20250601", PatientID="")).session.dicom
    with pytest.raises(PatientMismatchError, match="no PatientID"):
        dicom.priors(from_="NOBODY")


def test_more_priors_than_allowed_are_refused() -> None:
    with FakePacs(holds=EARLIER) as pacs, pytest.raises(FindError, match="more than 2"):
        context().session.dicom.priors(from_=pacs.peer, limit=2)


def test_a_part_is_reported_and_can_be_used(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with FakePacs(Faults(withholds=["1.2.1.1"]), holds=EARLIER) as pacs:
        session = context(peers=[pacs.peer], scratch=tmp_path).session
        found = session.peers.find("FAKEPACS", study_instance_uid="1.2")
        options = FetchOptions(attempts=1)
        with pytest.raises(FetchIncompleteError, match="1 missing: the peer listed it") as caught:
            session.dicom.fetch(found, from_="FAKEPACS", options=options)
        assert caught.value.report is not None
        assert caught.value.report.fetched == 2
        fetched = session.dicom.fetch(
            found[0],
            from_="FAKEPACS",
            options=options.model_copy(update={"check": False}),
            on_progress=lambda *progress: seen.append(progress),
        )
    assert fetched.series[0].instance_count() == 2
    assert fetched.report.count(FetchOutcome.MISSING) == 1
    assert seen == [(1, 3), (2, 3)]


def test_nothing_found_fetches_nothing() -> None:
    fetched = context().session.dicom.fetch([], from_=_nobody())
    assert fetched.series == ()


def _nobody() -> Peer:
    with FakePacs() as pacs:
        return pacs.peer


def test_a_name_that_no_peer_has_is_reported() -> None:
    with pytest.raises(PeerNotFoundError):
        context().session.peers.find("NOBODY", patient_id="SYNTHETIC")


def test_both_modes_do_the_same() -> None:
    async def run(ctx: AsyncRuntimeContext, peer: Peer) -> tuple[int, list[str], tuple[int, ...]]:
        found = await ctx.session.peers.find(peer, level="instance", patient_id="SYNTHETIC")
        fetched = await ctx.session.dicom.fetch(found[:2], from_=peer)
        priors = await ctx.session.dicom.priors(modality="CT", from_=peer)
        volume = await priors.series[0].volume()
        return fetched.report.fetched, uids(priors.studies), volume.shape

    with FakePacs(holds=EARLIER) as pacs:
        ran = asyncio.run(run(fake_async_context(series=NOW), pacs.peer))
    assert ran == (2, ["1.2", "1.3"], (16, 16, 3))


class OneStudy:
    """A retriever for a test: it finds one study, and fetches a file that exists already."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "one.dcm"
        EARLIER[0].save_as(self._file, enforce_file_format=True)

    def find(self, peer: Peer, query: FindQuery, *, options: FetchOptions | None = None) -> list[Any]:
        return [FoundStudy(study_instance_uid="1.2", patient_id=query.patient_id)]

    def fetch(self, found: Iterable[Any], peer: Peer, folder: Path, **options: Any) -> FetchReport:
        record = FetchRecord(outcome=FetchOutcome.FETCHED, path=str(self._file))
        return FetchReport(records=(record,))


def test_a_fake_takes_the_place_of_the_retriever_in_one_line(tmp_path: Path) -> None:
    def customise(container: Container) -> None:
        container.retriever.override(OneStudy(tmp_path))

    ctx = context(customise=customise)
    fetched = ctx.session.dicom.fetch(ctx.session.peers.find(_nobody(), patient_id="x"), from_=_nobody())
    assert fetched.series[0].instance_count() == 1


def test_what_is_found_is_taken_out_of_the_jobs_log() -> None:
    held = study("1.2", "20240101", PatientName="Geheim^Gesa")
    containers: list[Container] = []
    with FakePacs(holds=held) as pacs:
        ctx = context(customise=containers.append)
        (found,) = ctx.session.peers.find(pacs.peer, patient_id="SYNTHETIC")
    clean = containers[0].scrubber().text(f"{found.patient_name}, born {found.patient_birth_date}")
    assert clean == "[removed], born [removed]"

"""Contract tests: how every store lists and finds patients, studies and series."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest

from dcm_processor_service.errors import AmbiguousSeriesError, JobNotFoundError, SeriesNotFoundError
from dcm_processor_service.models import Instance, Job, Patient, SeriesRecord, Study
from dcm_processor_service.testing import synthetic_series
from dcm_processor_service.testing.contracts.store import SESSION_ID, Contract

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.models import Subject
    from dcm_processor_service.testing.contracts.store import StoreUnderTest

__all__ = ["DicomContract"]

STUDY_UID, SERIES_UID = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.1.1"
INSTANCES = tuple(Instance(id=f"{number:024x}", sop_instance_uid=f"{SERIES_UID}.{number}") for number in (3, 1, 2))
SERIES = SeriesRecord(
    id="51" * 12,
    patient_uid="hash",
    study_instance_uid=STUDY_UID,
    series_instance_uid=SERIES_UID,
    instance_ids=tuple(instance.id for instance in INSTANCES),
    metadata={"Modality": "CT"},
)
EMPTY = SeriesRecord(id="52" * 12, patient_uid="hash", study_instance_uid=STUDY_UID, series_instance_uid="1.9")
STUDY = Study(id="57" * 12, patient_uid="hash", study_instance_uid=STUDY_UID, series_ids=(SERIES.id, EMPTY.id))
PATIENT = Patient(id="9a" * 12, patient_uid="hash", study_ids=(STUDY.id,))


def seed(store: StoreUnderTest) -> None:
    for subject in (PATIENT, STUDY, SERIES, EMPTY):
        store.seed.subject(subject)
    datasets = {dataset.SOPInstanceUID: dataset for dataset in synthetic_series(slices=3)}
    for instance in INSTANCES:
        content = io.BytesIO()
        datasets[instance.sop_instance_uid].save_as(content, enforce_file_format=True)
        store.seed.instance(SERIES.id, instance, content.getvalue())


def job_about(store: StoreUnderTest, subject: Subject | None) -> str:
    job = Job(id="10" * 12, session_id=SESSION_ID, name="j", subject=subject)
    store.seed.job(job)
    return job.id


OTHER_SERIES = tuple(
    SeriesRecord(
        id=f"{number}" * 24, patient_uid="other", study_instance_uid="2.1", series_instance_uid=f"2.1.{number}"
    )
    for number in (1, 2)
)


OTHER_STUDY = Study(id="3" * 24, patient_uid="other", study_instance_uid="2.1", series_ids=("1" * 24, "2" * 24))


OTHER_PATIENT = Patient(id="4" * 24, patient_uid="other", study_ids=(OTHER_STUDY.id,))


SECOND_STUDY = Study(id="58" * 12, patient_uid="hash", study_instance_uid="1.8", series_ids=("59" * 12,))


SECOND_STUDY_SERIES = SeriesRecord(
    id="59" * 12, patient_uid="hash", study_instance_uid="1.8", series_instance_uid="1.8.1", metadata={"Modality": "MR"}
)


TWO_STUDIES = PATIENT.model_copy(update={"study_ids": (SECOND_STUDY.id, STUDY.id)})


class DicomContract(Contract):
    """Patients, studies and series are found, and their instances read in slice order."""

    async def test_a_series_job_sees_its_series_in_slice_order(self, store: StoreUnderTest, tmp_path: Path) -> None:
        seed(store)
        dicom = store.session(job_about(store, SERIES)).dicom
        series = await dicom.get_series()
        assert series.series_instance_uid == SERIES_UID
        assert series.info.modality == "CT"
        assert await series.instance_count() == 3
        assert [instance.id for instance in await series.instances()] == [instance.id for instance in INSTANCES]
        assert [int(header.InstanceNumber) for header in await series.headers()] == [1, 2, 3]
        assert all("PixelData" not in header for header in await series.headers())
        assert [int(dataset.pixel_array[0, 0]) async for dataset in series.datasets()] == [1000, 2000, 3000]
        paths = await series.export(tmp_path / "out")
        assert [path.name for path in paths] == ["0001.dcm", "0002.dcm", "0003.dcm"]
        assert await series.export(tmp_path / "out") == paths
        assert sorted(tmp_path.glob("out/*")) == paths

    async def test_the_hierarchy_is_seen_from_every_level(self, store: StoreUnderTest) -> None:
        seed(store)
        job_id = job_about(store, SERIES)
        dicom = store.session(job_id).dicom
        assert (await dicom.subject()).id == SERIES.id
        assert [study.id for study in await dicom.studies()] == [STUDY.id]
        assert [series.id for series in await dicom.series()] == [SERIES.id]

    @pytest.mark.parametrize("subject", [STUDY, PATIENT], ids=["study", "patient"])
    async def test_a_wider_job_sees_all_series_below(self, store: StoreUnderTest, subject: Study | Patient) -> None:
        seed(store)
        dicom = store.session(job_about(store, subject)).dicom
        assert [series.id for series in await dicom.series()] == [SERIES.id, EMPTY.id]
        assert [study.id for study in await dicom.studies()] == [STUDY.id]
        with pytest.raises(AmbiguousSeriesError, match="2 series"):
            await dicom.get_series()
        for which in (SERIES.id, SERIES_UID):
            assert (await dicom.get_series(which)).id == SERIES.id

    async def test_the_patient_is_found_from_every_level(self, store: StoreUnderTest) -> None:
        seed(store)
        for number, subject in enumerate((PATIENT, STUDY, SERIES)):
            job = Job(id=f"{number + 16:024x}", session_id=SESSION_ID, name="j", subject=subject)
            store.seed.job(job)
            assert (await store.session(job.id).dicom.patient()).study_ids == (STUDY.id,)

    async def test_with_two_studies_of_one_uid_the_one_that_lists_the_series_is_found(
        self, store: StoreUnderTest
    ) -> None:
        """Two peers may have sent the same study; the platform stores it once for each."""
        seed(store)
        twin = SeriesRecord(
            id="61" * 12, patient_uid="hash", study_instance_uid=STUDY_UID, series_instance_uid=SERIES_UID
        )
        store.seed.subject(twin)
        store.seed.subject(Study(id="67" * 12, patient_uid="hash", study_instance_uid=STUDY_UID, series_ids=(twin.id,)))
        store.seed.subject(Patient(id="6a" * 12, patient_uid="hash", study_ids=("67" * 12,)))
        for number, (subject, study, patient) in enumerate(
            ((SERIES, STUDY.id, PATIENT.id), (twin, "67" * 12, "6a" * 12))
        ):
            job = Job(id=f"{number + 16:024x}", session_id=SESSION_ID, name="j", subject=subject)
            store.seed.job(job)
            dicom = store.session(job.id).dicom
            assert [found.id for found in await dicom.studies()] == [study]
            assert (await dicom.patient()).id == patient

    async def test_an_absent_series_raises_series_not_found(self, store: StoreUnderTest) -> None:
        seed(store)
        session = store.session(job_about(store, STUDY))
        with pytest.raises(SeriesNotFoundError, match=r"no series 1\.2\.3"):
            await session.dicom.get_series("1.2.3")
        with pytest.raises(SeriesNotFoundError, match=f"no series {STUDY.id}"):
            await session.dicom.get_series(STUDY.id)
        empty = await session.dicom.get_series(EMPTY.id)
        assert await empty.instance_count() == 0
        with pytest.raises(SeriesNotFoundError, match="no stored instances"):
            await empty.headers()
        with pytest.raises(JobNotFoundError):
            await store.session("e" * 24).dicom.subject()

    async def test_a_job_without_a_subject_raises_series_not_found(self, store: StoreUnderTest) -> None:
        with pytest.raises(SeriesNotFoundError, match="about no patient"):
            await store.session(job_about(store, None)).dicom.subject()

    async def test_a_series_becomes_nifti(self, store: StoreUnderTest, tmp_path: Path) -> None:
        datasets = synthetic_series(slices=6, rows=8, columns=10)
        instances = [
            Instance(id=f"{number:024x}", sop_instance_uid=ds.SOPInstanceUID) for number, ds in enumerate(datasets)
        ]
        series = SERIES.model_copy(update={"instance_ids": tuple(instance.id for instance in instances)})
        store.seed.subject(series)
        for instance, dataset in zip(instances, datasets, strict=True):
            content = io.BytesIO()
            dataset.save_as(content, enforce_file_format=True)
            store.seed.instance(series.id, instance, content.getvalue())
        handle = await store.session(job_about(store, series)).dicom.get_series()
        target = tmp_path / "volume.nii"
        assert (await handle.to_nifti(target)).paths == (target,)
        image = nibabel.Nifti1Image.from_bytes(target.read_bytes())
        assert sorted(image.shape) == [6, 8, 10]
        assert sorted(image.header.get_zooms()) == [1, 1, 2]
        values = np.asarray(image.dataobj)
        assert (values.min(), values.max()) == (1000 - 1024, 6079 - 1024)

    @pytest.mark.parametrize("others_first", [True, False])
    async def test_beside_a_second_patient_each_patient_job_sees_its_own_alone(
        self, store: StoreUnderTest, *, others_first: bool
    ) -> None:
        others: list[Subject] = [OTHER_PATIENT, OTHER_STUDY, *OTHER_SERIES]
        own: list[Subject] = [TWO_STUDIES, STUDY, SERIES, EMPTY, SECOND_STUDY, SECOND_STUDY_SERIES]
        for subject in (*others, *own) if others_first else (*own, *others):
            store.seed.subject(subject)
        seen = {}
        for number, about in enumerate((TWO_STUDIES, OTHER_PATIENT, STUDY, SECOND_STUDY, OTHER_STUDY, OTHER_SERIES[1])):
            job = Job(id=f"{number + 16:024x}", session_id=SESSION_ID, name="j", subject=about)
            store.seed.job(job)
            dicom = store.session(job.id).dicom
            series = [one.id for one in await dicom.series()]
            seen[about.id] = ((await dicom.patient()).id, [study.id for study in await dicom.studies()], series)
        theirs = [one.id for one in OTHER_SERIES]
        assert seen == {
            PATIENT.id: (PATIENT.id, [SECOND_STUDY.id, STUDY.id], [SECOND_STUDY_SERIES.id, SERIES.id, EMPTY.id]),
            OTHER_PATIENT.id: (OTHER_PATIENT.id, [OTHER_STUDY.id], theirs),
            STUDY.id: (PATIENT.id, [STUDY.id], [SERIES.id, EMPTY.id]),
            SECOND_STUDY.id: (PATIENT.id, [SECOND_STUDY.id], [SECOND_STUDY_SERIES.id]),
            OTHER_STUDY.id: (OTHER_PATIENT.id, [OTHER_STUDY.id], theirs),
            theirs[1]: (OTHER_PATIENT.id, [OTHER_STUDY.id], theirs[1:]),
        }

    async def test_a_wider_job_sees_what_arrived_since_it_was_scheduled(self, store: StoreUnderTest) -> None:
        now: list[Subject] = [TWO_STUDIES, STUDY, SERIES, EMPTY, SECOND_STUDY, SECOND_STUDY_SERIES]
        for subject in now:
            store.seed.subject(subject)
        patient_then = TWO_STUDIES.model_copy(update={"study_ids": (STUDY.id,)})
        study_then = STUDY.model_copy(update={"series_ids": ()})
        for number, about in enumerate((patient_then, study_then)):
            store.seed.job(Job(id=f"{number + 16:024x}", session_id=SESSION_ID, name="j", subject=about))
        of_patient, of_study = (store.session(f"{number + 16:024x}").dicom for number in range(2))
        assert [study.id for study in await of_patient.studies()] == [SECOND_STUDY.id, STUDY.id]
        assert [series.id for series in await of_study.series()] == [SERIES.id, EMPTY.id]

    async def test_a_uid_that_two_peers_sent_means_the_jobs_own_series_or_raises(self, store: StoreUnderTest) -> None:
        seed(store)
        twin = SERIES.model_copy(update={"id": "61" * 12, "instance_ids": ()})
        store.seed.subject(twin)
        store.seed.subject(STUDY.model_copy(update={"id": "67" * 12, "series_ids": (twin.id,)}))
        store.seed.subject(PATIENT.model_copy(update={"id": "6a" * 12, "study_ids": ("67" * 12,)}))
        both = PATIENT.model_copy(update={"id": "6b" * 12, "study_ids": (STUDY.id, "67" * 12)})
        others: tuple[Subject, ...] = (OTHER_PATIENT, OTHER_STUDY, *OTHER_SERIES, both)
        for other in others:
            store.seed.subject(other)
        jobs = {}
        subjects: tuple[Subject, ...] = (SERIES, PATIENT, twin, OTHER_PATIENT, both)
        for number, about in enumerate(subjects):
            jobs[about.id] = Job(id=f"{number + 16:024x}", session_id=SESSION_ID, name="j", subject=about)
            store.seed.job(jobs[about.id])
        for job_of, own in ((SERIES.id, SERIES.id), (PATIENT.id, SERIES.id), (twin.id, twin.id)):
            assert (await store.session(jobs[job_of].id).dicom.get_series(SERIES_UID)).id == own
        for about in (OTHER_PATIENT, both):
            dicom = store.session(jobs[about.id].id).dicom
            with pytest.raises(
                AmbiguousSeriesError, match=f"2 documents of a series have the UID {SERIES_UID}"
            ) as caught:
                await dicom.get_series(SERIES_UID)
            assert SERIES.id in str(caught.value)
            assert twin.id in str(caught.value)
            assert (await dicom.get_series(twin.id)).id == twin.id

    async def test_an_empty_uid_finds_nothing(self, store: StoreUnderTest) -> None:
        store.seed.subject(SeriesRecord(id="62" * 12, patient_uid="hash", study_instance_uid=STUDY_UID))
        with pytest.raises(SeriesNotFoundError, match="no series"):
            await store.session(job_about(store, PATIENT)).dicom.get_series("")

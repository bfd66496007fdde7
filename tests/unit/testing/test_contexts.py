"""The fakes that authors of callbacks test with."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dcm_processor_service import AsyncRuntimeContext, Job, JobEvent, Patient, Peer, RuntimeContext, Study
from dcm_processor_service.errors import ConfigurationError, PeerNotFoundError, SeriesNotFoundError
from dcm_processor_service.testing import fake_async_context, synthetic_series
from dcm_processor_service.testing import fake_context as make_context
from tests.unit.local.test_ingest import make_series

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACS = Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242)


def test_the_fixture_makes_contexts_over_memory(fake_context: Callable[..., RuntimeContext]) -> None:
    context = fake_context(params={"t": 1}, added_params={"other": [2]}, job_name="segment", ae_title="OWN")
    assert isinstance(context, RuntimeContext)
    assert (context.job.params, context.job.added_params) == ({"t": 1}, {"other": [2]})
    assert (context.job_name, context.job.name, context.ae_title) == ("segment", "segment", "OWN")
    assert context.job.headers is None
    context.session.data["x"] = 1
    assert "x" not in fake_context().session.data


def test_the_fixture_is_there_without_an_import_and_loads_nothing_until_used(tmp_path: Path) -> None:
    test = tmp_path / "test_callback.py"
    test.write_text(
        "import sys\n"
        "def test_first():\n"
        "    assert not {'pydicom', 'numpy', 'dcm_processor_service.testing.contexts'} & sys.modules.keys()\n"
        "def test_second(fake_context):\n"
        "    fake_context().session.data['x'] = 1\n",
        encoding="utf-8",
    )
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-c", "/dev/null"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(test)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout


def test_no_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"\xff")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_JOB_NAME", "from outside")
    assert make_context().job_name == "job"
    with pytest.raises(ConfigurationError, match="AE-TITLE is malformed"):
        make_context(ae_title="x" * 17)


@pytest.mark.parametrize("make", [make_context, fake_async_context])
@pytest.mark.parametrize(
    ("misspelt", "meant"), [("jobname", "job_name"), ("parmas", "params"), ("aetitle", "ae_title"), ("peer", "peers")]
)
def test_a_keyword_that_is_not_known_is_refused_with_what_was_meant(
    make: Callable[..., Any], misspelt: str, meant: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"has no keyword '{misspelt}'; did you mean '{meant}'\?"):
        make(**{misspelt: "x"})


def test_a_series_makes_the_subject_and_the_event() -> None:
    context = make_context(series=synthetic_series(slices=3))
    series = context.session.dicom.get_series()
    assert context.job.headers == series.info
    assert context.job_event is JobEvent.STABLE_SERIES
    assert context.session.dicom.subject() == series.info
    assert [int(dataset.InstanceNumber) for dataset in series.datasets()] == [1, 2, 3]
    assert context.session.dicom.patient().study_ids == (context.session.dicom.studies()[0].id,)


def test_several_series_make_the_study_the_subject_unless_another_is_given() -> None:
    datasets = [*make_series(1), *make_series(2)]
    context = make_context(series=datasets)
    assert isinstance(context.job.headers, Study)
    assert context.job_event is JobEvent.STABLE_STUDY
    assert len(context.session.dicom.series()) == 2
    patient = make_context(series=datasets, subject=context.session.dicom.patient())
    assert isinstance(patient.job.headers, Patient)
    assert patient.job_event is JobEvent.STABLE_PATIENT
    assert len(patient.session.dicom.series()) == 2


def test_no_series_is_no_subject() -> None:
    for context in (make_context(), make_context(series=[])):
        with pytest.raises(SeriesNotFoundError, match="about no patient, study or series"):
            context.session.dicom.subject()


def test_datasets_that_cannot_be_filed_are_reported() -> None:
    twice = synthetic_series(slices=1) * 2
    with pytest.raises(ValueError, match="cannot be filed: the same instance"):
        make_context(series=twice)


def test_the_first_peer_sent_the_images() -> None:
    other = Peer(name="ARCHIVE", ae_title="ARC", host="h", port=1, id="e" * 24)
    peers = make_context(peers=iter([PACS, other])).session.peers
    assert peers.current().address == PACS.address
    assert peers.get("ARCHIVE") == other
    assert [peer.name for peer in peers.list()] == ["ARCHIVE", "PACS"]
    with pytest.raises(PeerNotFoundError, match="known peers: ARCHIVE, PACS"):
        peers.get("NOWHERE")
    with pytest.raises(PeerNotFoundError, match="PEER-ID is not set"):
        make_context().session.peers.current()
    with pytest.raises(PeerNotFoundError, match="known peers: none"):
        make_context().session.peers.get("PACS")
    with pytest.raises(PeerNotFoundError, match="no longer known"):
        make_context(peers=[PACS], peer_id="f" * 24).session.peers.current()


def test_other_jobs_are_what_this_one_depends_on() -> None:
    others = (Job(id=str(number) * 24, session_id="5" * 24, name="segment") for number in (2, 3))
    context = make_context(jobs=others)
    assert len(context.session.jobs("segment")) == 2
    assert context.job.read().depends_on == ("2" * 24, "3" * 24)


def test_the_async_context_is_the_same_in_the_other_colour() -> None:
    async def use(context: AsyncRuntimeContext) -> tuple[Any, ...]:
        await context.session.data.set("x", (1, 2))
        series = await context.session.dicom.get_series()
        numbers = [int(dataset.InstanceNumber) async for dataset in series.datasets()]
        async with context.session.files.open((await context.session.files.put("a", b"1")).name) as stream:
            content = stream.read()
        current = (await context.session.peers.current()).name
        return await context.session.data.get("x", tuple[int, int]), numbers, content, current, context.job.name

    context = fake_async_context(series=synthetic_series(slices=3), peers=[PACS], job_name="segment")
    assert asyncio.run(use(context)) == ((1, 2), [1, 2, 3], b"1", "PACS", "segment")


def test_a_synthetic_series_is_what_it_says() -> None:
    made = synthetic_series(slices=31, rows=4, columns=6)
    for number, dataset in enumerate(made, 1):
        expected = (np.arange(24) + 1000 * number).reshape(4, 6)
        assert np.array_equal(dataset.pixel_array, expected)
        assert dataset.ImagePositionPatient[2] == 2 * (number - 1)
    assert len({dataset.SOPInstanceUID for dataset in made}) == 31
    assert made[0].RescaleIntercept == -1024
    assert "RescaleSlope" not in synthetic_series(slices=1, modality="MR")[0]
    with pytest.raises(ValueError, match="at most 31 slices"):
        synthetic_series(slices=32)


def test_data_acts_like_a_mapping() -> None:
    data = make_context().session.data
    data["b"], data["a"] = 1, 2
    assert list(data) == ["a", "b"]
    assert ("a" in data, "c" in data, 3 in data) == (True, False, False)
    del data["a"]
    with pytest.raises(KeyError, match="cannot be deleted"):
        del data["a"]
    with pytest.raises(KeyError, match="no data named 'a'"):
        _ = data["a"]
    assert data.items() == [("b", 1)]


def test_an_increment_takes_numbers_and_stays_within_64_bits() -> None:
    data = make_context().session.data
    steps: list[Any] = ["1", True, None]
    for step in steps:
        with pytest.raises(TypeError, match="must be a number"):
            data.increment("n", step)
    data["n"] = 2**63 - 1
    with pytest.raises(TypeError, match="beyond 64 bits"):
        data.increment("n")
    assert data["n"] == 2**63 - 1

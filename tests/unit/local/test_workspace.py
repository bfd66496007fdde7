"""A laptop's workspace: the same ids each time, each run's own output, later events read earlier ones."""

from __future__ import annotations

import errno
import io
import re
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from dcm_processor_service import Container, Job, JobState, Peer, RuntimeContext, SeriesRecord, opened
from dcm_processor_service.cli.network.peer_options import parse_peer
from dcm_processor_service.errors import ConfigurationError, LocalFileError, UpstreamFailedError
from dcm_processor_service.local.workspace import Workspace, counted, describe, sample_folder
from dcm_processor_service.models import RemovedImages
from dcm_processor_service.ports import JobKey, NewFile, is_lost
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.session_lifecycle import clean_up_session
from tests.unit.local.test_ingest import make_series, save

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.local.workspace import LocalRun
    from dcm_processor_service.session.images.catalogue import Filed


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    save(make_series(1), folder)
    save(make_series(2, slices=3), folder)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work")


def run(place: Workspace, function: Callable[..., Any], subject: Any, filed: Filed, name: str, **more: Any) -> LocalRun:
    return place.run(function, subject, filed=filed, job_name=name, **({"params": {}} | more))


def segment(ctx: RuntimeContext) -> int:
    count = ctx.session.dicom.get_series().instance_count()
    ctx.session.data["count"] = count
    ctx.session.files.put("masks/mask.txt", f"{count}".encode())
    return count


def test_a_run_leaves_its_output_and_its_files_in_a_folder(place: Workspace, scans: Path) -> None:
    filed, catalogue = place.ingest([scans])
    assert catalogue.left_out == []
    runs = [run(place, segment, series, filed, "segment") for series in filed.series]
    assert sorted(one.outcome.result for one in runs) == [2, 3]
    for one in runs:
        assert one.data == (("count", one.outcome.result),)
        assert [stored.name for stored in one.files] == ["masks/mask.txt"]
        assert (one.folder / "masks" / "mask.txt").read_text() == str(one.outcome.result)
        assert one.job.state is JobState.DONE
        assert one.subject_label == f"series CT, {one.outcome.result} instances"
    assert len({one.folder for one in runs}) == 2
    assert len({one.job.session_id for one in runs}) == 1


def test_running_again_gives_the_same_ids(place: Workspace, scans: Path, tmp_path: Path) -> None:
    first, _ = place.ingest([scans])
    again, _ = place.ingest([scans])
    assert again == first
    one = run(place, segment, first.series[0], first, "segment")
    two = run(place, segment, again.series[0], again, "segment")
    assert (one.job.id, one.job.session_id, one.folder) == (two.job.id, two.job.session_id, two.folder)
    elsewhere, _ = Workspace(tmp_path / "other").ingest([scans])
    assert elsewhere == first


def test_nothing_of_an_earlier_run_passes_for_this_ones_output(place: Workspace, scans: Path) -> None:
    def older(ctx: RuntimeContext) -> None:
        ctx.session.data["stale"] = 1
        ctx.session.files.put("stale.txt", b"1")
        ctx.session.files.put("out", b"a file where the next version has a folder")

    def newer(ctx: RuntimeContext) -> None:
        assert ctx.session.data.keys() == []
        ctx.session.files.put("out/x.txt", b"2")

    filed, _ = place.ingest([scans])
    subject = filed.series[0]
    folder = run(place, older, subject, filed, "segment").folder
    (folder / "note of the user.txt").touch()
    again = run(place, newer, subject, filed, "segment")
    assert again.data == ()
    assert [stored.name for stored in again.files] == ["out/x.txt"]
    assert (folder / "out" / "x.txt").read_bytes() == b"2"
    assert sorted(path.name for path in folder.iterdir()) == ["note of the user.txt", "out", "series.preview.png"]


def test_a_clean_up_takes_what_jobs_left_and_none_of_the_owners_scans(place: Workspace, scans: Path) -> None:
    filed, _ = place.ingest([scans])
    ran, *others = (run(place, segment, series, filed, "segment").job for series in filed.series)
    other = Job(id="ab" * 12, session_id="cd" * 12, name="segment", subject=filed.series[0])
    before = {path: path.read_bytes() for path in scans.iterdir()}
    with opened(Container(settings=place.settings(session_id=ran.session_id, job_id=ran.id))) as container:
        run_inline(container.workspace_repository().add_job(other))
        values, sessions = container.data_repository(), container.session_repository()
        kept = JobKey(other.session_id, other.id)
        run_inline(values.put(kept, "count", 1))
        run_inline(values.put(JobKey(ran.session_id, ran.id), "more", 2))
        run_inline(container.file_repository().put(kept, "mask", io.BytesIO(b"x"), NewFile("a/b", {})))
        report = run_inline(clean_up_session(sessions, ran.session_id, "all"))
        assert (report.data, report.files, report.sessions) == (3, 2, 0)
        assert report.images == RemovedImages()
        assert container.session().data.keys() == []
        assert container.session().files.list() == []
        assert run_inline(values.scan(kept, values=True)) == [("count", 1)]
        assert [stored.name for stored in run_inline(container.file_repository().list(kept))] == ["mask"]
        assert {job.id for job in container.session().jobs()} == {ran.id, *(one.id for one in others)}
    assert [path.read_bytes() for path in (place.folder / "files").iterdir()] == [b"x"]
    assert {path: path.read_bytes() for path in scans.iterdir()} == before
    assert place.ingest([scans])[0] == filed


def test_results_in_the_scanned_folder_are_no_scans(scans: Path) -> None:
    place = Workspace(scans / "work")

    def derive(ctx: RuntimeContext) -> None:
        (dataset, *_rest) = ctx.session.dicom.get_series().datasets()
        dataset.SOPInstanceUID += ".9"
        ctx.session.files.save("derived.dcm", dataset)

    filed, _ = place.ingest([scans])
    for series in filed.series:
        run(place, derive, series, filed, "derive")
    again, catalogue = place.ingest([scans])
    assert again == filed
    assert catalogue.left_out == []
    named, _ = place.ingest([place.folder / "results"])  # a folder inside is meant when it is named
    assert named.instance_count == 2


def report(ctx: RuntimeContext) -> list[int]:
    outputs = ctx.session.data.collect("count", job="segment")
    return sorted(output.value for output in outputs.values())


def summary(ctx: RuntimeContext) -> Any:
    return ctx.session.data.get("sum", job="report")


def store_report(ctx: RuntimeContext) -> None:
    ctx.session.data["sum"] = sum(report(ctx))


def measure(ctx: RuntimeContext) -> str:
    return ctx.session.files.read("masks/mask.txt", job="segment").decode()


def test_a_later_event_reads_what_an_earlier_one_stored_by_name(place: Workspace, scans: Path) -> None:
    filed, _ = place.ingest([scans])
    for series in filed.series:
        run(place, segment, series, filed, "segment")
    for series in filed.series:
        assert run(place, measure, series, filed, "measure").outcome.result == str(len(series.instance_ids))
    study = run(place, report, filed.studies[0], filed, "overview")
    assert study.outcome.result == [2, 3]
    assert len(study.job.depends_on) == 4
    assert run(place, store_report, filed.studies[0], filed, "report").outcome.ok
    patient = run(place, summary, filed.patients[0], filed, "summary")
    assert patient.outcome.result == 5
    assert patient.subject_label == "patient, 1 study"


def fail(ctx: RuntimeContext) -> None:
    raise ValueError("no liver \udcff in the image")


def test_a_failed_run_is_recorded_and_its_readers_see_it(place: Workspace, scans: Path) -> None:
    filed, _ = place.ingest([scans])
    failed = run(place, fail, filed.series[0], filed, "segment")
    assert failed.job.state is JobState.FAILED
    assert failed.outcome.exit_code == 1
    after = run(place, measure, filed.series[0], filed, "measure")
    assert after.outcome.error is not None
    assert isinstance(after.outcome.error.__cause__, UpstreamFailedError)
    assert "no liver ? in the image" in str(after.outcome.error)


def test_params_and_sender_reach_the_callback(place: Workspace, scans: Path) -> None:
    def tell(ctx: RuntimeContext) -> list[Any]:
        return [ctx.job.params, ctx.session.peers.current().name, ctx.ae_title, ctx.job.event]

    peer = parse_peer("PACS=ORTHANC@127.0.0.1:4242")
    place.add_peer(peer)
    filed, _ = place.ingest([scans])
    one = run(place, tell, filed.series[0], filed, "tell", params={"t": 0.5}, peer=peer)
    assert one.outcome.result[:2] == [{"t": 0.5}, "PACS"]
    assert one.outcome.result[3] == "stable-series"


@pytest.mark.parametrize("name", ["../out", "/abs", "", "a\\b", "."])
def test_a_job_name_that_is_no_folder_name_is_refused(place: Workspace, scans: Path, name: str) -> None:
    filed, _ = place.ingest([scans])
    with pytest.raises(ConfigurationError, match=r"job name .* is not allowed.*--job-name"):
        run(place, segment, filed.series[0], filed, name)
    assert not (place.folder / "results").exists()


def test_several_patients_have_a_session_each(place: Workspace, tmp_path: Path) -> None:
    save(make_series(1, PatientID="A"), tmp_path / "scans")
    save(make_series(2, PatientID="B"), tmp_path / "scans")
    filed, _ = place.ingest([tmp_path / "scans"])
    runs = [run(place, segment, series, filed, "segment") for series in filed.series]
    assert len({one.job.session_id for one in runs}) == 2


def read(ctx: RuntimeContext) -> list[str]:
    volume = ctx.session.dicom.get_series().volume()
    return sorted(slice_of.sop_instance_uid for slice_of in volume.sources[0])


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "IssuerOfPatientID"])
def test_two_patients_or_studies_under_one_series_uid_are_read_apart(
    place: Workspace, tmp_path: Path, keyword: str
) -> None:
    expected: dict[str, list[str]] = {"1.2.8": [], "1.2.9": []}
    made = make_series(1, slices=6)
    for number, dataset in enumerate(made):
        whose = sorted(expected)[number % 2]
        setattr(dataset, keyword, whose)
        expected[whose].append(str(dataset.SOPInstanceUID))
    save(made, tmp_path / "scans")
    filed, catalogue = place.ingest([tmp_path / "scans"])
    assert catalogue.left_out == []
    runs = [run(place, read, series, filed, "read") for series in filed.series]
    assert sorted(one.outcome.result for one in runs) == sorted(expected.values())
    assert len({one.folder for one in runs}) == 2
    assert len({one.job.session_id for one in runs}) == (1 if keyword == "StudyInstanceUID" else 2)


def test_a_uid_that_two_instances_share_is_refused_when_it_is_read(place: Workspace, tmp_path: Path) -> None:
    made = make_series(1, slices=5)
    save(made, tmp_path / "scans")
    made[2].PixelData = made[2].PixelData[::-1]
    save(made[1:3], tmp_path / "more")  # one of them a copy
    filed, catalogue = place.ingest([tmp_path])
    assert [one.reason for one in catalogue.left_out] == ["the same instance as another file"]
    assert place.ingest([tmp_path])[0] == filed
    outcome = run(place, read, filed.series[0], filed, "read").outcome
    assert not outcome.ok
    assert "CONFLICTING_INSTANCES" in str(outcome.error)


@pytest.mark.parametrize("removed", ["first.dcm", "second.dcm"])
def test_a_file_that_was_left_out_of_a_conflict_is_forgotten(place: Workspace, tmp_path: Path, removed: str) -> None:
    scans = conflicting(tmp_path)
    assert len(place.ingest([scans])[0].series[0].instance_ids) == 6
    (scans / removed).unlink()
    filed, catalogue = place.ingest([scans])
    assert catalogue.left_out == []
    assert place.ingest([scans])[0] == filed
    assert len(filed.series[0].instance_ids) == 5
    outcome = run(place, read, filed.series[0], filed, "read").outcome
    assert outcome.ok, outcome.error
    (tmp_path / removed).rename(scans / removed)
    assert len(place.ingest([scans])[0].series[0].instance_ids) == 6


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("again", ["scans", "other"])
def test_a_file_of_another_folder_stays_in_its_conflict(
    place: Workspace, tmp_path: Path, again: str, *, gone: bool
) -> None:
    scans = conflicting(tmp_path)
    (other := tmp_path / "other").mkdir()
    (scans / "second.dcm").rename(other / "second.dcm")
    place.ingest([scans, other])
    if gone:
        (scans if again == "other" else other).rename(tmp_path / "moved")
    filed, _ = place.ingest([tmp_path / again])
    assert len(filed.series[0].instance_ids) == 6
    if not gone:
        outcome = run(place, read, filed.series[0], filed, "read").outcome
        assert "CONFLICTING_INSTANCES" in str(outcome.error)
    assert place.ingest([tmp_path / again])[0] == filed


def test_a_file_that_is_ingested_later_does_not_hide_another_of_its_uid(place: Workspace, tmp_path: Path) -> None:
    scans = conflicting(tmp_path)
    (other := tmp_path / "other").mkdir()
    (scans / "second.dcm").rename(other / "second.dcm")
    place.ingest([scans])
    filed, _ = place.ingest([other])
    assert len(filed.series[0].instance_ids) == 6
    assert "CONFLICTING_INSTANCES" in str(run(place, read, filed.series[0], filed, "read").outcome.error)


def test_a_copy_that_is_ingested_later_is_the_same_instance(place: Workspace, tmp_path: Path) -> None:
    save(make_series(1, slices=5), tmp_path / "scans")
    shutil.copytree(tmp_path / "scans", tmp_path / "copy")
    filed, _ = place.ingest([tmp_path / "scans"])
    assert place.ingest([tmp_path / "copy"])[0] == filed
    assert run(place, read, filed.series[0], filed, "read").outcome.ok


def test_a_file_that_cannot_be_looked_at_is_not_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(_path: Path) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    assert is_lost(tmp_path / "missing.dcm", [tmp_path])
    monkeypatch.setattr(Path, "lstat", refused)
    assert not is_lost(tmp_path / "missing.dcm", [tmp_path])


def conflicting(folder: Path) -> Path:
    """Writes a series of five instances with another sixth file under the UID of the third, and copies of both."""
    made = make_series(1, slices=5)
    save(made, folder / "scans")
    (third,) = save(made[2:3], folder / "scans")
    third.rename(folder / "scans" / "first.dcm")
    made[2].PixelData = made[2].PixelData[::-1]
    made[2].save_as(folder / "scans" / "second.dcm", enforce_file_format=True)
    for name in ("first.dcm", "second.dcm"):
        (folder / name).write_bytes((folder / "scans" / name).read_bytes())
    return folder / "scans"


def test_a_folder_that_cannot_be_a_workspace_is_a_sentence(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConnectionError, match="is not a folder"):
        Workspace(tmp_path / "file").ingest([scans])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("PACS=ORTHANC@127.0.0.1:4242", "ORTHANC@127.0.0.1:4242"),
        (" PACS=ORTHANC@pacs.example.org:104 ", "ORTHANC@pacs.example.org:104"),
        ("PACS=MY AE@host:1", "MY AE@host:1"),
        ("PACS=A@[::1]:65535", "A@[::1]:65535"),
    ],
)
def test_a_peer_is_read_from_the_command_line(text: str, address: str) -> None:
    peer = parse_peer(text)
    assert isinstance(peer, Peer)
    assert (peer.name, peer.address) == ("PACS", address)
    assert parse_peer(text).id == peer.id


@pytest.mark.parametrize(
    "text",
    ["", "PACS", "PACS=A@host", "=A@host:1", "PACS=@host:1", "PACS=A@:1", "PACS=A@host:0", "PACS=A@host:65536",
     "PACS=A@host:x", "PACS=A@host:1:2", f"PACS={'A' * 17}@host:1", "PACS=Ä@host:1", "PACS=A\\B@host:1",
     "PACS= @host:1", "PACS=A@::1:104"],
)  # fmt: skip
def test_what_is_no_peer_is_a_sentence(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a peer"):
        parse_peer(text)


def test_the_sample_is_a_real_series() -> None:
    assert len(list(sample_folder().iterdir())) == 5


def test_a_subject_is_described_without_a_person() -> None:
    series = SeriesRecord(id="1", metadata={"Modality": "CT", "PatientName": "SECRET"}, instance_ids=("1",))
    assert describe(series) == "series CT, 1 instance"
    assert describe(None) == "no subject"
    assert (counted(0, "study", "studies"), counted(1, "file"), counted(2, "file")) == (
        "0 studies",
        "1 file",
        "2 files",
    )


def test_results_are_their_owners_alone(place: Workspace, scans: Path) -> None:
    filed, _ = place.ingest([scans])
    one = run(place, segment, filed.series[0], filed, "parts/segment")
    assert one.sheets
    left = [place.folder / "results", *(place.folder / "results").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in left if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in left if path.is_file()} == {0o600}


@pytest.mark.parametrize("level", ["results", "job", "subject", "masks"])
def test_no_result_is_written_through_a_planted_link(place: Workspace, scans: Path, tmp_path: Path, level: str) -> None:
    filed, _ = place.ingest([scans])
    folder = run(place, segment, filed.series[0], filed, "segment").folder
    planted = {"results": folder.parent.parent, "job": folder.parent, "subject": folder, "masks": folder / "masks"}[
        level
    ]
    planted.rename(tmp_path / "before")
    (tmp_path / "elsewhere").mkdir()
    planted.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalFileError, match="link"):
        run(place, segment, filed.series[0], filed, "segment")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_result_takes_the_place_of_a_planted_link(place: Workspace, scans: Path, tmp_path: Path) -> None:
    filed, _ = place.ingest([scans])
    folder = run(place, segment, filed.series[0], filed, "segment").folder
    (tmp_path / "theirs").write_text("theirs")
    for name in ("masks/mask.txt", "series.preview.png"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(tmp_path / "theirs")
    one = run(place, segment, filed.series[0], filed, "segment")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (one.folder / "masks" / "mask.txt").read_text() == str(one.outcome.result)


def test_a_run_is_clean_of_what_any_header_below_its_subject_says(
    place: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: dict[str, Any] = {
        "OperatorsName": "Foreman^Eric",
        "PatientMotherBirthName": "Kowalczyk^Zofia",
        "OtherPatientIDs": ["X4711", "Y4712"],
        "AcquisitionDate": "20200317",
        "PatientName": "Doe^Jane",
    }
    save(make_series(1, **said), tmp_path / "scans")
    filed, _ = place.ingest([tmp_path / "scans"])
    text = "Foreman, Zofia KOWALCZYK, x4711, Y-4712, 17 March 2020, jane"

    def log(ctx: RuntimeContext) -> None:
        ctx.log.warning(text)
        raise ValueError(text)

    def leave(ctx: RuntimeContext) -> None:
        raise SystemExit(text)

    for subject in (filed.series[0], filed.studies[0], filed.patients[0]):
        for function in (log, leave):
            one = run(place, function, subject, filed, "tell")
            assert one.job.state is JobState.FAILED
            shown = f"{one.outcome.as_json()} {one.job.error_message} {''.join(capfd.readouterr())}".lower()
            assert "[removed], [removed], [removed], [removed], [removed], [removed]" in shown
            # numbers alone: those of a time or of bytes of memory may hold any others
            told = re.findall(r"foreman|kowalczyk|zofia|x4711|(?<![\w.])(?:4711|4712|2020)(?!\w)|jane", shown)
            assert told == []


def test_a_step_that_is_done_is_found_by_the_next_run(place: Workspace, scans: Path) -> None:
    def run_step(ctx: RuntimeContext) -> bool:
        with ctx.step("segment", {"series": ctx.session.dicom.get_series(), "params": ctx.job.params}) as step:
            found = step.done
            if not found:
                step.data["volume_ml"] = 12.5
        ctx.session.data["volume_ml"] = step.data["volume_ml"]
        return found

    filed, _ = place.ingest([scans])
    results = [
        run(place, run_step, subject, filed, "segment", params=params)
        for subject in filed.series
        for params in ({"threshold": 1}, {"threshold": 1}, {"threshold": 2})
    ]
    assert [one.outcome.result for one in results] == [False, True, False, False, True, False]
    assert {one.data for one in results} == {(("volume_ml", 12.5),)}

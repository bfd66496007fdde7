"""The functions of the 0.0.1 API: its names, parameters and results, over any store."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import io
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

import dcm_processor_service as sdk
from dcm_processor_service.errors import (
    AmbiguousJobError,
    ConfigurationError,
    InvalidNameError,
    UnsupportedValueError,
    UpstreamFailedError,
)
from dcm_processor_service.models import Job, JobState, Peer, SeriesRecord
from dcm_processor_service.ports import JobKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dcm_processor_service.backends.memory import MemoryStore
    from dcm_processor_service.runtime.container import Container

SESSION_ID, JOB_ID, OTHER_ID, PEER_ID = "5e" * 12, "1b" * 12, "2c" * 12, "9e" * 12
OTHER = JobKey(SESSION_ID, OTHER_ID)

SIGNATURES: dict[str, str] = {
    "set_session_data": "name, value",
    "get_session_data": "name, default=None, job_name=None",
    "has_session_data": "name, job_name=None",
    "remove_session_data": "name",
    "upload_session_file": "file, name, meta=None, content_type=None, ext=None",
    "get_session_file": "name, select=None, job_name=None",
    "has_session_file": "name, job_name=None",
    "download_session_file": "name, filename=None, job_name=None",
    "remove_session_file": "name",
    "get_peer": "name=None",
    "get_dicom_sender": "peer_name=None, additional_sops=None, additional_syntaxes=None",
    "get_series_dicom": "series_id, dir_path=None",
    "get_series_nifti": "series_id, filename=None",
    "dicom_series_to_nifti": "series_path, output_file",
    "get_simplified_json": "ds, n_slices=None",
    "make_pdf_dicom": "ref_dicom, pdf_data, series_description=None, series_number=None",
    "make_series_dicom": "ref_dicom, datasets, series_description=''",
    "nifti_to_dicom": (
        "img_nib, modality, series_description='', study_instance_uid=None, sop_class_uid=None, ref_dcm=None"
    ),
}

HOMES = {
    "converters": ["get_series_dicom", "get_series_nifti", "dicom_series_to_nifti"],
    "db_manager": [name for name in SIGNATURES if "session" in name or name in {"get_peer", "get_dicom_sender"}],
    "dicom_conversion": ["dicom_series_to_nifti", "get_simplified_json"],
    "dicom_network": ["DicomSender", "make_pdf_dicom", "make_series_dicom", "nifti_to_dicom"],
    "dicom_network.utils": ["make_pdf_dicom", "make_series_dicom", "nifti_to_dicom"],
    "env_vars": ["get_db_info", "get_session_id", "get_job_id", "get_job_event", "get_job_name", "get_peer_id"],
    "pre_services": ["callback"],
    "post_services": ["callback"],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_function_has_its_parameters(name: str) -> None:
    parameters = inspect.signature(getattr(sdk, name)).parameters.values()
    shown = [one.name if one.default is one.empty else f"{one.name}={one.default!r}" for one in parameters]
    assert ", ".join(shown) == SIGNATURES[name]


@pytest.mark.parametrize(("home", "name"), [(home, name) for home, names in HOMES.items() for name in names])
def test_a_function_is_at_its_old_address(home: str, name: str) -> None:
    found = getattr(importlib.import_module(f"dcm_processor_service.{home}"), name)
    assert callable(found)
    if hasattr(sdk, name):
        assert found is getattr(sdk, name)


@pytest.mark.parametrize("home", ["dicom_conversion", "dicom_network", "dicom_network.utils"])
def test_an_address_has_nothing_else(home: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(importlib.import_module(f"dcm_processor_service.{home}"), "nonsense")  # noqa: B009  mypy would see it


def test_the_hooks_take_whatever_the_worker_passes() -> None:
    for hook in (sdk.run_pre_services, sdk.run_post_services):
        kinds = [one.kind for one in inspect.signature(hook).parameters.values()]
        assert kinds == [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]


class TestData:
    def test_storing_tells_the_id_then_the_changes(self, own_job: Container) -> None:
        made = sdk.set_session_data("a", {"n": 1})
        assert isinstance(made, str)
        assert len(made) == 24
        assert sdk.set_session_data("a", {"n": 2}) == 1
        assert sdk.set_session_data("a", {"n": 2}) == 0
        assert sdk.set_session_data("a", {"n": 2.0}) in {0, 1}
        assert own_job.session().data["a"] == {"n": 2}
        assert sdk.set_session_data("b", 1) != made

    def test_reading_gives_the_value_or_the_default(self, own_job: Container) -> None:
        own_job.session().data["none"] = None
        assert sdk.get_session_data("none", default=7) is None
        assert sdk.get_session_data("absent") is None
        assert sdk.get_session_data("absent", 7) == 7
        assert (sdk.has_session_data("none"), sdk.has_session_data("absent")) == (True, False)

    def test_another_jobs_value_is_found_by_its_name(self, own_job: Container, store: MemoryStore) -> None:
        store.values[OTHER, "a"] = 5
        assert sdk.get_session_data("a", job_name="before") == 5
        assert sdk.get_session_data("b", 6, "before") == 6
        assert sdk.has_session_data("a", job_name="before")
        assert not sdk.has_session_data("a")

    def test_the_default_stands_for_an_unknown_job_and_the_log_warns(
        self, own_job: Container, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert sdk.get_session_data("a", default=1, job_name="nobody") == 1
        assert sdk.get_session_data("a", job_name="nobody") is None
        assert not sdk.has_session_data("a", job_name="nobody")
        assert not sdk.has_session_file("a.bin", "nobody")
        assert sdk.get_session_file("a.bin", job_name="nobody") is None
        assert sdk.download_session_file("a.bin", job_name="nobody") is None
        assert len(caplog.messages) == 6
        assert all("no other job named 'nobody'; its jobs are: before" in message for message in caplog.messages)

    def test_the_default_stands_for_a_job_of_another_series(self, own_job: Container, store: MemoryStore) -> None:
        ours, theirs = (SeriesRecord(id=digit * 24) for digit in "78")
        store.jobs[JOB_ID] = store.jobs[JOB_ID].model_copy(update={"subject": ours})
        store.jobs[OTHER_ID] = store.jobs[OTHER_ID].model_copy(update={"subject": theirs})
        store.values[OTHER, "a"] = 5
        assert sdk.get_session_data("a", default=1, job_name="before") == 1
        assert not sdk.has_session_data("a", job_name="before")

    def test_no_default_stands_for_a_job_that_is_not_clear_or_failed(
        self, own_job: Container, store: MemoryStore
    ) -> None:
        for job_id in ("3d" * 12, "4e" * 12):
            store.jobs[job_id] = Job(id=job_id, session_id=SESSION_ID, name="twice")
        with pytest.raises(AmbiguousJobError):
            sdk.get_session_data("a", default=1, job_name="twice")
        store.jobs[OTHER_ID] = store.jobs[OTHER_ID].model_copy(update={"state": JobState.FAILED})
        with pytest.raises(UpstreamFailedError):
            sdk.get_session_data("a", default=1, job_name="before")

    def test_removing_tells_whether_there_was_one(self, own_job: Container) -> None:
        sdk.set_session_data("a", 1)
        assert sdk.remove_session_data("a") == 1
        assert sdk.remove_session_data("a") is None

    def test_a_datetime_without_a_zone_is_stored_as_utc(self, own_job: Container) -> None:
        naive = datetime(2024, 2, 29, 12, 30)  # noqa: DTZ001  as services of 0.0.1 have them
        sdk.set_session_data("a", {"at": [naive]})
        assert sdk.get_session_data("a") == {"at": [naive.replace(tzinfo=timezone.utc)]}
        sdk.upload_session_file(b"x", "a.bin", meta={"at": naive})
        assert own_job.session().files.info("a.bin").metadata == {"at": naive.replace(tzinfo=timezone.utc)}
        with pytest.raises(UnsupportedValueError, match="without a time zone"):
            own_job.session().data["a"] = naive

    def test_what_cannot_be_stored_is_refused_with_its_place(self, own_job: Container) -> None:
        with pytest.raises(UnsupportedValueError, match="outer"):
            sdk.set_session_data("a", {"outer": {1: "one"}})
        with pytest.raises(InvalidNameError):
            sdk.set_session_data("", 1)


class TestFiles:
    @pytest.mark.parametrize(
        "make",
        [
            lambda _folder: b"content",
            lambda _folder: bytearray(b"content"),
            lambda folder: folder / "source.bin",
            lambda folder: str(folder / "source.bin"),
            lambda _folder: io.BytesIO(b"content"),
        ],
        ids=["bytes", "bytearray", "path", "text", "memory"],
    )
    def test_content_comes_in_every_form(self, own_job: Container, tmp_path: Path, make: Callable[[Path], Any]) -> None:
        (tmp_path / "source.bin").write_bytes(b"content")
        file_id = sdk.upload_session_file(make(tmp_path), "a.bin")
        found = sdk.download_session_file("a.bin")
        assert found is not None
        assert found.read() == b"content"
        document = sdk.get_session_file("a.bin")
        assert document is not None
        assert document["_id"] == file_id

    def test_an_open_file_is_read_from_its_start_and_left_open(self, own_job: Container) -> None:
        source = io.BytesIO(b"all of it")
        source.seek(4)
        sdk.upload_session_file(source, "a.bin")
        assert not source.closed
        assert own_job.session().files.read("a.bin") == b"all of it"

    def test_meta_is_kept_and_the_callers_own_stays_as_it_was(self, own_job: Container) -> None:
        meta = {"threshold": 0.5, "job_id": "of another upload", "name": "old"}
        before = dict(meta)
        sdk.upload_session_file(b"x", "a.bin", meta=meta)
        assert meta == before
        document = sdk.get_session_file("a.bin")
        assert document is not None
        assert document["metadata"]["threshold"] == 0.5
        assert (document["metadata"]["name"], document["metadata"]["job_id"]) == ("a.bin", JOB_ID)
        assert document["length"] == 1

    def test_a_document_tells_all_that_is_known_of_a_file(self, own_job: Container) -> None:
        sdk.upload_session_file(b"x", "a.bin", meta={"threshold": 0.5}, content_type="application/x-test")
        stored = own_job.session().files.info("a.bin")
        owner = {"name": "a.bin", "session_id": SESSION_ID, "job_id": JOB_ID}
        assert sdk.get_session_file("a.bin") == {
            "_id": stored.id,
            "contentType": "application/x-test",
            "length": 1,
            "uploadDate": stored.uploaded_at,
            "metadata": {"threshold": 0.5, **owner, "sha256": hashlib.sha256(b"x").hexdigest()},
        }

    def test_select_gives_these_fields_alone(self, own_job: Container) -> None:
        sdk.upload_session_file(b"x", "a.bin", content_type="application/x-test")
        document = sdk.get_session_file("a.bin", select=["contentType", "metadata.name", "no such"])
        assert document is not None
        assert set(document) == {"_id", "contentType", "metadata"}
        assert document["contentType"] == "application/x-test"

    def test_an_extension_tells_the_type_of_a_name_without(self, own_job: Container) -> None:
        files = own_job.session().files
        sdk.upload_session_file(b"x,y\n", "table", ext="csv")
        sdk.upload_session_file(b"x,y\n", "other.txt", ext=".csv")
        assert files.info("table").content_type == "text/csv"
        assert files.info("other.txt").content_type == "text/plain"

    def test_downloading_to_a_path_writes_there(self, own_job: Container, tmp_path: Path) -> None:
        sdk.upload_session_file(b"x", "a.bin")
        assert sdk.download_session_file("a.bin", filename=str(tmp_path / "b.bin")) is None
        assert (tmp_path / "b.bin").read_bytes() == b"x"

    def test_an_absent_file_is_none(self, own_job: Container, tmp_path: Path) -> None:
        assert sdk.get_session_file("a.bin") is None
        assert sdk.download_session_file("a.bin") is None
        assert sdk.download_session_file("a.bin", filename=str(tmp_path / "b.bin")) is None
        assert not (tmp_path / "b.bin").exists()
        assert (sdk.has_session_file("a.bin"), sdk.remove_session_file("a.bin")) == (False, False)

    def test_removing_tells_whether_there_was_one(self, own_job: Container) -> None:
        sdk.upload_session_file(b"x", "a.bin")
        assert sdk.has_session_file("a.bin")
        assert sdk.remove_session_file("a.bin") is True
        assert sdk.has_session_file("a.bin") is False

    def test_another_jobs_file_is_found_by_its_name(self, own_job: Container, store: MemoryStore) -> None:
        sdk.upload_session_file(b"theirs", "a.bin")
        store.files[OTHER, "a.bin"] = store.files.pop((JobKey(SESSION_ID, JOB_ID), "a.bin"))
        assert sdk.has_session_file("a.bin", "before")
        content = sdk.download_session_file("a.bin", job_name="before")
        assert content is not None
        assert content.read() == b"theirs"
        document = sdk.get_session_file("a.bin", job_name="before")
        assert document is not None
        assert document["metadata"]["job_id"] == OTHER_ID


class TestPeers:
    def test_the_default_is_who_sent_the_images(self, own_job: Container) -> None:
        assert sdk.get_peer() == {
            "_id": PEER_ID,
            "name": "scanner",
            "host": "127.0.0.1",
            "aet": "SCANNER",
            "port": 104,
            "tls": False,
        }

    def test_without_a_variable_it_is_who_the_session_says(self, own_job: Container, store: MemoryStore) -> None:
        from dcm_processor_service.models import SessionRecord

        own_job.settings.override(own_job.settings().model_copy(update={"peer_id": None}))
        assert sdk.get_peer() is None
        now = datetime.now(timezone.utc)
        store.sessions[SESSION_ID] = SessionRecord(id=SESSION_ID, peer_id=PEER_ID, created_at=now)
        found = sdk.get_peer()
        assert found is not None
        assert found["name"] == "scanner"

    def test_a_peer_that_is_not_known_is_none_and_the_log_warns_with_those_that_are(
        self, own_job: Container, store: MemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert sdk.get_peer("archive") is None
        assert sdk.get_dicom_sender("archive") is None
        del store.peers["scanner"]
        assert sdk.get_peer() is None
        assert caplog.messages == [
            "no peer is named 'archive'; known peers: scanner",
            "no peer is named 'archive'; known peers: scanner",
            "it is not known who sent this session's images; known peers: none",
        ]

    @pytest.mark.parametrize(("more", "calling"), [({}, "DCM-PROCESSOR"), ({"calling_ae_title": "SPECIAL"}, "SPECIAL")])
    def test_a_sender_calls_the_node_by_its_title_with_ours(
        self, own_job: Container, store: MemoryStore, more: dict[str, str], calling: str
    ) -> None:
        from dcm_processor_service.testing import FakePacs

        with FakePacs() as pacs:
            store.peers["pacs"] = pacs.peer.model_copy(update={"name": "pacs", **more})
            sender = sdk.get_dicom_sender("pacs", additional_sops=["1.2"], additional_syntaxes=["1.2"])
            assert sender is not None
            status = sender.send_echo()
        assert status is not None
        assert status.Status == 0
        assert pacs.titles == [(calling, pacs.peer.ae_title)]

    def test_a_document_tells_all_that_is_known_of_a_node(self, own_job: Container, store: MemoryStore) -> None:
        names = {"host": "pacs.example", "port": 2762, "tls": True}
        files = {"cert_file": "own.pem", "key_file": "own.key", "ca_file": "ca.pem"}
        known = Peer(id="8f" * 12, name="secure", ae_title="SECURE", calling_ae_title="OURS", **names, **files)
        store.peers["secure"] = known
        told = {"_id": known.id, "name": "secure", "aet": "SECURE", "calling_aet": "OURS", **names, **files}
        assert sdk.get_peer("secure") == told

    def test_a_sender_with_tls_knows_its_certificates(self, own_job: Container, store: MemoryStore) -> None:
        certificates = {"cert_file": "own.pem", "key_file": "own.key"}
        node = {"name": "secure", "ae_title": "SECURE", "host": "pacs.example", "port": 2762, "tls": True}
        store.peers["secure"] = Peer(**node, **certificates)
        document = sdk.get_peer("secure")
        assert document is not None
        assert {name: document[name] for name in certificates} == certificates
        assert sdk.get_dicom_sender("secure") is not None


def test_outside_of_a_job_every_function_says_what_is_missing() -> None:
    calls: list[Callable[[], Any]] = [
        lambda: sdk.get_session_data("a"),
        lambda: sdk.set_session_data("a", 1),
        lambda: sdk.upload_session_file(b"x", "a.bin"),
        lambda: sdk.has_session_file("a.bin"),
        sdk.get_peer,
        lambda: sdk.get_series_dicom("0" * 24),
    ]
    from dcm_processor_service.runtime.own_session import close_own_container

    for call in calls:
        with pytest.raises(ConfigurationError, match="DCM-PROCESSOR-SERVICE-JOB-ID is not set"):
            call()
        close_own_container()

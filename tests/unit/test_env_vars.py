"""The environment: two spellings, one error for all faults, no secret anywhere."""

from __future__ import annotations

import logging
import pickle
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from dcm_processor_service import RuntimeContext, RuntimeSettings, SettingsValues, env_vars
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import JobEvent
from dcm_processor_service.ports import StoreLocation

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "pa55-w0rd"
URL = f"mongodb://user:{PASSWORD}@db:27017"
WORKER = {
    "DB-PROVIDER": "mongodb",
    "DB-URL": URL,
    "DB-NAME": "platform",
    "SESSION-ID": "5e" * 12,
    "JOB-ID": "0B" * 12,
    "JOB-EVENT": "stable-series",
    "JOB-NAME": "segment",
    "JOB-SERVICE-NAME": "liver",
    "PEER-ID": "ab" * 12,
}


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def setenv(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_all(variables: dict[str, str] | None = None, *, posix: bool = False, **more: str) -> None:
        named = {**(variables or {}), **{name.replace("_", "-"): value for name, value in more.items()}}
        for suffix, value in named.items():
            name = f"DCM-PROCESSOR-SERVICE-{suffix}"
            monkeypatch.setenv(name.replace("-", "_") if posix else name, value)

    return set_all


@pytest.mark.parametrize("posix", [False, True], ids=["hyphens", "underscores"])
def test_the_nine_values_are_read_in_both_spellings(setenv: Callable[..., None], *, posix: bool) -> None:
    setenv(WORKER, posix=posix)
    settings = RuntimeSettings()
    assert settings.db_url.get_secret_value() == URL
    assert settings.model_dump(include={"db_provider", "db_name", "session_id", "job_id", "job_name"}) == {
        "db_provider": "mongodb",
        "db_name": "platform",
        "session_id": "5e" * 12,
        "job_id": "0b" * 12,  # as the store spells ids
        "job_name": "segment",
    }
    assert settings.job_event is JobEvent.STABLE_SERIES
    assert (settings.service_name, settings.peer_id) == ("liver", "ab" * 12)


def test_the_same_value_in_both_spellings_is_no_conflict(setenv: Callable[..., None]) -> None:
    setenv(WORKER)
    setenv(WORKER, posix=True)
    assert RuntimeSettings().db_name == "platform"


def test_different_values_are_an_error_that_names_both(setenv: Callable[..., None]) -> None:
    setenv(WORKER)
    setenv(DB_URL=f"mongodb://other:{PASSWORD}2@db", posix=True)
    with pytest.raises(
        ConfigurationError, match="DCM-PROCESSOR-SERVICE-DB-URL and DCM_PROCESSOR_SERVICE_DB_URL"
    ) as caught:
        RuntimeSettings()
    assert "differ" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_empty_means_not_set(setenv: Callable[..., None]) -> None:
    setenv(WORKER | {"JOB-EVENT": "", "JOB-NAME": "", "JOB-SERVICE-NAME": "", "PEER-ID": ""})
    setenv(DB_NAME="", posix=True)
    settings = RuntimeSettings()
    assert (settings.job_event, settings.job_name, settings.service_name, settings.peer_id) == (None, "", "", None)
    setenv(DB_URL="", SESSION_ID="")
    with pytest.raises(ConfigurationError, match="DB-URL is not set") as caught:
        RuntimeSettings()
    assert "SESSION-ID is not set" in str(caught.value)


def test_one_error_names_every_fault_with_expectation_and_example(setenv: Callable[..., None]) -> None:
    setenv(
        DB_PROVIDER="mongo db",
        JOB_ID="xyz",
        JOB_EVENT="stable",
        PEER_ID="1",
        AE_TITLE="x" * 17,
        STORE_TIMEOUT_S="soon",
        DICOM_TIMEOUT_S="-1",
        LOG_LEVEL="loud",
    )
    with pytest.raises(ConfigurationError) as caught:
        RuntimeSettings()
    first, *lines = str(caught.value).splitlines()
    assert first == "the environment of this job is not usable:"
    found = {line.split()[0]: line for line in lines}
    suffixes = "DB-PROVIDER SESSION-ID JOB-ID JOB-EVENT PEER-ID AE-TITLE STORE-TIMEOUT-S DICOM-TIMEOUT-S LOG-LEVEL"
    assert set(found) == {f"DCM-PROCESSOR-SERVICE-{suffix}" for suffix in suffixes.split()}
    for name, line in found.items():
        assert "; expected: " in line
        assert f"; for example {name.replace('-', '_')}=" in line
        assert ("is not set" in line) == name.endswith("SESSION-ID")


def test_mongodb_needs_url_and_name_sqlite_a_folder_memory_neither() -> None:
    ids: dict[str, Any] = {"session_id": "a" * 24, "job_id": "b" * 24}
    with pytest.raises(ConfigurationError, match=r"DB-URL is not set(.|\n)*DB-NAME is not set"):
        RuntimeSettings(db_provider="mongo", **ids)
    with pytest.raises(ConfigurationError, match="DB-URL is not set") as caught:
        RuntimeSettings(db_provider="sqlite", **ids)
    assert "DB-NAME" not in str(caught.value)
    assert RuntimeSettings(db_provider="memory", **ids).db_name == ""


def test_a_store_of_another_package_says_itself_whether_it_needs_a_url() -> None:
    settings = RuntimeSettings(db_provider="their-store", session_id="a" * 24, job_id="b" * 24)
    assert (settings.backend_name, settings.db_url.get_secret_value()) == ("their-store", "")


@pytest.mark.parametrize("make", [RuntimeSettings, RuntimeSettings.without_environment, RuntimeContext])
def test_a_keyword_that_is_no_setting_is_refused_with_what_was_meant(make: Callable[..., RuntimeSettings]) -> None:
    with pytest.raises(ConfigurationError, match=r"has no setting 'jobname'; did you mean 'job_name'\?"):
        make(db_provider="memory", session_id="a" * 24, job_id="b" * 24, jobname="segment")


def test_the_typed_keywords_are_the_fields_of_the_settings() -> None:
    assert list(SettingsValues.__annotations__) == list(RuntimeSettings.model_fields)


@pytest.mark.parametrize(("given", "name"), [("mongo", "mongodb"), ("MongoDB", "mongodb"), ("own.Store", "own.store")])
def test_a_provider_has_one_canonical_name(given: str, name: str) -> None:
    settings = RuntimeSettings(db_provider=given, db_url="x", db_name="x", session_id="a" * 24, job_id="b" * 24)
    assert settings.backend_name == name


def test_no_secret_is_shown(setenv: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    setenv(WORKER)
    settings = RuntimeSettings()
    logging.getLogger().warning("%s %r", settings, settings)
    context = RuntimeContext()
    location = StoreLocation(url=URL, database="d", timeout_s=1, mode="blocking")
    shown = [
        repr(settings),
        str(settings),
        f"{settings}",
        repr(context),
        str(settings.model_dump()),
        settings.model_dump_json(),
        repr(location),
        caplog.text,
    ]
    assert all(PASSWORD not in text for text in shown)
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_no_secret_is_in_an_error_nor_in_what_caused_it(setenv: Callable[..., None]) -> None:
    setenv(WORKER | {"JOB-ID": PASSWORD})
    with pytest.raises(ConfigurationError) as caught:
        RuntimeSettings()
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in str(error)
        assert PASSWORD not in repr(error)
        error = error.__cause__ or error.__context__
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_arguments_win_over_the_environment(setenv: Callable[..., None]) -> None:
    setenv(WORKER)
    settings = RuntimeSettings(db_provider="sqlite", db_url="work", peer_id=None)
    assert settings.db_provider == "sqlite"
    assert settings.peer_id is None
    assert settings.job_name == "segment"


def test_without_environment_reads_none(setenv: Callable[..., None], empty_folder: Path) -> None:
    setenv(WORKER)
    (empty_folder / ".env").write_bytes(b"DCM_PROCESSOR_SERVICE_JOB_NAME=\xff")
    settings = RuntimeSettings.without_environment(db_provider="memory", session_id="a" * 24, job_id="b" * 24)
    assert (settings.job_name, settings.db_name, settings.job_event) == ("", "", None)
    with pytest.raises(ConfigurationError, match="SESSION-ID is not set"):
        RuntimeSettings.without_environment(db_provider="memory", job_id="b" * 24)


def test_settings_are_frozen_and_ignore_what_they_do_not_know(setenv: Callable[..., None]) -> None:
    setenv(WORKER | {"UNKNOWN": "x"})
    settings: Any = RuntimeSettings()
    with pytest.raises(ValidationError):
        settings.job_name = "other"


def test_a_dotenv_file_fills_in_what_the_environment_leaves_open(
    setenv: Callable[..., None], empty_folder: Path
) -> None:
    setenv(SESSION_ID="5e" * 12, DB_NAME="")
    (empty_folder / ".env").write_text(
        "# comment\n"
        "export DCM-PROCESSOR-SERVICE-DB-PROVIDER=mongo\n"
        f'DCM_PROCESSOR_SERVICE_DB_URL="{URL}#not-a-comment"\n'
        "DCM_PROCESSOR_SERVICE_DB_NAME='plat form' # comment\n"
        f"DCM_PROCESSOR_SERVICE_SESSION_ID={'0' * 24}\n"
        f"  DCM_PROCESSOR_SERVICE_JOB_ID = {'b' * 24}\n"
        "DCM_PROCESSOR_SERVICE_JOB_NAME=${HOME}\n"
        "DCM_PROCESSOR_SERVICE_JOB_EVENT=\n"
        "DCM_PROCESSOR_SERVICE_PEER_ID\n",
        encoding="utf-8",
    )
    settings = RuntimeSettings()
    assert settings.db_url.get_secret_value() == f"{URL}#not-a-comment"
    assert settings.db_name == "plat form"
    assert settings.session_id == "5e" * 12
    assert settings.job_name == "${HOME}"  # a password may hold a dollar sign
    assert (settings.job_event, settings.peer_id) == (None, None)


def test_a_conflict_inside_the_dotenv_file_is_an_error(setenv: Callable[..., None], empty_folder: Path) -> None:
    setenv(WORKER | {"JOB-NAME": ""})
    (empty_folder / ".env").write_text(
        "DCM-PROCESSOR-SERVICE-JOB-NAME=a\nDCM_PROCESSOR_SERVICE_JOB_NAME=b\n", encoding="utf-8"
    )
    with pytest.raises(ConfigurationError, match="JOB_NAME are both set and differ"):
        RuntimeSettings()


def test_a_dotenv_file_that_is_no_text_is_one_sentence(setenv: Callable[..., None], empty_folder: Path) -> None:
    setenv(WORKER)
    (empty_folder / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"the \.env file .* cannot be read"):
        RuntimeSettings()
    (empty_folder / ".env").unlink()
    (empty_folder / ".env").mkdir()
    assert RuntimeSettings().job_name == "segment"


def test_the_url_may_come_in_a_file(setenv: Callable[..., None], empty_folder: Path) -> None:
    secret = empty_folder / "secret"
    secret.write_text(f"{URL}\n", encoding="utf-8")
    setenv(WORKER | {"DB-URL": ""})
    setenv(DB_URL_FILE=str(secret), posix=True)
    assert RuntimeSettings().db_url.get_secret_value() == URL
    setenv(DB_URL=URL)
    assert RuntimeSettings().db_url.get_secret_value() == URL
    setenv(DB_URL="mongodb://plain")
    with pytest.raises(ConfigurationError, match="DB-URL-FILE are both set and differ") as caught:
        RuntimeSettings()
    assert "mongodb://plain" not in str(caught.value)


def test_the_file_of_the_environment_wins_over_the_url_of_the_dotenv_file(
    setenv: Callable[..., None], empty_folder: Path
) -> None:
    (empty_folder / "secret").write_text(URL, encoding="utf-8")
    (empty_folder / ".env").write_text("DCM_PROCESSOR_SERVICE_DB_URL=mongodb://dotenv\n", encoding="utf-8")
    setenv(WORKER | {"DB-URL": "", "DB-URL-FILE": "secret"})
    assert RuntimeSettings().db_url.get_secret_value() == URL


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "missing or not text"), (b"", "is empty"), (b" \n", "is empty"), (b"\xff", "not text")],
)
def test_a_secret_file_that_cannot_be_used_is_named_by_its_variable(
    setenv: Callable[..., None], empty_folder: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (empty_folder / "secret").write_bytes(content)
    setenv(WORKER | {"DB-URL": "", "DB-URL-FILE": "secret", "JOB-ID": ""})
    with pytest.raises(ConfigurationError, match=reason) as caught:
        RuntimeSettings()
    assert "DB-URL-FILE" in str(caught.value)
    assert "JOB-ID is not set" in str(caught.value)


def test_a_folder_is_no_secret_file(setenv: Callable[..., None], empty_folder: Path) -> None:
    setenv(WORKER | {"DB-URL": "", "DB-URL-FILE": str(empty_folder)})
    with pytest.raises(ConfigurationError, match="DB-URL-FILE names is missing or not text"):
        RuntimeSettings()


def test_the_sdks_own_settings_are_read_too(setenv: Callable[..., None]) -> None:
    setenv(WORKER)
    setenv(
        AE_TITLE=" LIVER ", STORE_TIMEOUT_S="2.5", WORKSPACE="work", SCRATCH="/scratch", LOG_LEVEL="debug", posix=True
    )
    settings = RuntimeSettings()
    assert (settings.ae_title, settings.store_timeout_s, settings.log_level) == ("LIVER", 2.5, "DEBUG")
    assert (settings.workspace, settings.scratch) == (Path("work"), Path("/scratch"))


def test_every_setting_has_an_expectation_an_example_that_is_valid_and_a_variable() -> None:
    base: dict[str, Any] = {"db_provider": "memory", "session_id": "a" * 24, "job_id": "b" * 24}
    names = set()
    for field, info in RuntimeSettings.model_fields.items():
        assert info.description
        assert info.examples
        RuntimeSettings.without_environment(**(base | {"db_url": "x", "db_name": "x", field: info.examples[0]}))
        names.add(env_vars.variable_name(field))
    assert {f"DCM-PROCESSOR-SERVICE-{suffix}" for suffix in WORKER} <= names
    assert len(names) == len(RuntimeSettings.model_fields)


def test_a_context_of_the_environment_alone_says_that_it_has_no_session(setenv: Callable[..., None]) -> None:
    setenv(WORKER)
    context = RuntimeContext()
    assert context.job_name == "segment"
    with pytest.raises(ConfigurationError, match="no session"):
        _ = context.session
    with pytest.raises(ConfigurationError, match="no session"):
        _ = context.job


def test_the_predecessors_getters_go_on_working(setenv: Callable[..., None]) -> None:
    assert env_vars.get_db_info() == (None, None, None)
    assert env_vars.get_job_name() is None
    setenv({name: value for name, value in WORKER.items() if name < "JOB-N"})
    setenv({name: value for name, value in WORKER.items() if name >= "JOB-N"}, posix=True)
    assert env_vars.get_db_info() == ("mongodb", URL, "platform")
    assert env_vars.get_session_id() == "5e" * 12
    assert env_vars.get_job_id() == "0B" * 12
    assert env_vars.get_job_event() == "stable-series"
    assert env_vars.get_job_name() == "segment"
    assert env_vars.get_job_service_name() == "liver"
    assert env_vars.get_peer_id() == "ab" * 12
    setenv(JOB_EVENT="stable-study", posix=True)
    with pytest.raises(ConfigurationError, match=r"JOB-EVENT and .* are both set and differ"):
        env_vars.get_job_event()

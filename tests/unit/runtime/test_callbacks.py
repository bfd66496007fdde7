"""Finding a callback and telling what it wants: each mistake is one sentence with the correction."""

from __future__ import annotations

import functools
import statistics
import sys
from typing import TYPE_CHECKING, Annotated, Any, Optional

import pytest
from pydantic import BaseModel, Field

from dcm_processor_service import AsyncRuntimeContext, AsyncSession, Job, RuntimeContext, RuntimeSettings, Session
from dcm_processor_service.errors import CallbackNotFoundError, CallbackSignatureError
from dcm_processor_service.runtime.execution.callbacks import find_callback, inspect_callback

if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path


class Params(BaseModel):
    threshold: float
    labels: list[str] = []
    size: dict[str, int] = Field(default_factory=dict, alias="Size")


def accepts_context(ctx: RuntimeContext) -> None: ...
def accepts_session(session: Session) -> None: ...
def accepts_params(ctx: RuntimeContext, params: Params) -> None: ...
def accepts_keywords(*, session: Session, params: Params) -> None: ...
def accepts_nothing() -> None: ...
def accepts_defaults(
    ctx: RuntimeContext, threshold: float = 0.5, other: Any = None, *_args: int, **_more: Any
) -> None: ...
def accepts_optional(ctx: RuntimeContext | None = None) -> None: ...
def accepts_old_optional(ctx: Optional[RuntimeContext] = None) -> None: ...  # noqa: UP045  as older code has it
def accepts_implicit_optional(ctx: RuntimeContext = None) -> None: ...  # type: ignore[assignment]
def accepts_annotated(ctx: Annotated[RuntimeContext, "the job"]) -> None: ...
async def accepts_async_context(ctx: AsyncRuntimeContext, params: Params) -> None: ...
async def accepts_async_session(session: AsyncSession) -> None: ...


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Service:
    def run(self, ctx: RuntimeContext) -> None: ...

    @staticmethod
    def static(ctx: RuntimeContext) -> None: ...

    def __call__(self, ctx: RuntimeContext) -> None: ...


@pytest.mark.parametrize(
    ("function", "mode", "wants"),
    [
        (accepts_context, "blocking", {"ctx": "context"}),
        (accepts_session, "blocking", {"session": "session"}),
        (accepts_params, "blocking", {"ctx": "context", "params": Params}),
        (accepts_keywords, "blocking", {"session": "session", "params": Params}),
        (accepts_nothing, "blocking", {}),
        (accepts_defaults, "blocking", {"ctx": "context"}),
        (accepts_optional, "blocking", {"ctx": "context"}),
        (accepts_old_optional, "blocking", {"ctx": "context"}),
        (accepts_implicit_optional, "blocking", {"ctx": "context"}),
        (accepts_annotated, "blocking", {"ctx": "context"}),
        (accepts_async_context, "async", {"ctx": "context", "params": Params}),
        (accepts_async_session, "async", {"session": "session"}),
        (decorated(accepts_params), "blocking", {"ctx": "context", "params": Params}),
        (Service().run, "blocking", {"ctx": "context"}),
        (Service.static, "blocking", {"ctx": "context"}),
    ],
    ids=lambda item: getattr(item, "__name__", None),
)
def test_annotations_tell_what_is_wanted(function: Any, mode: str, wants: dict[str, object]) -> None:
    callback = inspect_callback(function)
    assert callback.mode == mode
    assert dict(callback.wants) == wants


def no_annotation(ctx) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001  that is the point
def not_injectable(ctx: int) -> None: ...
def a_dict(params: dict[str, Any]) -> None: ...
def a_union(ctx: RuntimeContext | Session) -> None: ...
def settings_only(settings: RuntimeSettings) -> None: ...
def a_job(job: Job) -> None: ...
def a_class(ctx: type[RuntimeContext]) -> None: ...
def positional_only(ctx: RuntimeContext, /) -> None: ...
def unresolved(ctx: OrderedDict[str, int]) -> None: ...
def undefined(ctx: Nonsense) -> None: ...  # type: ignore[name-defined]  # noqa: F821  that is the point
def blocking_with_async_context(ctx: AsyncRuntimeContext) -> None: ...
def blocking_with_async_session(session: AsyncSession) -> None: ...
async def async_with_blocking_context(ctx: RuntimeContext) -> None: ...
async def async_with_blocking_session(params: Params, session: Session) -> None: ...
async def async_with_optional_blocking(ctx: RuntimeContext | None = None) -> None: ...


def a_generator(ctx: RuntimeContext) -> Iterator[int]:
    yield 1


async def an_async_generator(ctx: AsyncRuntimeContext) -> AsyncIterator[int]:
    yield 1


class OwnContext(RuntimeContext):
    extra: int = 1


def own_context(ctx: OwnContext) -> None: ...


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (no_annotation, "'ctx' of no_annotation has no annotation; write def run(ctx: RuntimeContext)"),
        (not_injectable, "'ctx' of not_injectable is annotated int, which cannot be injected"),
        (a_dict, "'params' of a_dict is annotated dict, which cannot be injected"),
        (a_union, "cannot be injected"),
        (settings_only, "is annotated RuntimeSettings, which cannot be injected"),
        (a_job, "is annotated Job, which cannot be injected"),
        (own_context, "is annotated OwnContext, which cannot be injected"),
        (a_class, "cannot be injected"),
        (positional_only, "'ctx' of positional_only is positional-only"),
        (unresolved, "'OrderedDict' is not defined; import the annotated types at the top of the module"),
        (undefined, "'Nonsense' is not defined"),
        (blocking_with_async_context, "write async def blocking_with_async_context, or annotate it RuntimeContext"),
        (blocking_with_async_session, "write async def blocking_with_async_session, or annotate it Session"),
        (async_with_blocking_context, "annotate it AsyncRuntimeContext, or write def async_with_blocking_context"),
        (async_with_blocking_session, "'session' is Session; annotate it AsyncSession"),
        (async_with_optional_blocking, "annotate it AsyncRuntimeContext"),
        (a_generator, "a_generator has a yield"),
        (an_async_generator, "an_async_generator has a yield"),
        (Service(), "Service is not a function"),
        (Service, "Service is not a function"),
        (functools.partial(accepts_context), "partial is not a function"),
        (len, "'obj' of len has no annotation"),
    ],
    ids=lambda item: getattr(item, "__name__", None),
)
def test_a_wrong_signature_is_one_sentence(function: Any, sentence: str) -> None:
    with pytest.raises(CallbackSignatureError) as caught:
        inspect_callback(function)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, TypeError)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_callback_is_found_by_file_or_module(folder: Path) -> None:
    write(folder / "one.py", "def run(): return 1\ndef other(): return 2\n")
    write(folder / "package_of_test/__init__.py", "")
    write(folder / "package_of_test/sub.py", "class Service:\n    @staticmethod\n    def go(): return 3\n")
    for reference, result in [
        ("one.py", 1),
        ("one.py:run", 1),
        (f"{folder}/one.py:other", 2),
        ("one", 1),
        ("one:other", 2),
        ("package_of_test.sub:Service.go", 3),
        ("package_of_test/sub.py:Service.go", 3),
    ]:
        assert find_callback(reference)() == result


def test_a_file_finds_its_neighbours_also_in_its_functions(folder: Path) -> None:
    write(folder / "sub/early_neighbour.py", "x = 1\n")
    write(folder / "sub/late_neighbour.py", "x = 2\n")
    write(folder / "top_neighbour.py", "x = 4\n")
    code = "import early_neighbour as a\ndef run():\n    import late_neighbour as b\n    return a.x + b.x\n"
    write(folder / "sub/callback_here.py", code)
    assert find_callback("sub/callback_here.py")() == 3
    write(folder / "callback_module.py", "def run():\n    import top_neighbour\n    return top_neighbour.x\n")
    assert find_callback("callback_module:run")() == 4


def test_a_file_named_like_a_library_replaces_nothing(folder: Path) -> None:
    write(
        folder / "statistics.py",
        "from pydantic import BaseModel\nclass P(BaseModel):\n    x: int\ndef run(p: P): return p.x\n",
    )
    write(folder / "numpy.py", "def run(): return 'mine'\n")
    function = find_callback("statistics.py")
    assert dict(inspect_callback(function).wants).keys() == {"p"}
    assert sys.modules["statistics"] is statistics
    assert find_callback("numpy.py")() == "mine"


def test_the_same_file_can_be_loaded_again(folder: Path) -> None:
    path = write(folder / "again.py", "def run(): return 1\n")
    assert find_callback("again.py")() == 1
    path.write_text("def run(): return 22\n", encoding="utf-8")
    assert find_callback("again.py")() == 22


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("missing.py", "there is no file 'missing.py'"),
        ("missing.py:run", "there is no file 'missing.py'"),
        ("no_such_module_at_all:run", "'no_such_module_at_all' cannot be imported: ModuleNotFoundError"),
        ("good.py:nothing", "good.py has no function 'nothing'; its functions are: run, shown"),
        ("good:CONSTANT", "good has no function 'CONSTANT'"),
        ("good.py:run.deeper", "has no function 'run.deeper'"),
        ("broken.py", "'broken.py' cannot be imported: SyntaxError"),
        ("failing.py", "'failing.py' cannot be imported: RuntimeError: at import"),
        ("failing:run", "'failing' cannot be imported: RuntimeError: at import"),
        ("needs.py", "'needs.py' cannot be imported: ModuleNotFoundError: No module named 'no_such_library'"),
        ("empty.py", "its functions are: none"),
        ("", "cannot be imported"),
        (":run", "cannot be imported"),
        (".relative:run", "cannot be imported"),
        ("folder.py", "there is no file"),
    ],
)
def test_what_is_not_found_is_one_sentence_with_the_cause_kept(folder: Path, reference: str, sentence: str) -> None:
    write(folder / "good.py", "CONSTANT = 1\ndef run(): ...\ndef shown(): ...\ndef _hidden(): ...\n")
    write(folder / "broken.py", "def run(:\n")
    write(folder / "failing.py", "raise RuntimeError('at import')\n")
    write(folder / "needs.py", "import no_such_library\n")
    write(folder / "empty.py", "")
    (folder / "folder.py").mkdir()
    with pytest.raises(CallbackNotFoundError) as caught:
        find_callback(reference)
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, ImportError)
    assert (caught.value.__cause__ is not None) == ("cannot be imported" in sentence)
    assert "failing" not in sys.modules


def test_a_module_that_changes_the_working_directory_is_no_trouble(folder: Path) -> None:
    write(folder / "wanderer.py", "import os\nos.chdir('/')\ndef run(): return os.getcwd()\n")
    assert find_callback("wanderer:run")() == "/"

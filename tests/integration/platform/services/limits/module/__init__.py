"""A service whose jobs reach their limits: of time, and of what a process survives."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from typing import Any

from dcm_processor_service import AsyncRuntimeContext, RuntimeContext, entrypoint, get_session_data
from dcm_processor_service.errors import UpstreamFailedError

LONG_S = 25


def _stuck(_ctx: RuntimeContext) -> None:
    ctypes.PyDLL(None).sleep(LONG_S)  # holds the interpreter's lock all the time


async def _waits(_ctx: AsyncRuntimeContext) -> None:
    await asyncio.sleep(LONG_S)


def _looks(ctx: RuntimeContext) -> str:
    while not ctx.cancelled:
        signal.sigtimedwait([], ctx.remaining_s or 0)
    return "partial"


def _killed(_ctx: RuntimeContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _after(ctx: RuntimeContext) -> dict[str, str]:
    told = {}
    for job in ("stuck", "waits", "looks", "killed", "plain_stuck", "plain_killed"):
        try:
            told[job] = ctx.session.data.get("result", default="nothing", job=job)
        except UpstreamFailedError as error:
            told[job] = str(error)
    return told


def _folders(ctx: RuntimeContext) -> dict[str, Any]:
    """Reads what the pre-script left, and leaves something for the post-script."""
    if ctx.session_dir is None or ctx.data_dir is None:
        return {"session_dir": ctx.session_dir, "data_dir": ctx.data_dir}
    (ctx.session_dir / "for-post.txt").write_text("from the job")
    return {
        "from_pre": (ctx.session_dir / "from-pre.txt").read_text(),
        "weights": (ctx.data_dir / "weights.txt").read_text(),
        "files": [file.name for file in ctx.session.files.list()],
    }


def plain_stuck(**_arguments: Any) -> None:
    """Is stuck after its first use of this package, in the style of 0.0.1."""
    get_session_data("nothing")
    ctypes.PyDLL(None).sleep(LONG_S)


def plain_killed(**_arguments: Any) -> None:
    """Is killed after its first use of this package, in the style of 0.0.1."""
    get_session_data("nothing")
    os.kill(os.getpid(), signal.SIGKILL)


stuck, waits, looks, killed = (entrypoint(one) for one in (_stuck, _waits, _looks, _killed))
after, folders = entrypoint(_after), entrypoint(_folders)

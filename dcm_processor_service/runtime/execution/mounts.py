"""The folders that the platform's docker worker mounts into the container of a job.

==============  =========  ======================================================================================
mount           default    what it is
==============  =========  ======================================================================================
module          /module    the service's module with the worker's ``main.py``; the working directory
session         /session   empty for each job; the worker's pre- and post-scripts, which run outside, share it
data            /data      the worker's own data, such as models; not there when the worker has none
==============  =========  ======================================================================================

The worker's argument ``session_dir`` is the session folder's path outside of the container. If the worker's settings
name other mounts, its Dockerfile must name them too, with ``ENV DCM_PROCESSOR_SERVICE_SESSION_DIR`` and
``..._DATA_DIR``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcm_processor_service.disk import is_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["mounted_folders"]


def mounted_folders(arguments: Mapping[str, Any], main_file: str | None = None) -> dict[str, Path | None]:
    """Returns ``session_dir`` and ``data_dir`` as this process sees them; None if there are none.

    Without the argument ``session_dir``, which only the docker worker passes, both are None, because on the machine of
    a virtual-environment worker ``/data`` may be any folder.

    Args:
        arguments: The worker's keyword arguments.
        main_file: Path of the worker's ``main.py``; if left out, the path of this process's own.
    """
    outside = arguments.get("session_dir")
    if not outside:
        return {"session_dir": None, "data_dir": None}
    if is_folder(str(outside)):  # a pre- or post-script, which runs outside
        return {"session_dir": Path(str(outside)), "data_dir": None}
    main: Any = sys.modules.get("__main__")
    mounts = Path(main_file or getattr(main, "__file__", None) or "/module/main.py").resolve().parent.parent
    return {
        name: folder if is_folder(folder) else None
        for name, folder in {"session_dir": mounts / "session", "data_dir": mounts / "data"}.items()
    }

"""Calls the platform's own access to its database, in the platform's environment.

Each line of standard input is a call as Extended JSON: the name of a database, of a method, and its keyword arguments;
``db.`` before a method means the provider below the manager. Each line of standard output is a result. Bytes cross as
such.
"""

from __future__ import annotations

import sys
from io import BytesIO
from typing import Any

from bson import json_util


def answer(url: str) -> None:
    from dcm_processor_db_provider import DBManager  # type: ignore[import-not-found]  # the platform's environment

    results, sys.stdout = sys.stdout, sys.stderr  # the manager prints what it does
    managers: dict[str, Any] = {}
    for line in sys.stdin:
        database, name, arguments = json_util.loads(line)
        if database not in managers:
            managers[database] = DBManager(dburl=url, dbname=database, dbprovider="mongodb")
        manager = managers[database]
        owner = manager.db if name.startswith("db.") else manager
        given = {key: BytesIO(value) if isinstance(value, bytes) else value for key, value in arguments.items()}
        result = getattr(owner, name.removeprefix("db."))(**given)
        results.write(json_util.dumps(result.getvalue() if isinstance(result, BytesIO) else result) + "\n")
        results.flush()


if __name__ == "__main__":
    answer(sys.argv[1])

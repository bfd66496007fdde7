"""A callback's result as JSON: whatever it is, a line comes out that every reader reads."""

from __future__ import annotations

import array
import enum
import json
import math
from dataclasses import dataclass, field
from datetime import date, datetime, time, timezone
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, model_serializer
from pydicom import Dataset

from dcm_processor_service.runtime.execution.results import json_safe
from tests.desk import examples
from tests.parameters import shown

MASKED: Any = np.ma.masked_array  # untyped in some of numpy's releases


class Colour(enum.Enum):
    RED = ("r", 1)


class Word(str, enum.Enum):
    YES = "yes"


class Size(BaseModel):
    mm: tuple[float, ...]


class Report(BaseModel):
    sizes: list[Size]
    best: Size | None = None
    where: Path = Path("a")


class Stubborn(BaseModel):
    x: int = 1

    @model_serializer
    def refuse(self) -> dict[str, int]:
        raise RuntimeError("cannot")


@dataclass
class Node:
    name: str
    children: list[Node] = field(default_factory=list)
    parent: Node | None = None


MOMENT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        (None, None),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        ({"deep": [2**70]}, {"deep": [str(2**70)]}),
        (math.nan, None),
        ([math.inf, -math.inf, 0.5], [None, None, 0.5]),
        ("Grüße\n", "Grüße\n"),
        ("bad\udcff", "bad?"),
        ({"bad\udcff": Path("x\udcff")}, {"bad?": "x?"}),
        (Colour.RED, ["r", 1]),
        (Word.YES, "yes"),
        ({Word.YES: 1, 3: 2, None: 3, (1, 2): 4}, {"yes": 1, "3": 2, "None": 3, "(1, 2)": 4}),
        (MOMENT, "2024-01-02T03:04:05+00:00"),
        (date(2024, 1, 2), "2024-01-02"),
        (time(3, 4), "03:04:00"),
        (b"\0\xff", "AP8="),
        (memoryview(b"abcd")[::2], "YWM="),
        (Path("a/b"), "a/b"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.50"), "1.50"),
        (ObjectId("5e" * 12), "5e" * 12),
        ({"ids": [ObjectId("5e" * 12)]}, {"ids": ["5e" * 12]}),
        (np.int64(3), 3),
        (np.uint64(2**64 - 1), str(2**64 - 1)),
        (np.float32(math.nan), None),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([1.5, math.nan]), [1.5, None]),
        (MASKED([1, 2], [False, True]), [1, None]),
        (np.datetime64("2024-01-02"), "2024-01-02"),
        (np.dtype("i4"), "<numpy.dtypes.Int32DType>"),
        (Report(sizes=[Size(mm=(1, 2))]), {"sizes": [{"mm": [1.0, 2.0]}], "best": None, "where": "a"}),
        (
            Node("a", [Node("b")]),
            {"name": "a", "children": [{"name": "b", "children": [], "parent": None}], "parent": None},
        ),
        ((1, {2}), [1, [2]]),
        (SimpleNamespace(secret=1), "<types.SimpleNamespace>"),
        (object, "<builtins.type>"),
        (Dataset(), "<pydicom.dataset.Dataset>"),
        (array.array("d", [1]), "<array.array>"),
        (1j, "<builtins.complex>"),
        (np.random.default_rng(0), "<numpy.random._generator.Generator>"),
    ],
    ids=shown,
)
def test_a_value_becomes_json(value: object, safe: object) -> None:
    found = json_safe(value)
    assert found == safe
    assert type(found) is type(safe)
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()


def test_an_object_graph_that_leads_back_to_itself_ends() -> None:
    root = Node("root")
    root.children = [Node(str(number), parent=root) for number in range(3)]
    found = json_safe(root)
    assert found["children"][2]["parent"].endswith("Node that holds itself>")
    loop: list[Any] = [1]
    loop.extend((loop, loop))
    assert json_safe(loop) == [1, "<builtins.list that holds itself>", "<builtins.list that holds itself>"]


def test_the_same_object_twice_is_shown_twice() -> None:
    size = Size(mm=(1,))
    assert json_safe([size, size]) == [{"mm": [1.0]}, {"mm": [1.0]}]


def test_depth_is_bounded() -> None:
    value: Any = "end"
    for _level in range(200):
        value = [value]
    assert "nested deeper than 60 levels" in json.dumps(json_safe(value))


def test_a_model_that_refuses_to_be_serialised_gives_its_type() -> None:
    assert json_safe({"x": Stubborn()}) == {"x": f"<{Stubborn.__module__}.Stubborn>"}
    circular = Report(sizes=[])
    circular.sizes.append(circular)  # type: ignore[arg-type]  # what a careless callback does
    json.dumps(json_safe(circular), allow_nan=False)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters())
        | st.binary()
        | st.decimals(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(st.characters()) | st.integers(), inner) | st.tuples(inner)
        ),
        max_leaves=15,
    )
)
def test_any_value_is_one_line_that_reads_back_the_same(value: object) -> None:
    safe = json_safe(value)
    line = json.dumps(safe, allow_nan=False, ensure_ascii=False)
    line.encode()
    assert json.loads(line) == safe
    assert json_safe(safe) == safe

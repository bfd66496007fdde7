"""Makes HTML for pages and notebooks. Each function escapes every text that it gets.

A page contains everything that it shows. It has no script, and its security policy forbids the browser to load anything
from a network.
"""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Html", "chip", "element", "facts", "join", "notebook", "page", "picture", "table"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_VOID = frozenset({"br", "col", "hr", "img", "meta"})
_RIGHT = "right"

STYLE = """
:root { color-scheme: light dark; }
.dps { --ink: #16202b; --soft: #5a6775; --line: #d8dee5; --paper: #fff; --ground: #f4f6f8; --accent: #0b6e8f;
  --ok: #1b7a48; --ok-ground: #e3f4ea; --bad: #b3261e; --bad-ground: #fce8e6; --warn: #8a5a00; --warn-ground: #fdf1d7;
  color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) {
  .dps { --ink: #e6ebf0; --soft: #9aa7b4; --line: #303a45; --paper: #171d24; --ground: #0e1318; --accent: #58b9d8;
    --ok: #6fd39b; --ok-ground: #12301f; --bad: #ff8a80; --bad-ground: #3a1613; --warn: #f2c063;
    --warn-ground: #362806; }
}
body.dps { background: var(--ground); margin: 0 auto; max-width: 1120px; padding: 1.75rem 1.25rem 3rem; }
.dps h1 { font-size: 1.55em; line-height: 1.25; margin: 0 0 .2rem; font-weight: 650; letter-spacing: -.01em; }
.dps h2 { font-size: 1.15em; line-height: 1.3; margin: 0; font-weight: 620; }
.dps h3 { font-size: .76em; margin: 1.4rem 0 .45rem; font-weight: 650; color: var(--soft); text-transform: uppercase;
  letter-spacing: .06em; }
.dps p { margin: .2rem 0; }
.dps a { color: var(--accent); }
.dps .soft { color: var(--soft); }
.dps article { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.15rem 1.35rem 1.35rem;
  margin: 1.25rem 0; }
.dps .head { display: flex; gap: .5rem .8rem; align-items: baseline; flex-wrap: wrap; }
.dps .chip { white-space: nowrap; font-size: .76em; line-height: 1.55; font-weight: 600; padding: 0 .6rem;
  border-radius: 1rem;
  color: var(--soft); background: var(--ground); border: 1px solid var(--line); }
.dps .chip.ok { color: var(--ok); background: var(--ok-ground); border-color: transparent; }
.dps .chip.bad { color: var(--bad); background: var(--bad-ground); border-color: transparent; }
.dps .chip.warn { color: var(--warn); background: var(--warn-ground); border-color: transparent; }
.dps dl { display: grid; grid-template-columns: fit-content(45%) minmax(0, 1fr); gap: .1rem 1.1rem; margin: .6rem 0 0; }
.dps dt { color: var(--soft); }
.dps dd { margin: 0; }
.dps table { border-collapse: collapse; width: 100%; font-size: .92em; }
.dps th { text-align: left; font-weight: 600; color: var(--soft); font-size: .8em; padding: .2rem .8rem .3rem 0;
  overflow-wrap: normal; border-bottom: 1px solid var(--line); vertical-align: bottom; }
.dps td { padding: .32rem .8rem .32rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.dps tr:last-child td { border-bottom: 0; }
.dps .right { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.dps th:last-child, .dps td:last-child { padding-right: 0; }
.dps code, .dps pre { font: .84em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
.dps .time { white-space: nowrap; }
.dps pre { background: var(--ground); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem;
  margin: .5rem 0 0;
  overflow-x: auto; white-space: pre-wrap; }
.dps figure { margin: .4rem 0 0; background: #000; border-radius: 8px; overflow: hidden; break-inside: avoid; }
.dps figure img { display: block; width: 100%; max-width: 960px; height: auto; max-height: 40rem;
  object-fit: contain; margin: 0 auto; }
.dps figcaption { color: #c3ccd6; background: #0b0e12; padding: .5rem .8rem; font-size: .85em; }
.dps .legend { display: flex; flex-wrap: wrap; gap: .25rem 1.3rem; color: #eef2f6; padding: 0 0 .2rem; }
.dps .swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .45em;
  vertical-align: -.05em; }
.dps ul { padding-left: 1.2rem; margin: .5rem 0 0; }
.dps li.blocking { color: var(--bad); }
.dps details > summary { cursor: pointer; color: var(--accent); }
.dps footer { color: var(--soft); font-size: .85em; margin-top: 2rem; border-top: 1px solid var(--line);
  padding-top: .8rem; }
@media print {
  .dps { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --ground: #fff; --accent: #000; font-size: 11px; }
  body.dps { max-width: none; padding: 0; }
  .dps article { border-radius: 0; border-width: 1px 0 0; padding: .8rem 0; }
  .dps figure, .dps .swatch, .dps .chip { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .dps tr, .dps h2, .dps h3 { break-inside: avoid; break-after: auto; }
  .dps h2, .dps h3 { break-after: avoid; }
  .dps details::details-content { content-visibility: visible; display: block; height: auto; }
}
"""


class Html(str):
    """Text that is HTML already; any other text is escaped when it enters an element.

    Example:
        >>> Html("<b>") + "x"
        '<b>x'
    """

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str) -> Html:
    """Returns an element; text in it and values of its attributes are escaped, and empty attributes are left out.

    If an attribute's name is a Python keyword, append an underscore, as in ``class_``.

    Example:
        >>> element("p", "a < b", element("b", "c"), class_="facts")
        '<p class="facts">a &lt; b<b>c</b></p>'
    """
    shown = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items() if value
    )
    if tag in _VOID:
        return Html(f"<{tag}{shown}>")
    return Html(f"<{tag}{shown}>{join(children)}</{tag}>")


def join(parts: Iterable[str], separator: str = "") -> Html:
    """Returns the parts as one text of HTML; parts that are not HTML are escaped.

    Example:
        >>> join(["a & b", Html("<br>")])
        'a &amp; b<br>'
    """
    return Html(escape(separator).join(str(one) if isinstance(one, Html) else escape(one) for one in parts))


def chip(text: str, state: str = "") -> Html:
    """Returns a label in the colour of a state: ``ok``, ``bad``, ``warn``, or empty for a neutral one."""
    return element("span", text, class_=f"chip {state}".strip())


def facts(rows: Iterable[tuple[str, str]]) -> Html:
    """Returns a list of names with their texts; leaves out names with an empty text."""
    shown = [element("dt", name) + element("dd", value) for name, value in rows if value]
    return element("dl", Html("".join(shown))) if shown else Html("")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> Html:
    """Returns a table; ``right`` lists the columns, from 0, that are aligned on the right, as numbers are.

    Example:
        >>> table(["name", "ml"], [["liver", "1500"]], right=[1])[:60]
        '<table><thead><tr><th scope="col">name</th><th class="right"'
    """
    sides = [_RIGHT if number in set(right) else "" for number in range(len(columns))]
    head = [element("th", name, class_=side, scope="col") for name, side in zip(columns, sides, strict=True)]
    body = [
        element("tr", *(element("td", cell, class_=side) for cell, side in zip(row, sides, strict=True)))
        for row in rows
    ]
    return element("table", element("thead", element("tr", *head)), element("tbody", *body))


def picture(png: bytes, alternative: str, media_type: str = "image/png") -> Html:
    """Returns an element that holds a picture with all its bytes."""
    encoded = base64.b64encode(png).decode("ascii")
    return element("img", alt=alternative, src=f"data:{media_type};base64,{encoded}")


def notebook(*parts: str) -> str:
    """Returns the HTML that a notebook shows for a value, with the style."""
    return str(element("div", element("style", Html(STYLE)), *parts, class_="dps"))


def page(title: str, *body: str) -> str:
    """Returns a page that opens in a browser without a network, in the browser's light or dark colours."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    return f"<!doctype html>\n{element('html', head, element('body', *body, class_='dps'), lang='en')}\n"

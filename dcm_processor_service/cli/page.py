"""One HTML page with everything in it: opens in a browser that has no network."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.models import SeriesReport

__all__ = ["inspection_page"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
article { border: 1px solid #8886; border-radius: 8px; padding: 1rem 1.25rem; margin: 1.25rem 0; }
h2 { font-size: 1.05rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p.facts { margin: .1rem 0; }
ul { padding-left: 1.2rem; }
li.blocking { color: #c0392b; }
li code { font-weight: 600; }
img { max-width: 100%; background: #000; border-radius: 4px; }
.state { white-space: nowrap; font-size: .8rem; padding: .05rem .5rem; border-radius: 1rem; border: 1px solid; }
.ok { color: #2e8b57; } .no { color: #c0392b; }
"""


def inspection_page(found: Sequence[tuple[SeriesReport, bytes | None]]) -> str:
    """Returns the page: for each series its report, and its contact sheet where there is one."""
    articles = "\n".join(_article(report, sheet) for report, sheet in found)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{len(found)} series</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{len(found)} series</h1>
{articles}
</body>
</html>
"""


def _article(report: SeriesReport, sheet: bytes | None) -> str:
    head, *lines = str(report).splitlines()
    facts = "\n".join(f'<p class="facts">{escape(line.strip())}</p>' for line in lines if line.strip()[:1] not in "!-")
    findings = "\n".join(
        f'<li class="{"blocking" if finding.blocking else "note"}"><code>{escape(finding.code)}</code> '
        f"{escape(finding.message)}</li>"
        for finding in report.findings
    )
    state = '<span class="state ok">one clean volume</span>' if report.is_convertible else _NOT_CLEAN
    picture = ""
    if sheet is not None:
        encoded = base64.b64encode(sheet).decode("ascii")
        picture = f'<img alt="contact sheet" src="data:image/png;base64,{encoded}">'
    listed = f"<ul>\n{findings}\n</ul>" if findings else ""
    return f"<article>\n<h2>{escape(head)} {state}</h2>\n{facts}\n{listed}\n{picture}\n</article>"


_NOT_CLEAN = '<span class="state no">not one clean volume</span>'

"""The shell of a web page that is one file: it asks nobody for anything, fits a phone, and follows light or dark.

What strangers wrote goes through `escape`; even if some did not, the page's own policy lets only its script run.
"""

import base64
import hashlib
import html

from cia_bench.errors import printable

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --panel: #f5f6f8; --ink: #1b1f24; --soft: #57606a; --line: #d5d9de;
  --accent: #0b62a4; --good: #00734f; --bad: #b34700; --muted: #a3abb5;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --panel: #1e2329; --ink: #e6e9ed; --soft: #a4adb8; --line: #363d46;
    --accent: #6cb6f5; --good: #3fc493; --bad: #f0955a; --muted: #67717d;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 66rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p, ul, dl { max-width: 46rem; margin: .5rem 0; }
.note { color: var(--soft); font-size: .9rem; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre {
  margin: .5rem 0; padding: .6rem .8rem; background: var(--panel); border-radius: .4rem;
  white-space: pre-wrap; overflow-wrap: anywhere;
}
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
th, td {
  text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: break-word;
}
thead th { border-bottom-color: var(--soft); vertical-align: bottom; }
tbody th { font-weight: normal; }
.number { text-align: right; white-space: nowrap; }
figure { margin: .75rem 0; }
figcaption { color: var(--soft); font-size: .9rem; }
svg { display: block; max-width: 100%; height: auto; }
svg text { fill: var(--ink); font-family: inherit; }
@media print { :root { color-scheme: light; } body { max-width: none; } }
"""


def escape(text: object) -> str:
    """`text` as it can stand in a page or in a quoted attribute; control and invisible characters become visible."""
    return html.escape(printable(str(text)))


def page(title: str, body_html: str, script: str = "", style: str = "") -> str:
    """A whole page: `title` is any text; the rest is the caller's own, with all names escaped. `style` adds to STYLE.

    The page may load nothing and run no script but this one. Raises ValueError for a script that HTML would end early;
    JSON in it needs `<` written as \\u003c.
    """
    if "</" in script or "<!--" in script:
        raise ValueError("a script within a page can't hold </ or <!--; write < in its strings as \\u003c")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    runs = f"'sha256-{digest}'" if script else "'none'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {runs}; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'  # else a browser asks the server for one
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body_html}\n</main>\n"
        + (f"<script>{script}</script>\n" if script else "")
        + "</body>\n</html>\n"
    )

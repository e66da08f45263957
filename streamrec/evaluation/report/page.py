"""The frame of the report: one HTML page with its style in it, figures, tables, term lists.

Nothing is loaded from anywhere, and a content policy in the page says so to the browser.
"""

from collections.abc import Callable, Iterable, Sequence

from streamrec.evaluation.report.axes import escape
from streamrec.evaluation.report.plots import Drawn, Series

WIDTHS = (("wide", 720), ("narrow", 360))
"""Every plot is drawn for a desk and for a phone, and CSS shows one of the two."""
DARK = """
--paper: #16181c; --ink: #eceef1; --soft: #a9b0ba; --rule: #343941; --shade: #20242a;
--s0: #3987e5; --s1: #199e70; --s2: #c98500; --s3: #d95926; --s4: #9085e9; --s5: #e66767;
--s6: #f0a6c8; --s7: #5aa845; --s8: #7d848e; --up: #3fb383; --down: #e66767; --level: #a9b0ba;
"""
STYLE = f"""
:root {{
color-scheme: light dark;
--paper: #ffffff; --ink: #1d2127; --soft: #59616c; --rule: #dfe3e8; --shade: #f4f6f8;
--s0: #2a78d6; --s1: #1baf7a; --s2: #d99000; --s3: #eb6834; --s4: #4a3aa7; --s5: #c22f36;
--s6: #e87ba4; --s7: #2f7d1e; --s8: #8d949e; --up: #0f7a52; --down: #c22f36; --level: #59616c;
}}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
* {{ box-sizing: border-box }}
body {{ margin: 0; background: var(--paper); color: var(--ink);
font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }}
main {{ max-width: 66rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; overflow-wrap: anywhere }}
h1 {{ font-size: 1.5rem; line-height: 1.25; margin: 0 0 .75rem }}
h2 {{ font-size: 1.15rem; line-height: 1.3; margin: 2.75rem 0 .25rem }}
p {{ margin: 0 0 .75rem }}
h1, p, figure, dl {{ max-width: 48rem }}
.lead {{ font-size: 1.1rem }}
.note, figcaption {{ color: var(--soft); font-size: .875rem; text-align: left }}
figure {{ margin: .5rem 0 0 }}
figcaption {{ margin-bottom: .5rem }}
svg {{ display: block; width: 100%; height: auto; overflow: visible }}
svg.narrow {{ display: none; max-width: 30rem }}
svg text {{ font-size: 12px; fill: var(--ink); stroke: var(--paper); stroke-width: 3px;
stroke-linejoin: round; paint-order: stroke }}
svg .tick, svg .value {{ fill: var(--soft); font-variant-numeric: tabular-nums }}
svg .bold {{ font-weight: 600 }}
.grid {{ stroke: var(--rule); stroke-width: 1 }}
.axis {{ stroke: var(--soft); stroke-width: 1 }}
.leader {{ stroke: var(--soft); stroke-width: .75 }}
.line {{ fill: none; stroke: currentColor; stroke-width: 1.5; stroke-linejoin: round }}
.line.bold {{ stroke-width: 3.5 }}
.dashed {{ stroke-dasharray: 5 3 }}
.bar {{ fill: currentColor }}
.dot {{ fill: currentColor; stroke: var(--paper); stroke-width: 1 }}
.band {{ fill: currentColor; stroke: var(--paper); stroke-width: 1 }}
.up, .down, .level {{ stroke: currentColor; stroke-width: 2; fill: currentColor }}
.up {{ color: var(--up) }} .down {{ color: var(--down) }} .level {{ color: var(--level) }}
.s0 {{ color: var(--s0) }} .s1 {{ color: var(--s1) }} .s2 {{ color: var(--s2) }}
.s3 {{ color: var(--s3) }} .s4 {{ color: var(--s4) }} .s5 {{ color: var(--s5) }}
.s6 {{ color: var(--s6) }} .s7 {{ color: var(--s7) }} .s8 {{ color: var(--s8) }}
.keys {{ list-style: none; margin: .25rem 0 .5rem; padding: 0; display: flex; flex-wrap: wrap;
gap: .1rem 1rem; font-size: .875rem }}
.keys svg {{ display: inline-block; width: 22px; height: 12px; margin-right: .35rem }}
.keys.ends {{ display: none }}
.scroll {{ overflow-x: auto; margin: .5rem 0 .75rem }}
table {{ border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }}
th, td {{ padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--rule);
white-space: nowrap }}
th:first-child {{ text-align: left; position: sticky; left: 0; background: var(--paper);
max-width: 14rem; overflow: hidden; text-overflow: ellipsis }}
thead th {{ color: var(--soft); font-weight: 500; vertical-align: bottom; white-space: normal;
overflow-wrap: normal; line-height: 1.25 }}
tbody th {{ font-weight: 500 }}
tr.blend th, tr.blend td {{ background: var(--shade) }}
td.best {{ font-weight: 700 }}
.tag {{ color: var(--soft); font-weight: 400 }}
dl {{ margin: .5rem 0 0 }}
dt {{ color: var(--soft); font-size: .875rem }}
dd {{ margin: 0 }}
.tiles {{ display: flex; flex-wrap: wrap; gap: .5rem 2.25rem; margin: 1rem 0 0 }}
.tiles dd {{ font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums }}
.terms > div {{ display: grid; grid-template-columns: 11rem 1fr; gap: 0 1rem; padding: .25rem 0;
border-bottom: 1px solid var(--rule) }}
@media (max-width: 640px) {{
svg.wide {{ display: none }} svg.narrow {{ display: block }} .keys.ends {{ display: flex }}
th:first-child {{ max-width: 10rem }} .terms > div {{ grid-template-columns: 1fr }} }}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, body: str) -> str:
    """Return a whole HTML page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def section(slug: str, title: str, *parts: str) -> str:
    """Return a part of the page under a heading; the slug is ours, never a name from outside."""
    inside = "\n".join(part for part in parts if part)
    return f'<section id="{slug}">\n<h2>{escape(title)}</h2>\n{inside}\n</section>\n'


def figure(
    slug: str, title: str, words: str, draw: Callable[[int], Drawn], keys: str = "", note: str = ""
) -> str:
    """Return a plot in both widths; words are what it says to one who cannot see it."""
    out = [f'<figure id="{slug}">']
    if note:
        out.append(f"<figcaption>{escape(note)}</figcaption>")
    out.append(keys)
    for style, width in WIDTHS:
        inside, height = draw(width)
        t, d = f"{slug}-{style}-title", f"{slug}-{style}-text"
        out.append(
            f'<svg class="{style}" viewBox="0 0 {width} {height}" role="img" '
            f'aria-labelledby="{t}" aria-describedby="{d}"><title id="{t}">{escape(title)}</title>'
            f'<desc id="{d}">{escape(words)}</desc>{inside}</svg>'
        )
    return "\n".join([*out, "</figure>"])


def keys(series: Sequence[Series], always: bool = False) -> str:
    """Return a legend; where names stand at the ends of lines it is for narrow screens only."""
    out = []
    for s in series:
        style = f"line bold s{s.shade}" + " dashed" * s.dashed
        mark = f'<line class="{style}" x1="0" x2="22" y1="6" y2="6"/>'
        sample = f'<svg viewBox="0 0 22 12" aria-hidden="true">{mark}</svg>'
        out.append(f"<li>{sample}{escape(s.name)}</li>")
    return f'<ul class="{"keys" if always else "keys ends"}">{"".join(out)}</ul>'


def table(caption: str, head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return a table that scrolls sideways; rows are (attributes of tr, cells as HTML)."""
    folds = [escape(name).replace("_", "_<wbr>").replace("@", "<wbr>@") for name in head]
    columns = "".join(f'<th scope="col">{name}</th>' for name in folds)
    body = "\n".join(f"<tr{extra}>{''.join(cells)}</tr>" for extra, cells in rows)
    return (
        f'<p class="note">{escape(caption)}</p>\n'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f"<table><thead><tr>{columns}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def terms(pairs: Iterable[tuple[str, str]], style: str) -> str:
    """Return a list of terms and what they are."""
    inside = "".join(
        f"<div><dt>{escape(term)}</dt><dd>{escape(words)}</dd></div>" for term, words in pairs
    )
    return f'<dl class="{style}">{inside}</dl>'

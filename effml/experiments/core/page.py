"""Everything on one HTML page that needs no network: tables, figures, sample artifacts, and where each number comes from."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from effml.experiments.core import registry, store, verdicts
from effml.experiments.core.plots import points, render, roofs
from effml.experiments.core.render import (
    EMPTY,
    MARKS,
    cell_text,
    digits_of,
    footnotes,
    header,
    paper_text,
    shown_columns,
)
from effml.experiments.core.spec import Experiment, Plot
from effml.experiments.core.tables import Column, View, build

PICTURES = {
    ".png": "image/png",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
LARGEST_PICTURE = 1_500_000  # bytes; larger ones are named, not shown
PICTURES_EACH = 6  # per experiment

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem; }
nav { display: flex; flex-wrap: wrap; gap: .3rem .9rem; border-bottom: 1px solid var(--line); padding-bottom: .6rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); } h3 { margin-bottom: .3rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--soft); }
th.label, td.label { text-align: left; }
td.said { text-align: left; white-space: normal; min-width: 14rem; vertical-align: top; }
 td.paper, th.paper { opacity: .7; }
ul.notes { font-size: .85em; opacity: .85; padding-left: 1.2rem; } code { font-size: .9em; overflow-wrap: anywhere; }
details { font-size: .85em; } figure { margin: 1rem 0; } img { max-width: 100%; height: auto; background: #fff; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; } .pictures figure { max-width: 22rem; margin: 0; }
figcaption { font-size: .8em; opacity: .8; overflow-wrap: anywhere; }
"""


def write(root: Path, path: Path) -> int:
    """Write the page; returns its size in bytes."""
    sections, links = [_verdicts(root)], []
    for experiment in registry.everything():
        rows = [row for row in store.all_rows(root, experiment.name) if row.get("preset") != "smoke"]
        body = _section(root, experiment, rows)
        if body:
            links.append(f'<a href="#{experiment.name}">{experiment.name}</a>')
            sections.append(body)
    empty = "<p>No measurements yet: <code>effml run maxk</code> makes the first.</p>"
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>effml: what was measured</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body><h1>effml: what was measured</h1><nav>{' '.join(links)}</nav>"
        f"{''.join(sections) if links else empty}</body></html>\n"
    )
    with store.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    store.write_atomically(path, text)
    return len(text.encode())


def _verdicts(root: Path) -> str:
    """The claims and what became of them, first of all."""

    def row(tag: str, cells: list[tuple[str, str]]) -> str:
        return f"<tr>{''.join(f'<{tag} class={kind}>{text}</{tag}>' for kind, text in cells)}</tr>"

    found = verdicts.verdicts(root)
    if not found:
        return ""
    heads = row("th", [("label", name) for name in verdicts.HEADS])
    lines = "".join(
        row("td", [(kind, _code(text)) for kind, text in zip(("label", *["said"] * 4), v.texts, strict=True)])
        for v in found
    )
    table = f'<div class="wide"><table><thead>{heads}</thead><tbody>{lines}</tbody></table></div>'
    return f"<h2>{verdicts.TITLE}</h2>{table}"


def _section(root: Path, experiment: Experiment, rows: list[store.Row]) -> str:
    views = [build(experiment, table, rows) for table in experiment.tables]
    if not any(line.cells for view in views for line in view.lines):
        return ""
    views = [view for view in views if view.told]
    by_id = {row["run_id"]: row for row in rows}
    parts = [
        f'<section id="{experiment.name}"><h2>{html.escape(experiment.title)}</h2><p>{html.escape(experiment.paper)}</p>'
    ]
    parts += [_table(view, by_id, experiment) for view in views]
    parts += [_figure(experiment, plot, rows) for plot in experiment.plots]
    parts.append(_pictures(root, experiment))
    return "".join(parts) + "</section>"


def _meaning(experiment: Experiment, column: Column) -> str:
    metric = experiment.metric(column.metric)
    return html.escape(metric.help) if metric else ""


def _table(view: View, rows: dict[str, store.Row], experiment: Experiment) -> str:
    columns = shown_columns(view)
    heads = "".join(f'<th class="label">{html.escape(name)}</th>' for name in view.labels)
    heads += "".join(
        f'<th{" class=paper" if paper else ""} title="{_meaning(experiment, column)}">'
        f"{html.escape(header(column, paper, view))}</th>"
        for column, paper in columns
    )
    lines = []
    for line in view.lines:
        cells = "".join(
            f'<td class="label">{EMPTY if line.labels[n] is None else html.escape(str(line.labels[n]))}</td>'
            for n in view.labels
        )
        for column, paper in columns:
            digits = digits_of(view, column.metric)
            if paper:
                entry = line.paper.get(column.name)
                said = paper_text(entry, digits)
                cells += f'<td class="paper" title="{html.escape(entry.source if entry else "")}">{said}</td>'
            else:
                cell = line.cells.get(column.name)
                source = f"{', '.join(cell.runs[:5])}; {cell.device}" if cell else ""
                cells += f'<td title="{html.escape(source)}">{html.escape(cell_text(cell, digits))}</td>'
        lines.append(f"<tr>{cells}</tr>")
    notes = "".join(f"<li>{_code(note)}</li>" for note in footnotes(view))
    return (
        f"<h3>{html.escape(view.id)}: {html.escape(view.title)}</h3>"
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
        f'<ul class="notes">{notes}</ul>{_sources(view, rows)}'
    )


def _code(note: str) -> str:
    parts = html.escape(note).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _sources(view: View, rows: dict[str, store.Row]) -> str:
    """Run, seed, commit and device behind a table."""
    used = sorted({run for line in view.lines for cell in line.cells.values() for run in cell.runs})
    items = []
    for run in used:
        row = rows[run]
        commit = (row["code"]["commit"] or "no commit")[:10] + (" (with changes)" if row["code"]["dirty"] else "")
        items.append(f"<li><code>{html.escape(run)}</code>, commit {commit}, {html.escape(row['device']['name'])}</li>")
    return f"<details><summary>{len(used)} runs behind this table</summary><ul>{''.join(items)}</ul></details>"


def _figure(experiment: Experiment, plot: Plot, rows: list[store.Row]) -> str:
    from matplotlib import pyplot

    shown = points(experiment, plot, rows)
    if not shown:
        return ""
    out = io.BytesIO()
    figure = render(plot, shown, roofs(experiment, plot, rows))
    figure.savefig(out, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
    marks = ", ".join(f"{MARKS[kind]} {kind}" for kind in sorted({p.evidence for p in shown}) if MARKS[kind])
    caption = html.escape(f"{experiment.name}.{plot.id}" + (f" ({marks})" if marks else ""))
    return f"<figure>{_img(out.getvalue(), 'image/png', plot.title)}<figcaption>{caption}</figcaption></figure>"


def _pictures(root: Path, experiment: Experiment) -> str:
    """Pictures that the newest finished run with any has left."""
    for folder in reversed(store.run_folders(root, experiment.name)):
        if store.state(folder) != "ok":
            continue
        found = sorted(path for path in (folder / "artifacts").rglob("*") if path.suffix.lower() in PICTURES)
        found = [path for path in found if path.stat().st_size <= LARGEST_PICTURE][:PICTURES_EACH]
        if found:
            items = "".join(
                f"<figure>{_img(path.read_bytes(), PICTURES[path.suffix.lower()], path.name)}"
                f"<figcaption>{html.escape(path.name)}, run {html.escape(folder.name)}</figcaption></figure>"
                for path in found
            )
            return f'<h3>Samples</h3><div class="pictures">{items}</div>'
    return ""


def _img(data: bytes, kind: str, alt: str) -> str:
    return f'<img src="data:{kind};base64,{base64.b64encode(data).decode()}" alt="{html.escape(alt)}" loading="lazy">'

"""Reports that draw charts: one self-contained HTML file, PDF, and a zip of PNG and SVG.

Called by the engine through the entry points in pyproject.toml, with a `cfa.tables.documents.Report`. The
HTML file carries plotly with it and asks for nothing: it opens offline.
"""

import base64
import dataclasses
import html
import re
import urllib.parse
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app import charts, tables, texts, wording
from app.browsers import print_page, run_page
from app.offline_page import chart_page, picture_page

MOST_CLASSES = 20
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2333; max-width: 1100px; margin: 2rem auto }
body { padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem } h3 { font-size: 1rem; margin-bottom: 0 }
p.says { color: #5b6475; margin: .2rem 0 }
table { border-collapse: collapse; font-size: 13px } div.wide { overflow-x: auto }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #dde1ea; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
pre { background: #f4f6fa; padding: .8rem; overflow-x: auto; font-size: 12px }
@media print { h2, h3 { break-after: avoid } .chart, table { break-inside: avoid } }
"""


# --- formats --------------------------------------------------------------------------------------


def write_html(report: Any, file: Path) -> None:
    """Write one HTML file with interactive charts that asks for nothing else."""
    file.write_text(page(report), encoding="utf-8")


def write_pdf(report: Any, file: Path) -> None:
    """Print the HTML report to PDF with the machine's Chromium.

    Raises:
        ValueError: There is none, or it failed.
    """
    print_page(page(report), file)


def write_charts(report: Any, file: Path) -> None:
    """Write every chart as PNG and SVG into a zip, drawn by plotly in the machine's Chromium.

    Raises:
        ValueError: There is none, or it failed.
    """
    drawn = {name: figure.to_json() for name, (_, _, figure) in figures(report).items()}
    made = run_page(picture_page(drawn))
    pictures = dict(re.findall(r'<pre id="([\w-]+\.(?:png|svg))">data:([^<]*)</pre>', made))
    if len(pictures) != 2 * len(drawn):
        raise ValueError(f"the browser drew {len(pictures)} of {2 * len(drawn)} pictures; try again")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, address in pictures.items():
            packed.writestr(name, _content(html.unescape(address)))


def _content(address: str) -> bytes:
    """Read what a `data:` address holds."""
    kind, _, text = address.partition(",")
    return base64.b64decode(text) if kind.endswith(";base64") else urllib.parse.unquote_to_bytes(text)


# --- charts ---------------------------------------------------------------------------------------

Styles = dict[str, charts.SeriesStyle]
Figures = dict[str, tuple[str, str, go.Figure]]


def figures(report: Any) -> Figures:
    """Draw the charts of a report: name -> (title, what it shows, figure)."""
    drawn: Figures = {}
    groups = groups_of(report)
    styles = charts.series_styles([(group.key, group.method) for group in groups], report.family)
    for number, condition in enumerate(measured(report)):
        models = tables.model_summary(condition.of(report.seeds.kept), groups, report.name)
        counted = report.seeds.of(condition.of(report.comparison.per_class))
        scores = tables.class_scores(counted, groups, report.name)
        drawn |= _of_condition(f"{number + 1}", condition.title, models, scores, styles)
    return {name: (title, says, _plain(figure)) for name, (title, says, figure) in drawn.items()}


def _of_condition(
    prefix: str, title: str, models: pd.DataFrame, scores: pd.DataFrame, styles: Styles
) -> Figures:
    found: Figures = {
        f"{prefix}-mean-against-worst": (
            f"Mean against worst class: {title}",
            "Circle: online, square: EMA, diamond: FAWA. Up and to the right is better.",
            charts.mean_against_worst(models, styles),
        )
    }
    for measure, words in (("worst", "Worst class"), ("mean", "Mean of classes")):
        found[f"{prefix}-{measure}-by-weights"] = (
            f"{words} with online, EMA and FAWA weights: {title}",
            "Whiskers: 95 % intervals of one run, ± one standard deviation over several seeds.",
            charts.averaging(models, measure),
        )
    for weights in [kind for kind in ("online", "fawa", "file") if kind in set(scores["weights"])]:
        chosen = scores[scores["weights"] == weights]
        hardest = chosen.groupby("class_index")["accuracy"].mean().nsmallest(MOST_CLASSES).index
        found[f"{prefix}-classes-{weights}"] = (
            f"Accuracy per class, {charts.WEIGHTS_TITLES.get(weights, weights)} weights: {title}",
            "Whiskers as above." + _fewer(len(hardest), chosen["class_index"].nunique()),
            charts.class_bars(chosen[chosen["class_index"].isin(hardest)], styles),
        )
    return found


def _fewer(shown: int, total: int) -> str:
    return f" The {shown} hardest of {total} classes." if shown < total else ""


def groups_of(report: Any) -> list[tables.Group]:
    """Shape the report's experiments as the dashboard's charts take them."""
    return [
        tables.Group(
            str(number),
            experiment.runs[0].config.method,
            experiment.label,
            tuple(
                tables.ComparedRun(run.id, run.name, run.config.method, run.config.seed, str(number))
                for run in experiment.runs
            ),
        )
        for number, experiment in enumerate(report.experiments)
    ]


def measured(report: Any) -> list[tables.Condition]:
    """List what was measured, the strongest attack first; checkpoints of the last epoch are left out."""
    return [c for c in tables.conditions(report.comparison.per_class) if c.checkpoint != "last"]


def _plain(figure: go.Figure) -> go.Figure:
    """Give a figure the look that Streamlit's theme gives it on the screen; its texts are only texts."""
    figure = charts.harmless(figure)
    figure.update_layout(
        template="plotly_white", paper_bgcolor="white", plot_bgcolor="white", font={"size": 13}
    )
    return figure


# --- the page -------------------------------------------------------------------------------------


def page(report: Any) -> str:
    """Write the whole page."""
    shown = figures(report)
    parts = [
        f"<h1>{_text(report.title)}</h1>",
        f"<p class='says'>Made {_text(wording.moment(report.created))} with CFA Studio. {_text(about())}</p>",
        *(f"<p><b>{_text(mark)}</b></p>" for mark in report.marks),
        "<h2>At a glance</h2>",
        _table(overview(report)),
        f"<h2>What is certain, against {_text(report.baseline.label)}</h2>",
        "<p class='says'>Differences in percentage points, with 95 % intervals. One run of each compares two "
        "checkpoints; only several seeds of both say something about the methods.</p>",
        _statements(report),
        "<h2>Charts</h2>",
        *(_chart(name, title, says) for name, (title, says, _) in shown.items()),
        "<h2>Every class</h2>",
        _table(classes(report)),
        "<h2>Fairness metrics</h2>",
        _table(metrics(report)),
        "<h2>Again</h2>",
        f"<pre>{chr(10).join(map(_text, report.commands))}</pre>",
    ]
    drawn = {f"chart-{name}": figure.to_json() for name, (_, _, figure) in shown.items()}
    return chart_page(report.title, STYLE, "".join(parts), drawn)


def about() -> str:
    """Say what the numbers are."""
    return (
        "Mean over classes and worst class; in brackets 95 % intervals over test images, the worst class's "
        "for all classes at once."
    )


def overview(report: Any) -> pd.DataFrame:
    """Tabulate mean and worst class of every run, kind of weights and attack."""
    summary = report.grouped
    table = pd.DataFrame(
        {
            "run": _run_names(summary),
            "model": [report.name(m, w) for m, w in zip(summary["method"], summary["weights"], strict=True)],
            "checkpoint": summary["checkpoint"],
            "attack": _measured_as(report, summary),
            "mean": _with_interval(summary, "mean_accuracy", "mean"),
            "worst class": _with_interval(summary, "worst_accuracy", "worst"),
            "which": summary["worst_class"],
            "images": [f"{total:,}" for total in summary["total"]],
        }
    )
    for part in tables.CLASS_GROUPS:
        if part in summary:
            table[part] = [wording.percent(value) if value == value else "" for value in summary[part]]
    return table


def _with_interval(summary: pd.DataFrame, value: str, ends: str) -> list[str]:
    return [
        f"{wording.percent(middle)} [{100 * low:.1f}, {100 * high:.1f}]"
        for middle, low, high in summary[[value, f"{ends}_ci_low", f"{ends}_ci_high"]].to_numpy(float)
    ]


def classes(report: Any) -> pd.DataFrame:
    """Tabulate every class: a row per class and condition, a column per run and kind of weights."""
    frame = report.comparison.per_class
    frame = frame[frame["checkpoint"] != "last"]
    named = frame.assign(
        column=[" · ".join(each) for each in zip(_run_names(frame), frame["weights"], strict=True)],
        attack=_measured_as(report, frame),
        shown=[wording.percent(value) for value in frame["accuracy"]],
    )
    # Of two numbers for one place none is taken: `pivot` raises.
    wide: pd.DataFrame = named.pivot(
        index=["class_index", "class_name", "attack"], columns="column", values="shown"
    )
    return wide.fillna("").reset_index().drop(columns="class_index").rename(columns={"class_name": "class"})


def metrics(report: Any) -> pd.DataFrame:
    """Tabulate the fairness metrics under attack."""
    frame: pd.DataFrame = report.fairness[report.fairness["norm"] != "none"]
    table = frame[["weights", "checkpoint"]]
    table.insert(0, "run", _run_names(frame))
    table["attack"] = _measured_as(report, frame)
    for name in frame.columns[list(frame.columns).index("eps") + 1 :]:
        table[name.replace("_", " ")] = [f"{value:.3f}" if value == value else "" for value in frame[name]]
    return table


def _measured_as(report: Any, frame: pd.DataFrame) -> list[str]:
    """Say of each row what it was measured on and with."""
    several = _several_data_sets(report)
    rows = frame[["dataset", "attack", "norm", "eps"]].itertuples(index=False, name=None)
    return [_heading(several, *row) for row in rows]


def _several_data_sets(report: Any) -> bool:
    return bool(report.comparison.summary["dataset"].nunique() > 1)


def _heading(several: bool, dataset: str, attack: str, norm: str, eps: float) -> str:
    """Say what was measured; on which data set only where the report has several."""
    return wording.condition(attack, norm, eps) + (f" on {dataset}" if several else "")


def _run_names(frame: pd.DataFrame) -> list[str]:
    """Return each row's run by its name, or with its id where several have one name."""
    names = frame[["run_id", "run_name"]].drop_duplicates()["run_name"].value_counts()
    pairs = frame[["run_id", "run_name"]].itertuples(index=False, name=None)
    return [name if names[name] == 1 else f"{name} ({run_id})" for run_id, name in pairs]


def _statements(report: Any) -> str:
    several = _several_data_sets(report)
    lines = [
        f"<li><b>{_text(label)}</b>, {_text(_heading(several, *dataclasses.astuple(s.heading)))}, "
        f"{_text(s.weights)}: {_text(s.words)} ({_text(s.basis)})</li>"
        for label, found in report.statements.items()
        for s in found
    ]
    return f"<ul>{''.join(lines)}</ul>" if lines else "<p>Nothing: the sides were not measured alike.</p>"


def _chart(name: str, title: str, says: str) -> str:
    return (
        f"<div class='chart'><h3>{_text(title)}</h3><p class='says'>{_text(says)}</p>"
        f"<div id='chart-{name}'></div></div>"
    )


def _table(frame: pd.DataFrame) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in frame.columns)
    rows: Sequence[Sequence[object]] = frame.to_numpy().tolist()
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _text(value: object) -> str:
    return html.escape(texts.readable(value))

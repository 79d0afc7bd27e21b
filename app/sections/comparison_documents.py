"""A comparison as documents to take along."""

import shlex
from functools import partial

import streamlit as st

from app import access, elements
from app.engine import comparison_reports
from app.sections import comparison_choice

REPORTS = {
    ".html": ("HTML", "text/html", "One file with interactive charts; opens offline."),
    ".pdf": ("PDF", "application/pdf", "The HTML report, printed."),
    ".tex": ("LaTeX", "application/x-tex", "A booktabs table: best in bold, spread over seeds."),
    ".md": ("Markdown", "text/markdown", "Table, what is certain, and the commands that make it again."),
    ".zip": ("PNG and SVG", "application/zip", "Every chart as a picture."),
}


def reports_section(comparison: comparison_choice.Compared) -> None:
    """Offer the comparison as documents; they are made when they are asked for."""
    st.subheader("Take it along")
    if problem := comparison_reports.report_problem(comparison.runs):
        st.caption(f"There is no report. {elements.sentence(problem)}")
        return
    base = comparison.first_baseline.members[0].run_id
    hindrance = ""
    if not access.may_start():
        hindrance = "It starts a browser on the dashboard's machine; only those who may start can ask for it."
    elif not comparison_reports.has_browser():
        hindrance = "It takes a Chromium on the dashboard's machine; install one."
    with st.container(horizontal=True):
        for ending, (label, kind, says) in REPORTS.items():
            printed = ending in comparison_reports.PRINTED
            missing = bool(printed and hindrance)
            make = (
                comparison_reports.print_report
                if printed and not missing
                else partial(partial, comparison_reports.report)
            )
            st.download_button(
                label,
                b"" if missing else make(comparison.runs, base, ending),
                f"comparison{ending}",
                kind,
                icon=":material/description:",
                key=f"report_{ending[1:]}",
                on_click="ignore",
                disabled=missing,
                help=hindrance if missing else says,
            )
    names = shlex.join(run.name for run in comparison.runs)
    against = shlex.quote(comparison.first_baseline.members[0].run_name)
    said = "The same from a terminal:"
    if len({pair.baseline.key for pair in comparison.pairs}) > 1:
        said = (
            "These documents set every run beside one baseline, where this page takes each one's own plain "
            f"version. {said}"
        )
    st.caption(said)
    st.code(f"cfa compare {names} --baseline {against} --out report.html", language=None, wrap_lines=True)

"""Home: what this is, the demo in one press, and the results that ship with the project."""

import streamlit as st

from app import access, cards, charts, elements, table_columns, tables, texts, wording
from app.engine import demo, evaluated, snapshots, training_settings
from app.job_news import tell_ends
from app.sections import headline, page_tools, queue_table, series_colours

WHAT_THIS_IS = (
    "Adversarially trained classifiers look fine on average and fail on their hardest class. "
    "CFA Studio trains class-wise calibrated fair adversarial training (CFA, CVPR 2023) beside PGD-AT, "
    "TRADES and FAT, attacks the results, and shows class by class what happened. "
    "Everything runs on this machine, and everything you see can be exported as CSV."
)
DEMO = (
    "Trains {methods} on 10,000 real images (Fashion-MNIST), tests each "
    "with PGD-20 and compares them class by class. About ten minutes on two cores, no GPU needed."
)


def demo_card() -> None:
    with st.container(border=True):
        st.subheader("See it for yourself")
        *others, last = demo.demo_methods()
        st.write(DEMO.format(methods=f"{', '.join(others)} and {last}"))
        chain = demo.demo_jobs()
        under_way = any(job.state in ("queued", "running") and not job.blocked_by for job in chain)
        with st.container(horizontal=True):
            st.button(
                "Run the demo comparison",
                type="primary",
                icon=":material/play_arrow:",
                disabled=under_way or not access.may_start(),
                key="run_demo",
                on_click=elements.attempt,
                args=(demo.start_demo,),
                help="A demo is already under way; stop it first." if under_way else None,
            )
            if under_way:
                st.button(
                    "Stop the demo",
                    icon=":material/stop:",
                    disabled=not access.may_start(),
                    key="stop_demo",
                    on_click=elements.attempt,
                    args=(demo.stop_demo,),
                    help="What was trained so far is kept, and can be resumed on Monitor.",
                )
        if chain:
            every = elements.LIVE_SECONDS if under_way else None
            st.fragment(demo_progress, run_every=every)(elements.states_signature())


@elements.explained_errors()
def demo_progress(drawn: tuple[tuple[str, str], ...]) -> None:
    elements.rerun_when_states_change(drawn)
    chain = demo.demo_jobs()
    if any(job.state in ("queued", "running") for job in chain):
        said = " · ".join(queue_table.end_words(demo.end_of_demo()))
        st.caption(f"A demo is under way: {said}." if said else "A demo is under way.")
    tell_ends((job.id, texts.readable(job.title), job.state) for job in chain)
    for job in chain:
        run = snapshots.find_run(job.run_id) if job.run_id else None
        elements.job_line(job, run.title if run else "Comparison", run.name if run else "")
    links(chain)


def links(chain: list[snapshots.Job]) -> None:
    trained = [job for job in chain if job.trains and job.state == "done"]
    runs = [run.id for job in trained if (run := snapshots.find_run(job.run_id or ""))]
    with st.container(horizontal=True):
        st.page_link("views/monitor.py", label="Watch on Monitor", icon=":material/monitor_heart:")
        if len(runs) >= 2:
            st.page_link(
                "views/compare.py",
                label=f"Compare {wording.count(len(runs), 'run')}",
                icon=":material/compare_arrows:",
                query_params={"runs": runs},
            )


def shipped_results() -> None:
    st.subheader("Results that ship with CFA Studio")
    shipped = [run for run in snapshots.runs() if run.read_only and not run.problem]
    results = evaluated.results(shipped)
    found = tables.conditions(results.per_class)
    if not found:
        st.caption("None are installed in this copy. The demo above makes your own in a few minutes.")
        return
    measured = set(found[0].of(results.summary)["run_id"])
    alike = [run for run in shipped if run.id in measured]
    groups = tables.make_groups([run.member for run in alike], evaluated.reported_title, merge_seeds=True)
    seeds = evaluated.averaged(
        found[0].of(results.summary), {m.run_id: group.key for group in groups for m in group.members}
    )
    models = tables.model_summary(seeds.kept, groups, training_settings.display_name)
    styles = series_colours.styles_of(
        [series_colours.Series(group.key, group.title, group.method) for group in groups]
    )
    left, right = st.columns([3, 2])
    with left:
        cards.show_card(
            cards.Card(
                "Mean against worst class",
                "shipped_scatter",
                charts.mean_against_worst(models, styles),
                f"{found[0].title}. Several seeds are one point: mean and standard deviation over seeds. "
                "Circle: online weights, square: EMA, diamond: FAWA.",
            )
        )
    with right:
        shown = elements.percent_columns(models, ["mean", "worst"])[
            ["series", "mean", "worst", "worst_class", "images"]
        ].sort_values("worst", ascending=False)
        st.dataframe(
            shown,
            hide_index=True,
            height="content",
            column_config={
                "series": st.column_config.TextColumn("Method", width="medium"),
                "mean": elements.percent_column("Mean"),
                "worst": elements.percent_column("Worst class"),
                "worst_class": "Which",
                "images": table_columns.count_column("Images"),
            },
        )
    st.page_link(
        "views/compare.py",
        label="Open them in Compare",
        icon=":material/compare_arrows:",
        query_params={"runs": [run.id for run in alike]},
    )


st.title("CFA Studio")
st.markdown(WHAT_THIS_IS)
headline.show_headline()
demo_card()
page_tools.list_views()
shipped_results()

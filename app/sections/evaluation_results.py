"""What evaluations of some runs came to: a chart with clean beside attacked, a table, and each evaluation."""

import pandas as pd
import streamlit as st

from app import cards, charts, elements, fields, table_columns, tables, texts, wording
from app.engine import budgets, evaluated, run_folders, snapshots, training_settings
from app.sections import series_colours

MOST_CLASSES = 20
MOST_SERIES = 6
MOST_EVALUATIONS = 8
VERDICTS = {True: ":green[passed]", False: ":red[failed]", None: ":gray[not made]"}
OWN = "own"


def show_results(chosen: list[snapshots.Run]) -> None:
    """Show what counts of the runs' evaluations, then each of them."""
    whose = texts.plain(chosen[0].name) if len(chosen) == 1 else wording.count(len(chosen), "run")
    st.subheader(f"Results of {whose}")
    results = evaluated.results(chosen)
    for problem in results.problems:
        st.warning(elements.sentence(problem), icon=":material/warning:")
    readable = [run for run in chosen if not any(run.id in problem for problem in results.problems)]
    for finding in evaluated.findings(readable):
        st.warning(elements.sentence(finding), icon=":material/info:")
    elements.gate_notes(chosen)
    found = tables.conditions(results.per_class)
    if found:
        show_measured(chosen, results, found)
    elif not any(map(evaluated.evaluations, readable)):
        st.caption("These runs have no test results yet; start an evaluation above.")
    show_evaluations(readable)


# --- what counts ----------------------------------------------------------------------------------


def show_measured(
    chosen: list[snapshots.Run], results: evaluated.Results, found: list[tables.Condition]
) -> None:
    """Draw and tabulate one measurement class by class, beside clean accuracy on the same images."""
    left, middle, right = st.columns([4, 3, 3])
    condition = elements.choose_condition(
        found, key="evaluate_condition", was="evaluate_condition", place=left
    )
    groups = tables.make_groups([run.member for run in chosen], evaluated.reported_title, merge_seeds=False)
    elements.not_in_tables(results.left_out)
    attacked, clean = (
        tables.class_scores(condition.of(frame), groups, training_settings.display_name)
        for frame in (results.per_class, results.clean)
    )
    with middle:
        wanted = choose_weights(chosen, attacked)
    with right:
        names = list(dict.fromkeys(attacked["class_name"]))
        classes = fields.multiselect(
            "Classes",
            {name: name for name in names},
            name="classes",
            key="evaluate_classes",
            placeholder="all",
        )
    attacked, clean = (only(frame, wanted, classes) for frame in (attacked, clean))
    if attacked.empty:
        st.caption("Nothing is left with these filters.")
        return
    show_chart(condition, attacked, clean)
    parts = {run_folders.class_groups(run) for run in chosen}
    show_scores(attacked, clean, next(iter(parts)) if len(parts) == 1 else ())


def choose_weights(chosen: list[snapshots.Run], scores: pd.DataFrame) -> set[tuple[str, str]]:
    """Ask for kinds of weights; return the pairs of run and kind."""
    pairs = list(dict.fromkeys(zip(scores["group"], scores["weights"], strict=True)))
    own = {run.id: evaluated.own_weights(run) for run in chosen}
    of_own = [pair for pair in pairs if pair[1] in (own.get(pair[0]), "file")]
    kinds = [*([OWN] if of_own else []), *dict.fromkeys(weights for _, weights in pairs)]
    asked = fields.pills(
        "Weights",
        {kind: charts.WEIGHTS_TITLES.get(kind, kind) for kind in kinds},
        name="weights",
        default=kinds[:1],
        key="evaluate_shown_weights",
        help="Each method's own: FAWA for a CFA method whose gate ever opened, else online.",
    )
    return {pair for pair in pairs if pair[1] in asked or (OWN in asked and pair in of_own)}


def only(frame: pd.DataFrame, wanted: set[tuple[str, str]], classes: list[str]) -> pd.DataFrame:
    """Keep the rows of some pairs of run and weights, and of some classes."""
    pairs = zip(frame["group"], frame["weights"], strict=True)
    kept = frame[[pair in wanted for pair in pairs]]
    return kept[kept["class_name"].isin(classes)] if classes else kept


def show_chart(condition: tables.Condition, attacked: pd.DataFrame, clean: pd.DataFrame) -> None:
    """Draw clean beside attacked accuracy, a pair of bars for every class and model."""
    series = list(dict.fromkeys(attacked["series"]))
    hardest = tables.hardest_classes(attacked, "", MOST_CLASSES)
    drawn = attacked[attacked["class_index"].isin(hardest) & attacked["series"].isin(series[:MOST_SERIES])]
    beside = clean[clean["class_index"].isin(hardest)] if condition.norm != "none" else clean.iloc[:0]
    note = f"{condition.title}; hatched: clean, on the same images; whiskers: 95 % Wilson intervals."
    if drawn["images"].nunique() == 1:
        note += f" {wording.count(int(drawn['images'].iloc[0]), 'image')} a class."
    if attacked["class_index"].nunique() > len(hardest):
        note += f" The {MOST_CLASSES} hardest of {attacked['class_index'].nunique()} classes."
    if len(series) > MOST_SERIES:
        note += f" The first {MOST_SERIES} of {len(series)} models; the table has all."
    cards.show_card(
        cards.Card(
            "Accuracy per class" if beside.empty else "Clean and attacked accuracy per class",
            "evaluate_bars",
            charts.clean_beside_attacked(drawn, beside, styles_of(drawn)),
            note,
            own_table=True,
        )
    )


def styles_of(scores: pd.DataFrame) -> dict[str, charts.SeriesStyle]:
    """Style every series by the method of its run; those of one method in several shades."""
    runs = scores.drop_duplicates("series").set_index("series")["group"]
    found = {series: snapshots.find_run(run_id) for series, run_id in runs.items()}
    return series_colours.styles_of(
        [
            series_colours.Series(str(series), str(series), run.method if run else "")
            for series, run in found.items()
        ]
    )


def show_scores(attacked: pd.DataFrame, clean: pd.DataFrame, parts: tuple[str, ...]) -> None:
    """Show every class, and before them mean and worst; with groups where all runs have one long tail."""
    table = with_clean(attacked, clean)
    if parts:
        table = table.assign(part=table["class_index"].map(pd.Series(parts)))
    table = pd.concat(
        [block for _, rows in table.groupby("series", sort=False) for block in (whole(rows), rows)]
    )
    percent = elements.percent_columns(table, ["clean", "accuracy", "low", "high"])
    ends = zip(table["low"], table["high"], strict=True)
    percent["range"] = ["" if pd.isna(low) else wording.percent_range(low, high) for low, high in ends]
    columns = ["class_name", "accuracy", "range", "clean"]
    columns[1:1] = ["series"] if table["series"].nunique() > 1 else []
    columns += ["part"] if parts else []
    # What is the same of all classes stands above the chart.
    columns += ["images"] if attacked["images"].nunique() > 1 else []
    st.dataframe(
        percent[[*columns, *({"series", "low", "high", "images"} - set(columns))]],
        hide_index=True,
        column_order=columns,
        placeholder="–",
        width="content" if "series" not in columns else "stretch",
        height="content" if len(table) <= 40 else "auto",
        key="evaluate_table",
        column_config={
            "class_name": st.column_config.TextColumn("Class", pinned=True),
            "series": "Model",
            "range": st.column_config.TextColumn("95 % interval", help=table_columns.INTERVAL_HELP),
            "part": "Group",
            "clean": elements.percent_column("Clean", help="Without an attack, on the same images."),
            "accuracy": elements.percent_column("Attacked"),
            "images": table_columns.count_column("Images"),
        },
    )


def with_clean(attacked: pd.DataFrame, clean: pd.DataFrame) -> pd.DataFrame:
    """Put clean accuracy on the same images beside attacked accuracy."""
    keys = ["group", "weights", "class_index"]
    beside = clean.set_index(keys)["accuracy"].rename("clean")
    return attacked.join(beside, on=keys)


def whole(rows: pd.DataFrame) -> pd.DataFrame:
    """Reduce a model's classes to two rows: their mean, and the worst."""
    worst = rows.iloc[int(rows["accuracy"].to_numpy().argmin())]
    mean = {"class_name": "mean of classes", "images": rows["images"].sum()}
    mean |= {name: rows[name].mean() for name in ("clean", "accuracy")}
    of_worst = {**worst, "class_name": f"worst class: {worst['class_name']}"}
    return pd.DataFrame([{"series": worst["series"], **mean}, of_worst])


# --- each evaluation ------------------------------------------------------------------------------


def show_evaluations(chosen: list[snapshots.Run]) -> None:
    """Show each evaluation with what must be known about it, and the way to its images."""
    found = [(run, evaluation) for run in chosen for evaluation in evaluated.evaluations(run)]
    found.sort(key=lambda pair: pair[1].created, reverse=True)
    if found:
        st.markdown("**Each evaluation, with the way to its images**")
    for run, evaluation in found[:MOST_EVALUATIONS]:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            name = f"**{texts.plain(run.name)}** · " if len(chosen) > 1 else ""
            title = elements.evaluation_title(evaluation, evaluated.of_old_weights(run))
            st.markdown(name + texts.plain(title), width="content")
            st.page_link(
                "views/sweep.py" if budgets.is_sweep(evaluation) else "views/classes.py",
                label="Sweep" if budgets.is_sweep(evaluation) else "Classes and images",
                icon=":material/show_chart:" if budgets.is_sweep(evaluation) else ":material/grid_on:",
                query_params={"runs" if budgets.is_sweep(evaluation) else "run": run.id}
                | {"evaluation": evaluation.id},
            )
        for finding in evaluation.findings:
            st.warning(elements.sentence(finding), icon=":material/info:")
        show_checks(evaluation)
    if len(found) > MOST_EVALUATIONS:
        st.caption(f"And {len(found) - MOST_EVALUATIONS} older ones; Classes has them all.")


def show_checks(evaluation: evaluated.Evaluation) -> None:
    """Tabulate the verdicts of a sanity checklist."""
    if not evaluation.checks:
        return
    failed = [check for check in evaluation.checks if check.passed is False]
    made = [check for check in evaluation.checks if check.passed is not None]
    if failed:
        st.error(
            f"{len(failed)} of {wording.count(len(made), 'check')} failed: do not trust the numbers yet.",
            icon=":material/gpp_bad:",
        )
    else:
        st.success(f"All {wording.count(len(made), 'check')} passed.", icon=":material/verified_user:")
    rows = [
        {
            "What should hold": texts.plain(check.name[:1].upper() + check.name[1:]),
            "Verdict": VERDICTS[check.passed],
            "Accuracies": ", ".join(
                f"{texts.plain(wording.attack_title(name))} {wording.percent(share)}"
                for name, share in check.numbers.items()
            ),
            "A failure means": texts.plain(check.meaning),
        }
        for check in evaluation.checks
    ]
    with st.expander("The checks", expanded=bool(failed), icon=":material/checklist:"):
        st.table(pd.DataFrame(rows).set_index("What should hold"))

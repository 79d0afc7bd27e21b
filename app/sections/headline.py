"""One finding from what is in the store, for Home: what the newest runs that belong together carry."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app import charts, tables, texts
from app.engine import demo, evaluated, runs_together, snapshots, verdicts

NOTHING_YET = (
    "Nothing can be said yet: it takes a method and its plain version, trained alike and tested. "
    "The demo makes both."
)


@dataclass(frozen=True)
class Headline:
    """A method against its plain version.

    Attributes:
        title: What is compared with what.
        condition: What both were measured with.
        verdict: What the comparison carries, each side with the weights that it is reported with.
        same_weights: The same with the method's own kind of weights on both sides, where that is another one.
        runs: Ids of the runs of both.
    """

    title: str
    condition: tables.Condition
    verdict: verdicts.PairVerdict
    same_weights: verdicts.PairVerdict | None
    runs: tuple[str, ...]


def show_headline() -> None:
    """Say what is certain about the newest methods of one's own, else of the shipped ones."""
    usable = snapshots.usable_runs()
    own = finding([run for run in usable if not run.read_only])
    found = own or finding([run for run in usable if run.read_only])
    st.subheader("What your newest runs say" if own else "What the shipped runs say")
    if found is None:
        st.caption(NOTHING_YET)
        return
    st.markdown(f"**{texts.plain(found.title)}**: {texts.plain(_said(found.verdict))}")
    if found.same_weights is not None:
        kind = charts.WEIGHTS_TITLES[found.same_weights.weights[0]]
        line = f"**{kind} weights of both**, so that averaging is no part of it:"
        st.markdown(f"{line} {texts.plain(_said(found.same_weights))}")
    basis = verdicts.basis(found.verdict)
    st.caption(texts.plain(f"{found.condition.title}. {basis[:1].upper()}{basis[1:]}."))
    st.page_link(
        "views/compare.py",
        label="See it on Compare",
        icon=":material/compare_arrows:",
        query_params={"runs": list(found.runs)},
    )


def _said(verdict: verdicts.PairVerdict) -> str:
    return f"{verdicts.first_line(verdict)} {verdicts.figures(verdict)}"


def finding(runs: Sequence[snapshots.Run]) -> Headline | None:
    """Judge one pair of the newest runs that belong together; ``None`` where nothing can be said of any.

    Which pair is decided before anybody looks at its figures: the one with most seeds, of equals the last one
    that the demo trains.

    Args:
        runs: Newest first.
    """
    together = runs_together.newest_together(runs)
    sides: dict[str, list[snapshots.Run]] = {}
    for run in together:
        sides.setdefault(run.method, []).append(run)
    pairs = [
        (treated, sides[plain])
        for method, treated in sides.items()
        if (plain := verdicts.compared_with(method)) != method and plain in sides
    ]
    pairs.sort(key=lambda pair: (min(map(len, pair)), demo.is_in_demo(pair[0][0].method)))
    for of_method, of_plain in reversed(pairs):
        if found := _judged(together, of_method, of_plain):
            return found
    return None


def _judged(
    together: Sequence[snapshots.Run], run: Sequence[snapshots.Run], baseline: Sequence[snapshots.Run]
) -> Headline | None:
    if verdicts.refusal(run, baseline):
        return None
    weights = evaluated.common_own_weights(run), evaluated.common_own_weights(baseline)
    titles = [evaluated.reported_title([one.member for one in side]) for side in (run, baseline)]
    for condition in tables.conditions(evaluated.results(together).per_class):
        if condition.norm == "none":
            continue
        if verdict := verdicts.verdict(together, run, baseline, condition, weights):
            ids = tuple(one.id for one in (*baseline, *run))
            alike = (weights[0], weights[0])
            same = verdicts.verdict(together, run, baseline, condition, alike) if alike != weights else None
            title = f"{titles[0]} against {titles[1]}"
            if same is not None:
                title += " ({} against {} weights)".format(*(charts.WEIGHTS_TITLES[kind] for kind in weights))
            return Headline(title, condition, verdict, same, ids)
    return None

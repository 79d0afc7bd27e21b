"""The verdict of a comparison, first on its page: who gains, who pays, and whether it is certain."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from app import cards, charts, elements, fields, texts, wording
from app.engine import evaluated, verdicts
from app.sections import comparison_choice

MOST_CELLS = 20  # classes whose names and numbers fit beside each other
ORDERS = {"change": "By change", "class": "By class"}


@dataclass(frozen=True)
class Judged:
    """A pair, and what can be said about it.

    Attributes:
        pair: What is compared with what.
        verdict: ``None`` where there is none.
        why_not: Why there is none, a sentence.
        besides: What differs besides the method, in words.
        same_weights: The kind of weights of both sides, where that is not what both are reported with.
    """

    pair: comparison_choice.MethodPair
    verdict: verdicts.PairVerdict | None
    why_not: str
    besides: str
    same_weights: str = ""

    @property
    def title(self) -> str:
        """Name the pair."""
        return " against ".join(self.titles)

    @property
    def titles(self) -> tuple[str, str]:
        """Name both sides, with the seeds that count."""
        groups = (self.pair.group, self.pair.baseline)
        names = [group.title for group in groups]
        if self.verdict is not None and self.verdict.of_methods:
            names = [group.name for group in groups]
        if self.same_weights:
            kind = comparison_choice.KINDS[self.same_weights]
            return f"{names[0]}, same weights", f"{names[1]}, {kind} of both"
        if self.verdict is None or not self.verdict.of_methods:
            return names[0], names[1]
        counts = [wording.count(seeds, "seed") for seeds in self.verdict.seeds]
        return f"{groups[0].name} ({counts[0]})", f"{groups[1].name} ({counts[1]})"


def judged(comparison: comparison_choice.Compared) -> list[Judged]:
    """Judge every pair of methods; those of which only one network each is known come last.

    A method that is reported with other weights than what it is compared with is judged with equal ones as
    well: averaging alone moves classes, and is no part of what a rule does.
    """
    found = []
    for pair in comparison.methods:
        ours, theirs = comparison.weights_of(pair.group), comparison.weights_of(pair.baseline)
        reported = _judge(comparison, pair, (ours, theirs))
        found.append(reported)
        if ours != theirs and reported.verdict is not None:
            equal = replace(_judge(comparison, pair, (ours, ours)), same_weights=ours)
            found += [equal] if equal.verdict is not None else []
    return sorted(found, key=lambda one: one.verdict is not None and not one.verdict.of_methods)


def _judge(
    comparison: comparison_choice.Compared, pair: comparison_choice.MethodPair, weights: tuple[str, str]
) -> Judged:
    run, baseline = comparison.runs_of(pair.group), comparison.runs_of(pair.baseline)
    unlike = verdicts.unlike(run, baseline)
    if verdicts.compared_with(pair.group.method) == pair.baseline.method:
        unlike += verdicts.unlike_settings(run, baseline)
    if weights[0] != weights[1]:
        kinds = [comparison_choice.KINDS[kind] for kind in weights]
        unlike.insert(0, verdicts.Unlike("weights", *kinds))
    besides = [one.in_words for one in unlike]
    as_reported = weights == (comparison.weights_of(pair.group), comparison.weights_of(pair.baseline))
    besides += [
        f"in some seeds of {group.title} the gate never opened, so these are online weights of all"
        for group, side in ((pair.group, run), (pair.baseline, baseline))
        if comparison.weights == "own"
        and as_reported
        and len({evaluated.own_weights(one) for one in side}) > 1
    ]
    said = "; ".join(besides)
    if why := verdicts.refusal(run, baseline):
        return Judged(pair, None, why, said)
    found = verdicts.verdict(comparison.runs, run, baseline, comparison.condition, weights)
    if found is not None:
        return Judged(pair, found, "", said)
    sizes = (pair.group.seeds, pair.baseline.seeds)
    if 1 in sizes and sizes != (1, 1):
        why = (
            f"Nothing is said: {wording.count(sizes[0], 'seed')} against {wording.count(sizes[1], 'seed')}. "
            "It takes two or more of each, or one network of each."
        )
    else:
        why = "Nothing is said: these weights were not measured like this on both sides, or on other images."
    return Judged(pair, None, why, said)


def verdict_section(comparison: comparison_choice.Compared, pairs: Sequence[Judged]) -> None:
    """Say for every pair who gains and who pays, in a strip of classes and in a sentence."""
    for finding in evaluated.findings(comparison.runs):
        st.warning(elements.sentence(finding), icon=":material/info:")
    if comparison.weights == "own":
        elements.gate_notes(comparison.runs)
    if not pairs:
        st.info(
            "None of these methods is compared with another one here: choose its plain version too, or one "
            "baseline for all under “Compared with”.",
            icon=":material/balance:",
        )
        return
    methods = [one for one in pairs if one.verdict is None or one.verdict.of_methods]
    networks = [one for one in pairs if one not in methods]
    if methods:
        st.html(strip_table(methods, "Methods, over seeds"))
    if networks:
        st.html(strip_table(networks, "These two networks, not these two methods"))
    with st.container(key="verdict_words", gap="xsmall"):
        for one in sorted(pairs, key=lambda one: bool(one.same_weights)):
            st.markdown(_in_words(one))
    st.caption(texts.plain(_legend(comparison, pairs)))


def _in_words(one: Judged) -> str:
    title = f"**{texts.plain(one.title)}**: "
    if one.verdict is None:
        return title + texts.plain(one.why_not)
    said = [
        verdicts.first_line(one.verdict),
        verdicts.figures(one.verdict),
        verdicts.power(one.verdict),
        f"Differs besides the method: {one.besides}." if one.besides else "",
    ]
    return title + texts.plain(" ".join(filter(None, said)))


def _legend(comparison: comparison_choice.Compared, pairs: Sequence[Judged]) -> str:
    known = [one.verdict for one in pairs if one.verdict is not None]
    bases = "; ".join(dict.fromkeys(verdicts.basis(one) for one in known))
    count = wording.count(len(known), "pair")
    corrected = "" if len(known) < 2 else f" {count} are shown, which are not corrected against each other."
    return (
        f"{comparison.condition.title}. Filled: certain. Outlined: the same way in every seed, not certain. "
        "Neither: mixed. Points; mean and worst class with 95 % intervals. "
        f"{bases[:1].upper()}{bases[1:]}.{corrected}"
    )


# --- the strip ------------------------------------------------------------------------------------


def strip_table(pairs: Sequence[Judged], title: str) -> str:
    """Write pairs as rows of a table in HTML: mean, worst class, and a cell for every class."""
    head = "".join(
        f'<th scope="col">{html.escape(name)}</th>'
        for name in ("Method", "Mean", "Worst class", "Which", "Classes")
    )
    rows = "".join(f"<tr>{_row(one)}</tr>" for one in pairs)
    return (
        f'<div class="cfa-verdict"><table><caption>{html.escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(one: Judged) -> str:
    group, base = (html.escape(texts.readable(title)) for title in one.titles)
    named = f'<th scope="row">{group}<small>against {base}</small></th>'
    found = one.verdict
    if found is None:
        return f'{named}<td colspan="4" class="none">{html.escape(texts.readable(one.why_not))}</td>'
    ours, theirs = (html.escape(texts.readable(name)) for name in found.worst_classes)
    which = ours if ours == theirs else f"{ours}<small>was {theirs}</small>"
    cells = "".join(_cell(found, one) for one in found.classes)
    many = "" if len(found.classes) <= MOST_CELLS else " many"
    networks = "" if found.of_methods else " networks"
    return (
        f"{named}<td>{_figure(found.mean)}</td><td>{_figure(found.worst)}</td>"
        f'<td class="which">{which}</td>'
        f'<td><ol class="strip{many}{networks}">{cells}</ol></td>'
    )


def _figure(one: verdicts.Change) -> str:
    value, _, interval = verdicts.change(one).partition(" ")
    said = interval if one.interval else "no interval"  # why stands in the sentence
    return f"{html.escape(value)}<small>{html.escape(said)}</small>"


def _cell(found: verdicts.PairVerdict, one: verdicts.ClassChange) -> str:
    state = (
        "certain" if one.certain else "same-way" if found.of_methods and one.direction != "mixed" else "mixed"
    )
    way = "up" if one.difference > 0 else "down"
    name, value = html.escape(texts.readable(one.name, 40)), wording.points(one.difference)
    whole = f"{name}: {html.escape(verdicts.change(one))}, {STATES[state]}"
    inside = "" if len(found.classes) > MOST_CELLS else f"<b>{name}</b><span>{value}</span>"
    return f'<li class="{state} {way}" title="{whole}" aria-label="{whole}">{inside}</li>'


STATES = {"certain": "certain", "same-way": "the same way in every seed, not certain", "mixed": "not certain"}


# --- the forest -----------------------------------------------------------------------------------


def forest_section(pairs: Sequence[Judged]) -> None:
    """Draw the change of every class with the interval at which it was decided."""
    drawn = [one for one in pairs if one.verdict is not None and not one.same_weights]
    if not drawn:
        return
    st.subheader("Change per class")
    order = fields.segmented_control("Order", ORDERS, name="order")
    forests = [
        cards.Card(
            one.title + ("" if one.verdict.of_methods else ": these two networks"),
            f"compare_forest_{one.pair.group.key}",
            charts.forest(one.verdict.classes, by_change=order != "class"),
            "Whiskers: the interval at the level at which Holm's procedure decided the class; it leaves "
            "out 0 exactly where the class is certain (filled).",
        )
        for one in drawn
        if one.verdict is not None
    ]
    cards.show_cards(forests)

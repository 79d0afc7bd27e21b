"""Comparisons in words, for every kind of weights, and how many images or seeds a claim needs."""

import streamlit as st

from app import texts, wording
from app.engine import evaluated, sample_sizes
from app.sections import comparison_choice


def claims_section(comparison: comparison_choice.Compared) -> None:
    """Fold away the sentences for every kind of weights, and what a claim needs."""
    with st.expander("In words, for every kind of weights", icon=":material/notes:"):
        spoken = [text for pair in comparison.pairs if (text := said(comparison, pair))]
        if spoken:
            st.markdown(
                f"{texts.plain(comparison.condition.title)}. Differences in points, with 95 % intervals."
            )
        else:
            st.caption("Too few of these runs were measured like this for anything to be said.")
        for text in spoken:
            st.markdown(text)
    claim(comparison)


def said(comparison: comparison_choice.Compared, pair: comparison_choice.MethodPair) -> str:
    """Put the statements about one pair into a list in Markdown; empty where there is none to make."""
    statements = evaluated.statements(
        comparison.runs_of(pair.baseline), comparison.runs_of(pair.group), comparison.condition
    )
    if not statements:
        return ""
    title = f"**{texts.plain(pair.group.title)}** against {texts.plain(pair.baseline.title)}"
    lines = [f"{s.weights[:1].upper()}{s.weights[1:]}: {s.words}. ({s.basis})" for s in statements]
    return "\n".join([title, *(f"- {texts.plain(line)}" for line in lines)])


def disagreement(comparison: comparison_choice.Compared) -> float | None:
    """Find the largest share of images that exactly one of two runs gets right, over what is said here."""
    shares = [
        statement.disagreement
        for pair in comparison.pairs
        for statement in evaluated.statements(
            comparison.runs_of(pair.baseline), comparison.runs_of(pair.group), comparison.condition
        )
        if statement.disagreement is not None
    ]
    return max(shares, default=None)


def claim(comparison: comparison_choice.Compared) -> None:
    """Say how many images, or seeds, a claim of a given size needs."""
    with st.expander("How many images or seeds a claim needs", icon=":material/calculate:"):
        points = st.number_input(
            "Size of the difference, in points", 0.5, 50.0, 5.0, 0.5, key="claim_points", width=260
        )
        base = comparison.scores[comparison.scores["group"] == comparison.first_baseline.key]
        if base.empty:
            st.caption("The baseline was not measured like this.")
            return
        worst, classes = float(base["accuracy"].min()), base["class_index"].nunique()
        images = sample_sizes.images_needed(points / 100, worst, classes=classes)
        st.markdown(
            f"- **Images**: from {wording.percent(worst)} (the baseline's worst class), a difference of "
            f"{points:g} points in one of {classes} classes takes about **{images:,} images of that class** "
            "for each model, 80 % power, 5 % over all classes."
        )
        if share := disagreement(comparison):
            pairs = sample_sizes.paired_images_needed(points / 100, share, classes=classes)
            st.markdown(
                f"- **The same images, in pairs**: these models disagree on up to {wording.percent(share)} "
                f"of the images; where they do on so many, it takes about **{pairs:,} images of that class**."
            )
        if spread := largest_spread(comparison):
            seeds = sample_sizes.seeds_needed(points / 100, spread)
            st.markdown(
                f"- **Seeds**: worst classes here differ between seeds by up to {100 * spread:.1f} "
                f"points (standard deviation): a difference of {points:g} points between two methods takes "
                f"about **{seeds} seeds of each**."
            )
        else:
            st.markdown(
                "- **Seeds**: choose several seeds of a method to see how much they differ; runs with other "
                "settings, or with the same seed, do not say it."
            )


def largest_spread(comparison: comparison_choice.Compared) -> float | None:
    """Return the largest standard deviation of a worst class over seeds; ``None`` where no seeds differ."""
    experiments = {run.id: run.experiment for run in comparison.runs}
    rows = evaluated.averaged(comparison.condition.of(comparison.results.summary), experiments).kept
    grouped = rows.groupby([rows["run_id"].map(experiments), "weights"])["worst_accuracy"]
    spread = grouped.std().max()
    return float(spread) if spread > 1e-9 else None

"""What is certain about the differences, and how many images or seeds a claim needs."""

import streamlit as st

from app import tables, texts, wording
from app.engine import evaluated, sample_sizes
from app.sections import comparison_choice


def certain_section(comparison: comparison_choice.Compared) -> None:
    """Say in words what the differences carry."""
    st.subheader("What is certain")
    base = comparison.baseline
    spoken = [
        text for group in comparison.groups if group.key != base.key if (text := said(comparison, group))
    ]
    if not spoken:
        st.caption("Too few of these runs were measured like this for anything to be said.")
        claim(comparison)
        return
    st.markdown("Differences in percentage points, with 95 % intervals.")
    for text in spoken:
        st.markdown(text)
    seeds = any(group.seeds > 1 for group in comparison.groups)
    pairs = sum(len(group.members) == 1 for group in comparison.groups) > 1
    how = "Several seeds of both: Welch's t over seeds, a statement about the methods. " if seeds else ""
    if pairs:
        how += (
            "One run of each compares two checkpoints; classes by exact McNemar tests on the same images "
            "(Fisher's without them), Holm over classes; the worst class's interval holds when classes tie."
        )
    st.caption(f"{texts.plain(comparison.condition.title)}. {how}")
    claim(comparison)


def said(comparison: comparison_choice.Compared, group: tables.Group) -> str:
    """Put the statements about one group into a list in Markdown; empty where there is none to make."""
    title = f"**{texts.plain(group.title)}** against {texts.plain(comparison.baseline.title)}"
    baseline, others = (
        comparison_choice.runs_of(comparison, comparison.baseline),
        comparison_choice.runs_of(comparison, group),
    )
    statements = evaluated.statements(baseline, others, comparison.condition)
    if statements:
        lines = [f"{s.weights[:1].upper()}{s.weights[1:]}: {s.words}. ({s.basis})" for s in statements]
        return "\n".join([title, *(f"- {texts.plain(line)}" for line in lines)])
    if len(baseline) != len(others) or len(baseline) > 1:
        return f"{title}: nothing can be said; it takes several seeds of both, or one run of each."
    return ""


def disagreement(comparison: comparison_choice.Compared) -> float | None:
    """Find the largest share of images that exactly one of two runs gets right, over what is said here."""
    base = comparison_choice.runs_of(comparison, comparison.baseline)
    shares = [
        statement.disagreement
        for group in comparison.groups
        if group.key != comparison.baseline.key
        for statement in evaluated.statements(
            base, comparison_choice.runs_of(comparison, group), comparison.condition
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
        base = comparison.scores[comparison.scores["group"] == comparison.baseline.key]
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

"""What the listed runs come to, in words: their states, and the highest worst class of like ones."""

import pandas as pd
import streamlit as st

from app import glossary, texts, wording


def say_what_there_is(frame: pd.DataFrame) -> None:
    """Say how many runs are in which state, and which has the highest worst class of those measured alike.

    Args:
        frame: Columns ``name, state, condition, mean, worst, worst_class``; percent.
    """
    states = frame["state"].value_counts()
    words = ", ".join(f"{number} {state}" for state, number in states.items())
    whole = wording.count(len(frame), "run")
    same = len(states) == 1 < len(frame)
    st.subheader(f"{whole}, all {states.index[0]}." if same else f"{whole}: {words}.")
    alike = frame["condition"].value_counts()
    if alike.empty:
        st.markdown("None has a test result yet: a training ends with one.")
        return
    block = frame[frame["condition"] == alike.index[0]]
    top = block.iloc[int(block["worst"].to_numpy().argmax())]
    worst, mean = (wording.percent(top[measure] / 100) for measure in ("worst", "mean"))
    st.markdown(
        f"Highest worst class of {wording.count(len(block), 'run')} under {texts.plain(alike.index[0])}: "
        f"**{texts.plain(top['name'])}**, {worst} ({texts.plain(top['worst_class'])}), mean {mean}. "
        "That is one network: which methods differ over seeds is on *Compare* and *Leaderboard*.",
        help=glossary.explained("worst class", "mean of classes", "seed"),
    )

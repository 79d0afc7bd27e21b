"""Train's fields: labelled in words, each with the name by which it is set and a place for what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app import drafts, elements, fields, texts
from app.engine import training_settings
from app.setting_titles import setting_title


@dataclass
class Told:
    """What is wrong with the form: each sentence stands at its field, and the fields are listed by it.

    Attributes:
        places: Where a sentence about a field goes.
        problems: The fields that something is wrong with, by name.
    """

    places: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def place(self, name: str) -> None:
        """Leave room below a field."""
        self.places[name] = st.empty()

    def tell(self, problems: Mapping[str, str]) -> None:
        """Say what is wrong where it is; of a field that is not drawn, here."""
        for name, problem in problems.items():
            if name not in self.problems:
                self.problems[name] = problem
                place = self.places.get(name, st)
                place.error(elements.sentence(problem), icon=":material/error:")


def setting_key(name: str) -> str:
    """Return the key of a setting's field."""
    return f"set_{name}"


def choose_settings(draft: drafts.Draft, told: Told) -> dict[str, str]:
    """Ask for the settings that differ from the preset; the usual ones first, the others folded."""
    presets = draft.preset_values()
    st.subheader("Settings")
    st.caption(
        "Empty fields take the preset's value, shown in grey. Several values with commas make a run each: "
        "0.3, 0.5."
    )
    main = [name for name in training_settings.main_settings(draft.methods) if name in presets]
    others = [name for name in presets if name not in main]
    typed = _fields(draft.methods, main, presets, told)
    opened = bool(st.session_state.get("train_wrong_below"))
    with st.expander("Advanced", icon=":material/tune:", key="train_advanced", expanded=opened):
        typed |= _fields(draft.methods, others, presets, told)
    return {name: text for name, text in typed.items() if text}


def show_hidden_problems(told: Told, main: Sequence[str]) -> None:
    """Unfold the settings that are folded, once something is wrong with one of them."""
    below = any("." in name and name not in main for name in told.problems)
    if below and not st.session_state.get("train_wrong_below"):
        st.session_state["train_wrong_below"] = True
        st.rerun()


def _fields(
    methods: tuple[str, ...], names: Sequence[str], presets: Mapping[str, str], told: Told
) -> dict[str, str]:
    typed, meanings = {}, training_settings.settings_of(methods)
    for start in range(0, len(names), 3):
        for column, name in zip(st.columns(3), names[start : start + 3], strict=False):
            with column:
                typed[name] = _field(name, presets[name], drafts.choices(name, methods), meanings[name])
                st.caption(f":small[{texts.plain(name)}]")
                told.place(name)
    return typed


def _field(name: str, preset: str, options: tuple[str, ...], meaning: str) -> str:
    title, help_text = setting_title(name), "\n\n".join(map(texts.plain, meaning.splitlines()))
    key = setting_key(name)
    if options:
        choices = {each: each for each in options}
        return ",".join(
            fields.multiselect(title, choices, name=name, key=key, placeholder=preset, help=help_text)
        )
    return fields.text_input(title, name=name, key=key, placeholder=preset, help=help_text).strip()

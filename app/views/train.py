"""Train: several methods, seeds and values at once, with their cost before they start."""

from dataclasses import replace

import streamlit as st

from app import addresses, drafts, elements, fields, texts
from app.engine import brought_models, errors, outside, snapshots, training_jobs, training_settings
from app.sections import training_fields, training_labels, training_summary
from app.sections.training_fields import Told, setting_key
from app.sections.training_labels import NewRuns

# --- what to train --------------------------------------------------------------------------------


def prefill() -> None:
    """Fill the form from a run ("New run from this one"), once per visit."""
    reference = addresses.asked("from")
    if not reference:
        return
    st.session_state["train_code"] = ()
    run = snapshots.find_run(reference)
    if run is None or run.problem or run.method not in training_settings.METHODS:
        st.session_state["notice"] = (
            "error",
            texts.plain(f"Run {reference!r} cannot serve as a model for a new one."),
        )
        return
    fields.choose("methods", [run.method], key="train_methods")
    fields.choose("dataset", run.dataset, key="train_dataset")
    fields.choose("model", run.model, key="train_model")
    fields.choose("preset", run.preset, key="train_preset")
    fields.choose("seeds", str(run.seed), key="train_seeds")
    fields.choose("init", run.folder.config.init, key="train_init")
    fields.choose("teacher", run.folder.config.teacher, key="train_teacher")
    differences = training_settings.config_differences(run.folder.config)
    for name in training_settings.settings_of(training_settings.METHODS):
        text = drafts.setting_text(name, differences[name][1]) if name in differences else ""
        several = drafts.choices(name, [run.method]) if name in differences else ()
        fields.choose(name, [text] if several else text, key=setting_key(name))
        if not text:
            st.session_state.pop(setting_key(name))
    st.session_state["train_code"] = outside.untrusted_code([run])


def methods_in_words() -> dict[str, str]:
    """Say in a line what each method is, those for the same purpose together."""
    kinds = training_settings.KINDS
    order = list(kinds)
    found = [(kind, name) for name in training_settings.METHODS if (kind := training_settings.kind_of(name))]
    found.sort(key=lambda pair: order.index(pair[0]))
    return {
        name: f"{name} · {kinds[kind]}: {training_settings.METHODS[name].summary}" for kind, name in found
    }


def choose_what(told: Told) -> drafts.Draft | None:
    methods = fields.multiselect(
        "Methods",
        methods_in_words(),
        name="methods",
        default=[training_settings.FIRST_METHOD],
        key="train_methods",
        placeholder="Type a name, a family such as distilled, or a word of what it does",
        help="Sorted by what they are for. Several methods make a run each. Every run keeps online, EMA and "
        "FAWA weights, so a method with EMA is that method's run with its EMA weights.",
    )
    told.place("method")
    for method in methods:
        st.caption(f"**{method}**: {training_settings.METHODS[method].summary}")
    left, middle, right = st.columns(3)
    with left:
        dataset = fields.selectbox(
            "Data set",
            {name: name for name in outside.dataset_names()},
            name="dataset",
            key="train_dataset",
            accept_new_options=True,
            help="A name from the list, folder:PATH for images of your own, or package.module:name.",
        )
        told.place("dataset")
    model = fields.selectbox(
        "Model",
        {name: name for name in model_options(dataset)},
        name="model",
        key="train_model",
        place=middle,
        accept_new_options=True,
        help="The data set's usual one comes first.",
    )
    titles = {name: preset.title for name, preset in training_settings.PRESETS.items()}
    preset = fields.selectbox(
        "Preset",
        {name: titles[name] for name in preset_options(model)},
        name="preset",
        key="train_preset",
        place=right,
    )
    describe(dataset, preset, told)
    if not methods:
        st.info("Choose at least one method.")
        return None
    return drafts.Draft(methods=tuple(methods), dataset=dataset, model=model, preset=preset)


def model_options(dataset: str) -> list[str]:
    usual = training_settings.default_model(dataset)
    return [usual, *(name for name in brought_models.MODELS if name != usual)]


def preset_options(model: str) -> list[str]:
    usual = training_settings.default_preset(model)
    return [usual, *(name for name in training_settings.PRESETS if name != usual)]


def describe(dataset: str, preset: str, told: Told) -> None:
    if outside.waits_for_a_look(dataset):
        elements.offer_look(dataset)
    else:
        try:
            describe_dataset(dataset)
        except errors.StoreError:
            raise  # it is not this field that is wrong
        except errors.CfaError as error:
            told.tell({"dataset": str(error)})
    chosen = training_settings.PRESETS[preset]
    st.caption(f"Preset {chosen.title}: {chosen.summary}.")
    if chosen.notes:
        with st.popover("Where the preset's values come from", icon=":material/menu_book:"):
            for note in chosen.notes:
                st.markdown(f"- {note}")


def describe_dataset(name: str) -> None:
    info = outside.dataset_description(name)
    st.caption(
        f"{texts.plain(info.title)}: {info.train_images:,} training and {info.test_images:,} test images, "
        f"{info.classes} classes, {info.image_size} × {info.image_size} pixels."
    )
    for note in info.notes:
        st.caption(elements.sentence(note))
    if not info.available:
        elements.missing_dataset(name)


# --- seeds and start ------------------------------------------------------------------------------


def choose_seeds(told: Told) -> tuple[str, str | None]:
    seeds, start = st.columns([1, 2])
    with seeds:
        typed_seeds = fields.text_input(
            "Seeds",
            name="seeds",
            default="0",
            key="train_seeds",
            help="0, 1, 2 or 0-4: a run each. A claim about a method needs several.",
        )
        told.place("seeds")
    with start:
        init = fields.selectbox(
            "Start from",
            {run.id: run.name for run in snapshots.usable_runs() if run.kept},
            name="init",
            clearable=True,
            key="train_init",
            placeholder="Random weights",
            accept_new_options=True,
            help="A run, or the path of a weights file (.safetensors, .pt, .pth).",
        )
        told.place("init")
    return typed_seeds, init or None


def choose_teacher(chosen: drafts.Draft, told: Told) -> drafts.Draft:
    """Ask for a teacher where one of the methods learns from one."""
    if not chosen.taught:
        return chosen
    teacher = fields.selectbox(
        "Teacher",
        {run.id: run.name for run in snapshots.usable_runs() if run.kept},
        name="teacher",
        clearable=True,
        key="train_teacher",
        placeholder=f"A trained network for {', '.join(chosen.taught)}",
        accept_new_options=True,
        help="A run (its own weights, best checkpoint; RUN#last or RUN#ema for others), or the path of a "
        "weights file of the same network.",
    )
    told.place("teacher")
    return replace(chosen, teacher=teacher or None)


# --- what it comes to -----------------------------------------------------------------------------


def complete(
    chosen: drafts.Draft, settings: dict[str, str], seeds: str, init: str | None, told: Told
) -> tuple[drafts.Draft, list[training_settings.RunConfig]]:
    """Build the trainings that a form comes to; what is wrong is told at its field, and none are built."""
    draft = replace(chosen, init=init, settings=settings)
    try:
        draft = replace(draft, seeds=drafts.parse_seeds(seeds))
    except errors.CfaError as error:
        told.tell({"seeds": str(error)})
    told.tell(draft.problems())
    if told.problems:
        return draft, []
    configs = draft.configurations()
    for config in {config.key(without_seed=True): config for config in configs}.values():
        told.tell(training_jobs.refused(config))
    return draft, configs


def check_name(runs: NewRuns, count: int, told: Told) -> None:
    if count and (problem := training_jobs.refused_name(runs.name, count)):
        told.tell({"name": problem})


def begin(configs: list[training_settings.RunConfig], runs: NewRuns) -> None:
    with elements.explained_errors():
        begun = training_jobs.start_training(
            configs, runs.name, runs.device, tags=runs.tags, notes=runs.notes, then=runs.then
        )
        st.switch_page("views/monitor.py", query_params={"run": begun[0].name})


elements.heading("Train", "Methods, seeds and values: every combination becomes a run in the queue.")
prefill()
elements.show_notices()
form, beside = st.columns([5, 2], gap="large")
told = Told()
draft: drafts.Draft | None = None
configs: list[training_settings.RunConfig] = []
new_runs = NewRuns()
with form:
    chosen = choose_what(told)
    if chosen is not None:
        with elements.explained_errors():
            typed = training_fields.choose_settings(chosen, told)
            typed_seeds, init = choose_seeds(told)
            chosen = choose_teacher(chosen, told)
            new_runs = training_labels.choose_labels(told)
            draft, configs = complete(chosen, typed, typed_seeds, init, told)
            check_name(new_runs, len(configs), told)
            training_fields.show_hidden_problems(told, training_settings.main_settings(chosen.methods))
with beside, st.container(key="train_summary", border=True), elements.explained_errors():
    if training_summary.show_summary(draft, configs, new_runs, told):
        begin(configs, new_runs)

"""Train: several methods, seeds and values at once, with their cost before they start."""

import streamlit as st

from app import access, addresses, drafts, elements, texts, wording
from app.engine import brought_models, job_queue, outside, snapshots, training_jobs, training_settings

MANY_RUNS = 40
BLANK = "–"


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
    for name in training_settings.settings_of(training_settings.METHODS):
        st.session_state.pop(setting_key(name), None)
    known: dict[str, object] = {
        "train_methods": [run.method],
        "train_dataset": run.dataset,
        "train_model": run.model,
        "train_preset": run.preset,
        "train_seeds": str(run.seed),
        "train_init": run.folder.config.init,
    }
    for name, (_, own) in training_settings.config_differences(run.folder.config).items():
        text = drafts.setting_text(name, own)
        known[setting_key(name)] = [text] if drafts.choices(name, [run.method]) else text
    for key, value in known.items():
        st.session_state[key] = value
    st.session_state["train_code"] = outside.untrusted_code([run])


def setting_key(name: str) -> str:
    return f"set_{name}"


def with_current(options: list[str], key: str) -> list[str]:
    """Keep a value that a run brought along (a user's own class, say) among the options."""
    current = st.session_state.get(key)
    return options if current is None or current in options else [*options, current]


def choose_what() -> drafts.Draft | None:
    methods = st.pills(
        "Methods",
        list(training_settings.METHODS),
        selection_mode="multi",
        default=None if "train_methods" in st.session_state else [training_settings.FIRST_METHOD],
        key="train_methods",
        help="Several methods make a run each. Every run keeps online, EMA and FAWA weights, so a method "
        "with EMA is that method's run with its EMA weights.",
    )
    for method in methods:
        st.caption(f"**{method}**: {training_settings.METHODS[method].summary}")
    left, middle, right = st.columns(3)
    dataset = left.selectbox(
        "Data set",
        with_current(outside.dataset_names(), "train_dataset"),
        key="train_dataset",
        accept_new_options=True,
        help="A name from the list, or your own as package.module:name.",
    )
    model = middle.selectbox(
        "Model",
        with_current(model_options(dataset), "train_model"),
        key="train_model",
        accept_new_options=True,
        help="The data set's usual one comes first.",
    )
    preset = right.selectbox(
        "Preset",
        with_current(preset_options(model), "train_preset"),
        format_func=lambda name: (
            training_settings.PRESETS[name].title if name in training_settings.PRESETS else name
        ),
        key="train_preset",
    )
    describe(dataset, preset)
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


def describe(dataset: str, preset: str) -> None:
    if outside.waits_for_a_look(dataset):
        elements.offer_look(dataset)
    else:
        describe_dataset(dataset)
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


# --- settings -------------------------------------------------------------------------------------


def choose_settings(draft: drafts.Draft) -> dict[str, str]:
    presets = draft.preset_values()
    st.subheader("Settings")
    st.caption(
        "Empty fields take the preset's value, shown in grey. Several values with commas make a run each: "
        "0.3, 0.5."
    )
    main = [name for name in training_settings.main_settings(draft.methods) if name in presets]
    typed = fields(draft.methods, main, presets)
    with st.expander("Advanced", icon=":material/tune:", key="train_advanced"):
        typed |= fields(draft.methods, [name for name in presets if name not in main], presets)
    return {name: text for name, text in typed.items() if text}


def fields(methods: tuple[str, ...], names: list[str], presets: dict[str, str]) -> dict[str, str]:
    typed, help_texts = {}, training_settings.settings_of(methods)
    for start in range(0, len(names), 3):
        for column, name in zip(st.columns(3), names[start : start + 3], strict=False):
            with column:
                typed[name] = setting_field(name, presets[name], drafts.choices(name, methods))
                for meaning in help_texts[name].splitlines():
                    st.caption(meaning)
    return typed


def setting_field(name: str, preset: str, options: tuple[str, ...]) -> str:
    if options:
        chosen = st.multiselect(name, options, placeholder=preset, key=setting_key(name))
        return ",".join(chosen)
    return (st.text_input(name, placeholder=preset, key=setting_key(name)) or "").strip()


def choose_rest() -> tuple[str, str | None, str, str | None]:
    seeds, start, name, device = st.columns(4)
    typed_seeds = seeds.text_input(
        "Seeds",
        value="0" if "train_seeds" not in st.session_state else None,
        key="train_seeds",
        help="0, 1, 2 or 0-4: a run each. A claim about a method needs several.",
    )
    with_weights = [run.id for run in snapshots.usable_runs() if run.kept]
    init = start.selectbox(
        "Start from",
        with_current(with_weights, "train_init"),
        index=None,
        format_func=run_name,
        placeholder="Random weights",
        accept_new_options=True,
        key="train_init",
        help="A run, or the path of a weights file (.safetensors, .pt, .pth).",
    )
    typed_name = name.text_input("Name", placeholder="found by itself", key="train_name")
    chosen = device.selectbox(
        "Device", [None, *job_queue.devices()], format_func=lambda text: text or "any", key="train_device"
    )
    return typed_seeds or "", init, (typed_name or "").strip(), chosen


def run_name(reference: str) -> str:
    run = snapshots.find_run(reference)
    return run.name if run else reference


# --- cost and start -------------------------------------------------------------------------------


def start_section(draft: drafts.Draft, name: str, device: str | None) -> None:
    configs = draft.configurations()
    st.subheader("Start")
    changes = draft.changes()
    if len(changes):
        st.markdown("What differs from the preset:")
        st.dataframe(changes, hide_index=True, key="train_changes")
    else:
        st.caption("Nothing differs from the preset.")
    for said in dict.fromkeys(text for config in configs for text in training_jobs.never_happens(config)):
        st.warning(said, icon=":material/warning:")
    cost(configs)
    brought = [name for name in st.session_state.get("train_code", ()) if name in named_in(configs)]
    ready = elements.word_for(brought, "train_word")
    number = wording.count(len(configs), "run")
    with st.container(horizontal=True):
        started = st.button(
            f"Start {number}",
            type="primary",
            icon=":material/play_arrow:",
            key="start",
            disabled=not ready or not access.may_start(),
        )
        st.button(
            "Estimate the time",
            icon=":material/timer:",
            key="estimate",
            disabled=not ready,
            on_click=elements.attempt,
            args=(measure, configs),
            help="Measures a few real training steps on this machine.",
        )
    if len(configs) > MANY_RUNS:
        st.warning(
            f"These settings make {number}. Fewer values or seeds make fewer.", icon=":material/warning:"
        )
    if started:
        begun = training_jobs.start_training(configs, name, device)
        st.switch_page("views/monitor.py", query_params={"run": begun[0].id})


def named_in(configs: list[training_settings.RunConfig]) -> set[str]:
    return {name for config in configs for name in training_settings.code_of(config)}


def measure(configs: list[training_settings.RunConfig]) -> None:
    for config in {config.key(without_seed=True): config for config in configs}.values():
        if training_jobs.known_estimate(config) is None:
            training_jobs.estimate(config)


def cost(configs: list[training_settings.RunConfig]) -> None:
    known = [training_jobs.known_estimate(config) for config in configs]
    epochs = sum(config.train.epochs for config in configs)
    words = f"{wording.count(len(configs), 'run')}, {wording.count(epochs, 'epoch')} in all"
    if all(known):
        seconds, size = sum(e.seconds for e in known if e), sum(e.disk_bytes for e in known if e)
        st.info(
            f"{words}: about **{wording.duration(seconds)}** one after the other, "
            f"and {wording.file_size(size)} of disk.",
            icon=":material/timer:",
        )
    else:
        st.caption(f"{words}. How long that takes has not been measured yet.")


elements.heading("Train", "Methods, seeds and values: every combination becomes a run in the queue.")
prefill()
elements.show_notices()
chosen = choose_what()
if chosen is not None:
    with elements.explained_errors():
        typed = choose_settings(chosen)
        seeds, init, name, device = choose_rest()
        complete = drafts.Draft(
            methods=chosen.methods,
            dataset=chosen.dataset,
            model=chosen.model,
            preset=chosen.preset,
            seeds=drafts.parse_seeds(seeds),
            init=init,
            settings=typed,
        )
        start_section(complete, name, device)

"""The form that says what to evaluate: plan, budget and images; the rest has defaults, folded away."""

import dataclasses

import streamlit as st

from app import elements, fields
from app.engine import evaluation_jobs, snapshots

KINDS = {"auto": "Each method's own", "online": "Online", "ema": "EMA", "fawa": "FAWA"}
OWN = "own"
NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0 (pixels)"}


def choose_request(preset: str) -> evaluation_jobs.EvaluationRequest | None:
    """Ask for budget and images, and for attacks where no plan is chosen; the rest is folded away."""
    attacks = choose_attacks() if not preset else ()
    eps, limit = choose_size(preset)
    with st.expander("Weights, checkpoint, norm, sweep, transfer and more", icon=":material/tune:"):
        kinds, which = choose_weights()
        norm = choose_norm()
        request = with_options(
            evaluation_jobs.EvaluationRequest(
                weights=kinds,
                checkpoint=which,
                preset=preset or None,
                attacks=attacks,
                norm=norm,
                eps=eps or None,
                limit=limit,
            )
        )
    if not kinds:
        st.info("Choose at least one kind of weights.")
        return None
    return request


def choose_weights() -> tuple[tuple[str, ...], str]:
    """Ask for kinds of weights and for the checkpoint."""
    kinds = fields.pills(
        "Weights",
        KINDS,
        name="weights",
        was="kinds",
        default=["auto"],
        key="evaluate_weights",
        help="Each method's own: FAWA for a CFA method whose gate ever opened, else online.",
    )
    which = fields.segmented_control(
        "Checkpoint",
        {"best": "best", "last": "last"},
        name="checkpoint",
        key="evaluate_checkpoint",
        help="Best on validation (mean + worst class), or of the last epoch.",
    )
    return tuple(kinds), which


def choose_plan() -> str:
    """Ask for one of the plans; empty for an own choice."""
    # Without how many images: that is asked for below, and the line that is planned says it.
    titles = {name: preset.title.partition(", ")[0] for name, preset in evaluation_jobs.PLANS.items()}
    titles |= {"own": "own choice"}
    meant = [f"**{titles[name]}**: {preset.summary}" for name, preset in evaluation_jobs.PLANS.items()]
    plan = fields.segmented_control(
        "Plan",
        {name: title[:1].upper() + title[1:] for name, title in titles.items()},
        name="plan",
        default="quick",
        width="stretch",
        help="\n\n".join([*meant, "**own choice**: attacks that you name."]),
    )
    if plan == "own":
        return ""
    st.caption(evaluation_jobs.PLANS[plan].summary)
    return str(plan)


def choose_attacks() -> tuple[str, ...]:
    """Ask for attacks: one is added at a time, and any of those that were can be taken out."""
    held: list[str] = st.session_state.get("evaluate_attacks", ["pgd-20"])
    new, listed = st.columns([2, 3])
    new.selectbox(
        "Add an attack",
        [name for name in evaluation_jobs.attack_names() if name not in held],
        index=None,
        placeholder="choose or type one",
        accept_new_options=True,
        key="evaluate_add",
        on_change=add_attack,
        help="Any pgd-N, cw-N (margin), kl-N, with -best (same start, judged at every step: never weaker, "
        "faster) and -rR (restarts); pgd-20@16/255 has an eps of its own; autoattack(apgd-ce,square) is a "
        "list of members; fab-min looks for the smallest perturbation; package.module:name is an attack of "
        "your own.",
    )
    # Only what was added is among its options: what is typed there adds that, and not what begins so.
    return tuple(
        fields.multiselect(
            "Attacks",
            {name: name for name in held},
            name="attacks",
            default=["pgd-20"],
            key="evaluate_attacks",
            place=listed,
            accept_new_options=True,
            placeholder="none yet",
        )
    )


def add_attack() -> None:
    """Put the attack that was chosen, or typed, behind the others."""
    name = (st.session_state["evaluate_add"] or "").strip()
    chosen = st.session_state.get("evaluate_attacks", [])
    if name and name not in chosen:
        st.session_state["evaluate_attacks"] = [*chosen, name]
    st.session_state["evaluate_add"] = None


def choose_size(preset: str) -> tuple[str, int | None]:
    """Ask for budget and number of images."""
    first, second = st.columns(2)
    eps = fields.text_input(
        "eps",
        name="eps",
        key="evaluate_eps",
        place=first,
        placeholder="each run's own",
        help="A fraction such as 8/255, or 0.0314; for L2 and L1 a length such as 0.5.",
    )
    limit = fields.number_input(
        "Images",
        name="images",
        whole=True,
        key="evaluate_images",
        place=second,
        min_value=1,
        step=500,
        placeholder=evaluation_jobs.preset_images(preset),
        help="The first of each class in file order.",
    )
    return eps.strip(), None if limit is None else int(limit)


def choose_norm() -> str | None:
    """Ask for the norm; none is each run's own."""
    norm = fields.selectbox(
        "Norm",
        {OWN: "each run's own", **NORMS},
        name="norm",
        key="evaluate_norm",
        help="How far an attack may move an image is measured with it. L∞: the most that any pixel moves; "
        "L2: the length of all moves together; L1: their sum; L0: how many pixels move. A run's own is the "
        "one that it was trained against.",
    )
    return None if norm == OWN else norm


def with_options(request: evaluation_jobs.EvaluationRequest) -> evaluation_jobs.EvaluationRequest:
    """Ask for what most people leave alone."""
    first, second = st.columns(2)
    sweep = fields.text_input(
        "eps sweep",
        name="sweep",
        key="evaluate_sweep",
        place=first,
        placeholder="none, or 2/255, 4/255, 8/255",
        help="Attacks at each budget in one job; drawn on Sweep. For the smallest perturbation of every "
        "image choose the attack fab-min instead.",
    )
    transfer = fields.selectbox(
        "Transfer from",
        elements.run_names(run for run in snapshots.usable_runs() if run.kept),
        name="transfer",
        clearable=True,
        key="evaluate_transfer",
        place=second,
        placeholder="no other run",
        help="Adds an attack: PGD-20 images made on this run. The sanity checklist compares it with the "
        "direct attack.",
    )
    mode = fields.segmented_control(
        "AutoAttack",
        {"reference": "reference", "fast": "fast"},
        name="mode",
        key="evaluate_mode",
        place=first,
        help="Reference equals pyautoattack image for image; fast drops broken images from batches, so "
        "that a few may come out differently.",
    )
    megabytes = fields.number_input(
        "Megabytes to keep",
        name="megabytes",
        default=20.0,
        key="evaluate_megabytes",
        place=second,
        min_value=0.0,
        step=10.0,
        help="Room for adversarial images: up to 16 of each confusion cell are kept for Classes; others "
        "can be made again.",
    )
    return dataclasses.replace(
        request,
        sweep=sweep.strip() or None,
        transfer_from=transfer or None,
        mode=mode,
        keep_megabytes=20.0 if megabytes is None else megabytes,
    )

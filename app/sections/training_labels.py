"""What new runs are called, where they train, and what comes after."""

from dataclasses import dataclass

import streamlit as st

from app import fields
from app.engine import job_queue, snapshots, training_jobs
from app.sections.training_fields import Told

NOTHING = "nothing"


@dataclass(frozen=True)
class NewRuns:
    """What Train asks of runs beside their configuration.

    Attributes:
        name: Empty where one is to be found.
        device: ``None`` takes any.
        tags: Of every run.
        notes: Of every run.
        then: The plan by which they are evaluated afterwards; empty for none.
    """

    name: str = ""
    device: str | None = None
    tags: tuple[str, ...] = ()
    notes: str = ""
    then: str = ""


def choose_labels(told: Told) -> NewRuns:
    """Ask for name, tags, notes and device, and for an evaluation afterwards."""
    st.subheader("The new runs")
    left, middle, right = st.columns(3)
    with left:
        name = fields.text_input("Name", name="name", placeholder="found by itself", key="train_name")
        told.place("name")
    with middle:
        known = sorted({tag for run in snapshots.usable_runs() for tag in run.tags})
        tags = fields.multiselect(
            "Tags",
            {tag: tag for tag in known},
            name="tags",
            key="train_tags",
            accept_new_options=True,
            placeholder="none",
        )
        told.place("tags")
    device = fields.selectbox(
        "Device",
        {"any": "any", **{each: each for each in job_queue.devices()}},
        name="device",
        key="train_device",
        place=right,
    )
    left, right = st.columns([1, 2])
    with left:
        then = fields.selectbox(
            "Then evaluate with",
            {NOTHING: "nothing more", **{each: plan.title for each, plan in training_jobs.PLANS.items()}},
            name="then",
            key="train_then",
            help="A training ends with clean images and PGD-20 on all test images. This queues a further "
            "evaluation of each run's own weights behind it.",
        )
        told.place("then")
    notes = fields.text_input("Notes", name="notes", key="train_notes", place=right)
    return NewRuns(
        name=name.strip(),
        device=None if device == "any" else device,
        tags=tuple(tags),
        notes=notes.strip(),
        then="" if then == NOTHING else then,
    )

"""An evaluation image by image."""

import numpy as np

from app.engine import evaluated, image_outcomes, snapshots
from cfa.evaluation.outcomes import NOT_RUN
from cfa.runs.evaluations import outcomes_file, save_columns


def test_a_member_that_was_run_on_no_image_of_a_class_has_scores(own_home):
    """What earlier members broke is left to no later one: a class may have no image left."""
    every = [
        image_outcomes.outcomes(run, evaluation)
        for run in snapshots.usable_runs()
        for evaluation in evaluated.evaluations(run)
        if outcomes_file(run.folder, evaluation.id).exists()
    ]
    found, member = next((one, column) for one in every for column in one.columns if column.is_member)
    table = dict(found.index.outcomes)
    table[member.name] = np.where(table["label"] == 0, np.int16(NOT_RUN), table[member.name])
    save_columns(outcomes_file(found.run.folder, found.evaluation.id), table)
    rows = image_outcomes.outcomes(found.run, found.evaluation).scores([member])
    assert rows["total"].iloc[0] == 0
    assert np.isnan(rows["accuracy"].iloc[0])
    ran = (table["label"] != 0) & (table[member.name] != NOT_RUN)
    assert rows["total"].sum() == ran.sum() > 0

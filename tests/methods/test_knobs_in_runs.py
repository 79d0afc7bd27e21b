"""What a run keeps of knobs that differ between classes, or between pairs of them."""

from pathlib import Path

import numpy as np
import pytest

from cfa.errors import ConfigError
from cfa.progress import Observer
from cfa.runs.rows import KnobValues
from cfa.tables.frames import knobs_frame
from cfa.training import fit
from tests.support.tiny import CPU, go_on, tiny_config, tiny_dataset, tiny_run

PAIRS = "confusion_weight"


@pytest.mark.parametrize(
    ("name", "knob"),
    [("wat", "weight"), ("csr", PAIRS), ("fair-tat", "target"), ("absld", "adversarial_temperature")],
)
def test_knobs_that_differ_between_classes_stand_in_the_tables(tmp_path: Path, name: str, knob: str) -> None:
    run = tiny_run(tmp_path, tiny_config(name, train__epochs=2, train__keep_every=1))
    go_on(run, tiny_dataset(spread=2))
    last = [row for row in run.rows() if isinstance(row, KnobValues)][-1]
    assert len(set(last.values[knob])) > 1
    frame = knobs_frame(run)
    assert frame[frame["epoch"] == 2][knob].tolist() == list(last.values[knob])
    assert run.knobs_file.exists() == (knob == PAIRS)
    if knob == PAIRS:
        with np.load(run.knobs_file) as pairs:
            assert set(pairs) == {f"epoch1/{PAIRS}", f"epoch2/{PAIRS}"}
            assert pairs[f"epoch2/{PAIRS}"].mean(axis=1) == pytest.approx(last.values[knob])


def test_a_method_that_learns_from_a_teacher_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="learns from a trained network, and none was given"):
        fit(tiny_run(tmp_path, tiny_config("absld")), tiny_dataset(), CPU, Observer())

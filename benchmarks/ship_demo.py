"""Copy the finished runs of `benchmarks/suites/demo.toml` from CFA_HOME to checkpoints/demo.

Kept: configuration, manifest, rows, evaluations with per-image outcomes, logs; the best weights of seed 0.
"""

import shutil
import sys
from pathlib import Path

from cfa.errors import CfaError
from cfa.runs.store import SHIPPED_RUNS, Store
from cfa.suites.planned import plan_suite
from cfa.suites.suite_file import read_suite

SUITE = Path(__file__).parent / "suites" / "demo.toml"
SEED_WITH_WEIGHTS = 0
LARGEST = 12_000_000  # bytes in all
NOT_SHIPPED = ("adversarial.safetensors", "remade.safetensors", "batches.parquet")  # pictures to look at


def main() -> None:
    """Replace checkpoints/demo by the finished runs of the suite."""
    planned = plan_suite(Store.open(shipped=None), read_suite(SUITE))
    finished = [item.existing for item in planned if item.existing is not None]
    finished = [run for run in finished if run.status.state == "finished"]
    if len(finished) < len(planned):
        raise CfaError(f"{len(finished)} of {len(planned)} runs are finished; run {SUITE.name} first")
    temporary = SHIPPED_RUNS.with_name(".demo.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for run in finished:
        target = temporary / run.id
        shutil.copytree(
            run.path, target, ignore=shutil.ignore_patterns("state", "split.json", ".*", *NOT_SHIPPED)
        )
        for file in (target / "weights").iterdir():
            if run.config.seed != SEED_WITH_WEIGHTS or not file.name.startswith("best-"):
                file.unlink()
    size = sum(file.stat().st_size for file in temporary.rglob("*") if file.is_file())
    if size > LARGEST:
        raise CfaError(f"the demo would take {size:,} bytes; {LARGEST:,} is the limit")
    shutil.rmtree(SHIPPED_RUNS, ignore_errors=True)
    temporary.rename(SHIPPED_RUNS)
    print(f"{len(finished)} runs, {size / 1e6:.1f} MB in {SHIPPED_RUNS}")


if __name__ == "__main__":
    try:
        main()
    except CfaError as error:
        sys.exit(f"error: {error}")

"""How long `trades-cfa` takes with the `demo` preset, without the closing test: the newcomer's wait.

python benchmarks/demo_training.py [--repeats 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from machine import describe_machine, write_result


def main() -> None:
    """Train in fresh processes, as the dashboard does, and write seconds per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    machine = describe_machine()
    seconds = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as home:
            command = [sys.executable, "-m", "cfa", "train", "--method", "trades-cfa"]
            command += ["--dataset", "fashion-mnist-mini", "--preset", "demo", "--no-test", "--json"]
            started = time.perf_counter()
            done = subprocess.run(
                command, env=os.environ | {"CFA_HOME": home}, check=True, capture_output=True, text=True
            )
            seconds.append(round(time.perf_counter() - started, 1))
            assert json.loads(done.stdout)["status"] == "finished", done.stdout
    write_result(
        "demo_training",
        {
            "what": "cfa train --method trades-cfa --preset demo --no-test, wall seconds with process start",
            "goal_seconds": 120,
            "seconds": seconds,
            "median_seconds": statistics.median(seconds),
            "machine": machine,
        },
    )


if __name__ == "__main__":
    main()

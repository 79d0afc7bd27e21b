"""One training step beside the authors' own scripts, in float64: weights afterwards, and what the rule reads.

python benchmarks/authors.py --clones FOLDER     # with a git directory OWNER+NAME/repo of each repository

A repository that is absent is skipped, and what was found beside it before is kept. A further method adds a
function to the ``COMPARISONS`` of a file beside this one.
"""

import argparse
import json
import warnings
from pathlib import Path

import authors_classwise
import authors_distillation
import authors_long_tail
import authors_robust
import torch
from author_steps import Clone
from machine import RESULTS, write_result

COMPARISONS = {
    **authors_classwise.COMPARISONS,
    **authors_distillation.COMPARISONS,
    **authors_long_tail.COMPARISONS,
    **authors_robust.COMPARISONS,
}


def main() -> None:
    """Compare what is there, and write down repository, commit and differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True)
    folder = parser.parse_args().clones
    torch.set_default_dtype(torch.float64)
    before = RESULTS / "authors.json"
    rows = json.loads(before.read_text(encoding="utf-8"))["methods"] if before.exists() else {}
    for method, (name, compare) in COMPARISONS.items():
        clone = Clone(folder, name)
        if not clone.is_there:
            print(f"{method}: {name} is not there")
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                differences = compare(clone)
        except ModuleNotFoundError as error:  # what authors need and we do not: cvxpy
            print(f"{method}: {name} needs {error.name}")
            continue
        rows[method] = {"repository": name, "commit": clone.commit, "largest_difference": dict(differences)}
        print(method, dict(differences))
    what = "one step beside the authors' own code, float64: largest difference"
    write_result("authors", {"what": what, "methods": dict(sorted(rows.items()))})


if __name__ == "__main__":
    main()

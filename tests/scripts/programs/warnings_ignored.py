"""Filters of warnings: one is ignored, one is an error.

kind: 12
inputs: number=[1, 2]
expect: [[0, "DeprecationWarning"], [0, "DeprecationWarning"]]
"""

import json
import sys
import warnings

from papympi import node, run

warnings.filterwarnings("ignore", message="label .* is missing")
warnings.filterwarnings("error", category=DeprecationWarning)


@node(pool="work", stride=1)
def heard(number):
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn(f"label {number} is missing", stacklevel=1)
    try:
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    except DeprecationWarning as error:
        return len(seen), type(error).__name__
    return len(seen), ""


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))

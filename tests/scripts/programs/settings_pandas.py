"""Settings: options of pandas and NumPy.

kind: 09
inputs: number=[1, 2]
expect: ["[0.33] 0.333", "[0.67] 0.667"]
"""

import json
import sys

import numpy as np
import pandas as pd

from papympi import node, run

np.set_printoptions(precision=2)
pd.set_option("display.precision", 3)


@node(pool="work", stride=1)
def told(number):
    return f"{np.array([number / 3])} {pd.Series([number / 3]).to_string(index=False).strip()}"


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))

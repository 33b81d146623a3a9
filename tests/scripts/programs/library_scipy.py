"""NumPy, SciPy and matplotlib, imported and used at the top.

kind: libraries
inputs: number=[1, 2]
expect: [[300.0, 1.0], [300.0, 4.0]]
"""

import json
import sys

import matplotlib.pyplot as plt
import numpy as np
import scipy.linalg
import scipy.optimize

from papympi import node, run

TRACE = float(np.trace(scipy.linalg.inv(np.eye(300))))
plt.figure()


@node(pool="work", stride=1)
def root(number):
    plt.figure().add_subplot().plot([1, 2])
    plt.close("all")
    return TRACE, round(float(scipy.optimize.brentq(lambda x: x - number**2, 0, 10)), 6)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))

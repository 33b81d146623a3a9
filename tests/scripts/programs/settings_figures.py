"""Settings: matplotlib.rcParams.

kind: 09
inputs: number=[1, 2]
expect: [[12.0, 3.0], [12.0, 3.0]]
"""

import json
import sys

import matplotlib as mpl
from matplotlib.figure import Figure

from papympi import node, run

mpl.rcParams["figure.figsize"] = (12, 3)


@node(pool="work", stride=1)
def size(number):
    return tuple(map(float, Figure().get_size_inches()))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))

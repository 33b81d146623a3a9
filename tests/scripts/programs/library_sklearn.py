"""scikit-learn: fitted at the top, on several threads.

kind: libraries
inputs: number=[1, 5]
expect: [1, 5]
env: OMP_WAIT_POLICY=passive
"""

import json
import sys

import numpy as np
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingRegressor

from papympi import node, run

ROWS = np.repeat(np.arange(8.0), 50).reshape(-1, 1)
MODEL = HistGradientBoostingRegressor(max_iter=150, random_state=1).fit(ROWS, ROWS[:, 0])
KMeans(2, n_init=1, random_state=1).fit(ROWS)


@node(pool="work", stride=1)
def predicted(number):
    KMeans(2, n_init=1, random_state=1).fit(ROWS)
    return round(float(MODEL.predict([[number]])[0]))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 5]}, pools={"work": pool}))))

"""OpenCV, imported and used at the top.

kind: libraries
inputs: number=[1, 2]
expect: [[2.0, 1.0], [2.0, 2.0]]
"""

import json
import sys

import cv2
import numpy as np

from papympi import node, run

MEAN = float(cv2.GaussianBlur(np.full((400, 400), 2, np.float32), (5, 5), 0).mean())


@node(pool="work", stride=1)
def blurred(number):
    return MEAN, round(float(cv2.GaussianBlur(np.full((400, 400), number, np.float32), (5, 5), 0).mean()), 3)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))

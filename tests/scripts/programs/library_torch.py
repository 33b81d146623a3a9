"""PyTorch, imported and used at the top.

kind: libraries
needs: torch
inputs: number=[1, 2]
expect: [[90000.0, 300.0], [90000.0, 600.0]]
"""

import json
import sys

import torch

from papympi import node, run

WEIGHTS = torch.ones(300, 300)
TOTAL = float((WEIGHTS @ WEIGHTS / 300).sum())


@node(pool="work", stride=1)
def weighted(number):
    return TOTAL, float((WEIGHTS @ torch.full((300, 1), float(number)))[0, 0])


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))

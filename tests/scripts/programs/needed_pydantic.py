"""What a node needs: pydantic's models and validate_call.

kind: 05
inputs: number=[1, 2]
expect: [3, 5]
refused unguarded/processes, unguarded/mpi, unguarded/loky, notebook/processes, notebook/mpi, notebook/loky: scaled
"""

import json
import sys

import pydantic

from papympi import node, run


class Reading(pydantic.BaseModel):
    value: int


@pydantic.validate_call
def scaled(number: int) -> int:
    return 2 * number


@node(pool="work", stride=1)
def read(number):
    return Reading(value=scaled(number) + 1).value


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))

"""Settings: how long integers may be as text.

kind: 09
inputs: number=[5000]
expect: [5001]
"""

import json
import sys

from papympi import node, run

sys.set_int_max_str_digits(0)


@node(pool="work", stride=1)
def digits(number):
    return len(str(10**number))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [5000]}, pools={"work": pool}))))

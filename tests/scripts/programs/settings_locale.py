"""Settings: the locale.

kind: 09
inputs: number=[1, 2]
expect: ["C.UTF-8", "C.UTF-8"]
"""

import json
import locale
import sys

from papympi import node, run

locale.setlocale(locale.LC_ALL, "C.UTF-8")


@node(pool="work", stride=1)
def name(number):
    return locale.setlocale(locale.LC_NUMERIC)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))

"""Settings: the time zone.

kind: 09
inputs: number=[0, 3600]
expect: ["05:00", "06:00"]
"""

import json
import os
import sys
import time

from papympi import node, run

os.environ["TZ"] = "XXX-5"
time.tzset()


@node(pool="work", stride=1)
def clock(number):
    return time.strftime("%H:%M", time.localtime(number))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [0, 3600]}, pools={"work": pool}))))

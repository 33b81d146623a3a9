"""`python -m papympi` is the command `papympi`.

It stands alone because Python looks for a file of this name.
"""

from __future__ import annotations

import sys

from papympi.cli.main import main

sys.exit(main())

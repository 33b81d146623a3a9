"""`python -m papympi` is the command `papympi`."""

from __future__ import annotations

import sys

from papympi.cli.main import main

sys.exit(main())

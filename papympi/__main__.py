"""`python -m papympi` is the command `papympi`; it stands alone because Python looks for it by this name."""

from __future__ import annotations

import sys

from papympi.cli.start import main

sys.exit(main())

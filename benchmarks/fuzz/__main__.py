"""Command `python -m benchmarks.fuzz`: send random requests to a served model and report what breaks."""

import sys

from benchmarks.fuzz.command import main

sys.exit(main())

import sys

from benchmarks.fuzz.command import main

sys.exit(main())

"""`python -m benchmarks` runs each benchmark and writes its table into docs/."""

from benchmarks import drift

drift.main()

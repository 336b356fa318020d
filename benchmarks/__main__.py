"""`python -m benchmarks` runs each benchmark, writes its table into docs/, and ends with the fuzzer."""

import sys

from benchmarks import credit_risk, drift, rollout, serving
from benchmarks.fuzz import command as fuzz

drift.main()
rollout.main()
serving.main()
sys.exit(credit_risk.main() or fuzz.main())

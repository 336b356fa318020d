"""`python -m benchmarks` runs each benchmark, writes its table into docs/, and ends with the fuzzer."""

import sys

from benchmarks.fuzz import command as fuzz
from benchmarks.models import credit_risk
from benchmarks.serving import __main__ as serving
from benchmarks.statistics import drift, rollout

drift.main()
rollout.main()
serving.main()
sys.exit(credit_risk.main() or fuzz.main())

"""`python -m benchmarks` runs each benchmark and writes its table into docs/."""

import sys

from benchmarks import credit_risk, drift

drift.main()
sys.exit(credit_risk.main())

"""Command `python -m benchmarks`: run every benchmark, write its table into docs/, and run the fuzzer last."""

import sys

from benchmarks.dashboards import query_times
from benchmarks.elasticsearch import __main__ as elasticsearch
from benchmarks.fuzz import command as fuzz
from benchmarks.gpu import __main__ as gpu
from benchmarks.models import credit_risk, public_tables
from benchmarks.monitoring import drift_verdict, process_memory
from benchmarks.prediction_log import compaction
from benchmarks.serving import __main__ as serving
from benchmarks.statistics import drift, rollout
from benchmarks.status_page import many_models
from benchmarks.tables import reader

drift.main()
rollout.main()
reader.main()
many_models.main()
query_times.main()
compaction.main()
drift_verdict.main()
process_memory.main()
elasticsearch.main()
serving.main()
gpu.main()
sys.exit(credit_risk.main() or public_tables.main() or fuzz.main())

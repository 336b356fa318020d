"""Cleaned rows against what the use case promises: Great Expectations, from its schema and from its own `validate.py`.

A critical expectation that fails blocks the run; a warning is reported. The rows are masked, and results hold counts
only, so no page shows a raw private value.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipelines.artifacts import write_json
from pipelines.data.expectations import from_usecase
from slipway.config import UseCase
from slipway.errors import DataError

if TYPE_CHECKING:
    from great_expectations.checkpoint import CheckpointResult
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context.types.base import DataContextConfig

_SHOWN = 5


def validate(usecase: UseCase, cleaned: Path, out: Path) -> None:
    """Leave `result.json` (a line per expectation) and the data docs, `docs/index.html`, in `out`.

    Raises:
        DataError: a critical expectation failed, or could not be computed. The files of it are left in `out`.
    """
    frame = pd.read_parquet(cleaned / "cleaned.parquet")
    images = [feature.name for feature in usecase.features if feature.kind == "image"]
    result = _check(usecase, frame.drop(columns=images), out / "docs")
    lines = [_line(checked) for run in result.run_results.values() for checked in run.results]
    failed = [line for line in lines if not line["success"]]
    critical = [line for line in failed if line["severity"] == "critical"]
    write_json(
        out / "result.json",
        {
            "passed": not critical,
            "rows": len(frame),
            "checked": len(lines),
            "critical": [line["sentence"] for line in critical],
            "warnings": [line["sentence"] for line in failed if line["severity"] != "critical"],
            "expectations": lines,
        },
    )
    if critical:
        shown = "; ".join(line["sentence"] for line in critical[:_SHOWN])
        raise DataError(
            f"{len(critical)} critical expectations of {len(lines)} failed: {shown}. "
            f"Correct the data, in the source or in usecases/{usecase.name}/clean.py, or what usecase.yaml promises."
        )


def _check(usecase: UseCase, frame: pd.DataFrame, docs: Path) -> CheckpointResult:
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral", project_config=_configuration(docs))
    suite = context.suites.add(gx.ExpectationSuite(name=usecase.name))
    for expectation in from_usecase(usecase):
        suite.add_expectation(expectation)
    own = usecase.function("validate", "expectations")
    if own:
        own(suite)
    batch = (
        context.data_sources.add_pandas("cleaned")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
    )
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=usecase.name, data=batch, suite=suite))
    checkpoint = gx.Checkpoint(
        name=usecase.name,
        validation_definitions=[definition],
        actions=[gx.checkpoint.UpdateDataDocsAction(name="pages", site_names=["pages"])],
        result_format={"result_format": "BASIC", "partial_unexpected_count": 0},
    )
    return context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame})


def _configuration(docs: Path) -> DataContextConfig:
    """Everything in memory but the pages; the default one makes a folder of its own in /tmp, and draws bars."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        data_docs_sites={"pages": {"class_name": "SiteBuilder", "store_backend": store}},
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )


def _line(checked: ExpectationValidationResult) -> dict[str, Any]:
    config = checked.expectation_config
    assert config is not None
    column = config.kwargs.get("column")
    raised = _raised(checked.exception_info)
    unexpected = (checked.result or {}).get("unexpected_count")
    name = config.type.removeprefix("expect_").replace("_", " ")
    seen = raised or (f"{unexpected} rows differ" if unexpected else "it does not hold")
    return {
        "expectation": config.type,
        "column": column,
        "severity": "critical" if raised else str(getattr(config.severity, "value", config.severity)),
        "success": bool(checked.success),
        "unexpected": unexpected,
        "sentence": f"{column or 'table'}: {name}" + ("" if checked.success else f": {seen}"),
    }


def _raised(info: dict[str, Any] | None) -> str | None:
    """The message of an expectation that could not be computed, which counts as critical."""
    for part in (info, *(info or {}).values()):
        if isinstance(part, dict) and part.get("raised_exception"):
            return f"could not be computed ({part.get('exception_message')})"
    return None

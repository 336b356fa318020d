"""Validate cleaned rows with Great Expectations, from the use case's schema and its own `validate.py`.

A failed critical expectation stops the run; a warning is reported. The rows are masked, and results hold counts only,
so the data docs show no private value.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipelines.artifacts import ExpectationResult, ValidationReport
from pipelines.data.expectations import from_usecase
from slipway.config import UseCase
from slipway.errors import DataError

if TYPE_CHECKING:
    from great_expectations.checkpoint import CheckpointResult
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context.types.base import DataContextConfig

_SHOWN = 5


def validate(usecase: UseCase, cleaned: Path, out: Path) -> None:
    """Write `result.json` (a result per expectation) and the data docs, `docs/index.html`, into `out`.

    Raises:
        DataError: a critical expectation failed, or could not be computed; the files in `out` tell which.
    """
    frame = pd.read_parquet(cleaned / "cleaned.parquet")
    images = [feature.name for feature in usecase.features if feature.kind == "image"]
    result = _run_checkpoint(usecase, frame.drop(columns=images), out / "docs")
    results = [_to_result(checked) for run in result.run_results.values() for checked in run.results]
    failed = [one for one in results if not one.success]
    critical = [one.sentence for one in failed if one.severity == "critical"]
    ValidationReport(
        passed=not critical,
        rows=len(frame),
        checked=len(results),
        critical=critical,
        warnings=[one.sentence for one in failed if one.severity != "critical"],
        expectations=results,
    ).write(out)
    if critical:
        raise DataError(
            f"{len(critical)} critical expectations of {len(results)} failed: {'; '.join(critical[:_SHOWN])}. "
            f"Correct the data, in the source or in usecases/{usecase.name}/clean.py, or what usecase.yaml promises."
        )


def _run_checkpoint(usecase: UseCase, frame: pd.DataFrame, docs: Path) -> CheckpointResult:
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
    """Keep everything but the data docs in memory; the default makes a folder in /tmp and shows progress bars."""
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


def _to_result(checked: ExpectationValidationResult) -> ExpectationResult:
    config = checked.expectation_config
    assert config is not None
    column = config.kwargs.get("column")
    raised = _error_message(checked.exception_info)
    unexpected = (checked.result or {}).get("unexpected_count")
    name = config.type.removeprefix("expect_").replace("_", " ")
    reason = raised or (f"{unexpected} rows differ" if unexpected else "it does not hold")
    return ExpectationResult(
        expectation=config.type,
        column=column,
        severity="critical" if raised else str(getattr(config.severity, "value", config.severity)),
        success=bool(checked.success),
        unexpected=unexpected,
        sentence=f"{column or 'table'}: {name}" + ("" if checked.success else f": {reason}"),
    )


def _error_message(info: dict[str, Any] | None) -> str | None:
    """Return the message of an expectation that could not be computed, which counts as critical."""
    for part in (info, *(info or {}).values()):
        if isinstance(part, dict) and part.get("raised_exception"):
            return f"could not be computed ({part.get('exception_message')})"
    return None

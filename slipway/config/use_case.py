"""The use case: its file, checked for consistency, and the functions of its folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from slipway.config.names import require_free_names, require_hidden_target
from slipway.config.numbers import Whole
from slipway.config.sections import (
    Canary,
    Feature,
    Feedback,
    Gates,
    Monitoring,
    Names,
    Objectives,
    Retraining,
    Schedule,
    Section,
    Serving,
    Source,
    Split,
    Target,
)
from slipway.errors import UseCaseError, suggestion

Task = Literal["binary", "multiclass", "regression"]
NAME = r"^[a-z][a-z0-9_]{0,62}$"


class UseCase(Section):
    name: str = Field(
        pattern=NAME,
        description="Name of the use case and of its registered model: the folder's name.",
        examples=["churn"],
    )
    owner: str = Field(description="Who is responsible.", examples=["customers@example.com"])
    description: str = Field(
        "", description="What the model is for.", examples=["Whether a customer cancels within a month."]
    )
    task: Task = Field(description="Kind of task.", examples=["binary"])
    source: Source = Field(description="Where the data comes from.")
    features: list[Feature] = Field(min_length=1, description="Inputs of the model.")
    target: Target = Field(description="What is predicted.")
    retired: Names = Field(
        [], description="Former features: accepted in requests and ignored.", examples=[["fax_number"]]
    )
    split: Split = Field(Split(), description="How rows are divided into train, validation and holdout.")
    params: dict[str, Any] = Field({}, description="Hyperparameters of the network.", examples=[{"epochs": 40}])
    seed: Whole = Field(7, ge=0, lt=2**32, description="Seed of every random choice.")
    schedule: Schedule = Field(Schedule(), description="Cron schedules, in UTC.")
    gates: Gates = Field(Gates(), description="Conditions that a version must meet to become challenger.")
    serving: Serving = Field(Serving(), description="How predictions are served.")
    objectives: Objectives = Field(
        Objectives(),
        description="Service level objectives of predictions; a version is served with those that it was trained with.",
    )
    feedback: Feedback = Field(Feedback(), description="Which labels count.")
    monitoring: Monitoring = Field(Monitoring(), description="How drift is detected.")
    canary: Canary = Field(Canary(), description="Stages and limits of a rollout.")
    retraining: Retraining = Field(Retraining(), description="When a training is started automatically.")
    auto_promote: bool = Field(
        False, description="Whether a challenger that passed its gates starts a rollout automatically."
    )
    folder: Path = Field(exclude=True)
    overridden: tuple[str, ...] = Field((), exclude=True)

    @model_validator(mode="after")
    def _consistent(self) -> UseCase:
        names = [feature.name for feature in self.features]
        bare = [name.strip() for name in names]  # as a CSV file's header is read
        twice = [name for name in names if bare.count(name.strip()) > 1]
        if twice:
            raise ValueError(f"features named twice: {sorted(set(twice))}")
        if not any(feature.private not in ("drop", "token") for feature in self.features):
            raise ValueError("every feature is private (drop or token): nothing is left for the model to see")
        require_free_names(self.features, self.target, self.split, self.retired)
        require_hidden_target(self.features, self.target, self.split)
        for place, name in self.gates.named:
            if name not in names:
                raise ValueError(f"gates.{place}: no feature {name!r}.{suggestion(name, names)}")
        self._check_missing_words()
        self._check_target()
        self._check_objectives()
        return self

    def _check_objectives(self) -> None:
        """Refuse a stated latency above the deadline; the default one follows a shorter deadline."""
        stated = "latency_ms" in self.objectives.model_fields_set
        if stated and self.objectives.latency_ms > self.serving.deadline_ms:
            raise ValueError(
                f"objectives.latency_ms {self.objectives.latency_ms:g} is above serving.deadline_ms "
                f"{self.serving.deadline_ms}, after which a request is refused: lower it, or raise the deadline"
            )

    def _check_missing_words(self) -> None:
        for feature in self.features:
            if both := sorted(set(self.source.missing) & set(feature.vocabulary or ())):
                raise ValueError(f"source.missing and the vocabulary of {feature.name!r} both hold {both}: keep one")
        if both := sorted(set(self.source.missing) & set(self.target.classes)):
            raise ValueError(f"source.missing and target.classes both hold {both}: keep one")

    def _check_target(self) -> None:
        classes, positive = self.target.classes, self.target.positive
        if self.task == "regression":
            if classes or positive:
                raise ValueError("a regression has no `target.classes` and no `target.positive`")
        elif len(classes) < 2 or (self.task == "binary" and len(classes) != 2):
            raise ValueError(
                f"target.classes {classes}: {'two' if self.task == 'binary' else 'two or more'} are needed"
            )
        elif self.task == "binary" and positive not in classes:
            raise ValueError(f"target.positive {positive!r} is none of {classes}")
        elif self.task == "multiclass" and positive:
            raise ValueError("target.positive is for binary tasks only")

    def function(self, module: str, name: str) -> Callable[..., Any] | None:
        """Load the function `name` of the folder's `module.py`; None if the folder has no such file.

        Raises:
            UseCaseError: the file is there, but has no such function.
        """
        path = self.folder / f"{module}.py"
        if not path.exists():
            return None
        spec = importlib.util.spec_from_file_location(f"usecases.{self.name}.{module}", path)
        assert spec and spec.loader
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        if not hasattr(loaded, name):
            raise UseCaseError(f"{path} has no function {name!r}: write `def {name}(…)` there, or remove the file.")
        return getattr(loaded, name)

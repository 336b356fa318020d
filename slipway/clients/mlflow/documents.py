"""What Slipway reads of MLflow's responses, as types: anything else is refused, with its place.

A field that MLflow leaves out where it is empty has a default here; null, another type or a number that none of our
own could be is none of MLflow's.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Number = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
Milliseconds = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]  # until the year 9999
Name = Annotated[str, Meta(min_length=1, max_length=1000)]


class Tag(Struct, frozen=True):
    """A tag of a model, of a version or of a run."""

    key: Name
    value: str = ""


class Alias(Struct, frozen=True):
    """An alias and the version that it names."""

    alias: Name
    version: Number


class Model(Struct, frozen=True):
    """A registered model."""

    name: Name
    aliases: tuple[Alias, ...] = ()
    tags: tuple[Tag, ...] = ()
    creation_timestamp: Milliseconds = 0


class Version(Struct, frozen=True):
    """A version of a registered model."""

    name: Name
    version: Number
    run_id: str = ""
    source: str = ""
    tags: tuple[Tag, ...] = ()
    creation_timestamp: Milliseconds = 0


class RunInfo(Struct, frozen=True):
    """A run, without what was logged in it."""

    run_id: Name
    artifact_uri: Name
    experiment_id: str = ""


class RunData(Struct, frozen=True):
    """What was logged in a run."""

    tags: tuple[Tag, ...] = ()


class Run(Struct, frozen=True):
    """A run."""

    info: RunInfo
    data: RunData = RunData()


class File(Struct, frozen=True):
    """A file or a folder of a run's artifacts."""

    path: Name
    is_dir: bool = False


class Experiment(Struct, frozen=True):
    """An experiment."""

    experiment_id: Name


class Accepted(Struct, frozen=True):
    """The response to a change, of which nothing is read."""


class Error(Struct, frozen=True):
    """The response to a request that failed."""

    error_code: str = ""
    message: str = ""


class ModelResponse(Struct, frozen=True):
    """The response with one registered model."""

    registered_model: Model


class VersionResponse(Struct, frozen=True):
    """The response with one version."""

    model_version: Version


class RunResponse(Struct, frozen=True):
    """The response with one run."""

    run: Run


class ExperimentResponse(Struct, frozen=True):
    """The response with one experiment."""

    experiment: Experiment


class DownloadUri(Struct, frozen=True):
    """Where the artifacts of a version are."""

    artifact_uri: Name


class Page(Struct, frozen=True):
    """A part of a list; the next one is asked for by the token, if there is one."""

    next_page_token: str = ""


class Models(Page, frozen=True):
    """A page of registered models."""

    registered_models: tuple[Model, ...] = ()


class Versions(Page, frozen=True):
    """A page of versions."""

    model_versions: tuple[Version, ...] = ()


class Runs(Page, frozen=True):
    """A page of runs."""

    runs: tuple[Run, ...] = ()


class Files(Page, frozen=True):
    """A page of artifacts."""

    files: tuple[File, ...] = ()

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from slipway import config
from slipway.contracts.objectives import Objectives
from slipway.errors import UseCaseError
from slipway.settings import settings

OF_Y = {"name": "outcome", "column": "Y", "classes": ["good", "bad"], "positive": "bad"}
PHOTO = {"name": "photo", "kind": "image", "size": [8, 8], "channels": 1}
PLAIN = {
    "name": "plain",
    "owner": "us",
    "task": "binary",
    "source": {"path": "rows.csv"},
    "features": [{"name": "age", "kind": "integer"}, {"name": "city", "kind": "category", "nullable": True}],
    "target": {"name": "outcome", "classes": ["good", "bad"], "positive": "bad"},
    "params": {"epochs": 10},
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLIPWAY_USECASES", str(tmp_path / "usecases"))
    settings.cache_clear()
    (tmp_path / "usecases" / "plain").mkdir(parents=True)

    def write(**changes: object) -> None:
        (tmp_path / "usecases" / "plain" / "usecase.yaml").write_text(yaml.safe_dump(PLAIN | changes))

    write()
    return write


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature": []}, "feature: unknown key. Did you mean 'features'"),
        ({"source": {"pth": "x", "generator": "data:load"}}, "source.pth: unknown key. Did you mean 'path'"),
        ({"features": [{"name": "a", "kind": "number", "rnge": [0, 1]}]}, "features.0.rnge: .* Did you mean 'range'"),
        ({"features": [{"name": "a", "kind": "text"}]}, "features.0.kind: .*'category'.*received: 'text'"),
        ({"target": {"name": "age", "classes": ["a", "b"], "positive": "b"}}, "told the answer"),
        ({"target": {"name": "y", "classes": ["a", "b"], "positive": "c"}}, "'c' is none of"),
        ({"target": {"name": "y", "classes": ["a"]}}, "two are needed"),
        ({"task": "regression"}, "a regression has no"),
        ({"source": {}}, "names no data"),
        ({"source": {"url": "https://example.com/rows.csv"}}, "without its `sha256`"),
        ({"split": {"fractions": {"train": 0.9, "validation": 0.2, "holdout": 0.2}}}, "sum to 1.3"),
        ({"features": [{"name": "a", "kind": "image"}]}, "size: .height, width."),
        ({"features": [{"name": "a", "kind": "number", "private": "bucket"}]}, "`bins` go together"),
        ({"features": [{"name": "a", "kind": "number", "private": "drop"}]}, "nothing is left for the model"),
        ({"gates": {"slices": [{"feature": "cty"}]}}, "Did you mean 'city'"),
        ({"name": "other"}, "must be the folder's"),
        ({"features": [{"name": "a", "kind": "number"}] * 2}, r"named twice: \['a'\]"),
        ({"features": [{"name": name, "kind": "number"} for name in ("a", " a")]}, r"named twice: \[' a', 'a'\]"),
        *[
            ({"features": [{"name": name, "kind": "number"}]}, "features: .* holds .*give the source's in `column`")
            for name in ('5"', "a\\b", "a\tb", "a\nb", "\x1f")
        ],
        ({"retired": ['5"']}, "retired: .* holds"),
        (
            {"features": [{"name": "slipway.weight", "kind": "number"}]},
            "features: .slipway.weight. begins",
        ),
        ({"features": [{"name": "Prediction.label", "kind": "number"}]}, "begins with .prediction.*`column: Pred"),
        ({"target": {"name": "SLIPWAY.x", "classes": ["a", "b"], "positive": "b"}}, "target: .SLIPWAY.x. begins"),
        ({"split": {"key": ["slipway.id"]}}, "split: .slipway.id. begins with .*decode.py"),
        ({"split": {"group": "slipway.id"}}, "split: .slipway.id. begins with"),
        ({"split": {"time": "prediction.at"}}, "split: .prediction.at. begins with"),
        ({"split": {"time": "outcome"}}, "cannot go by the target .outcome"),
        ({"features": [{"name": "a", "kind": "category", "column": "outcome"}]}, "'a' is read from .* told the answer"),
        ({"features": [{"name": "Y", "kind": "number"}], "target": OF_Y}, "'Y' is read from .* told the answer"),
        ({"features": [{"name": " Y", "kind": "number"}], "target": OF_Y}, "' Y' is read from .* told the answer"),
        ({"split": {"group": "Y"}, "target": OF_Y}, "cannot go by the target .Y"),
        ({"split": {"key": ["age", "Y"]}, "target": OF_Y}, "cannot go by the target .Y"),
        (
            {"features": [PHOTO, {"name": "photo_contrast", "kind": "number"}]},
            "photo_contrast.* statistics",
        ),
        ({"features": [PHOTO, {**PHOTO, "name": "photo_entropy"}]}, "photo_entropy.* statistics of the image .photo"),
        ({"retired": ["age", "fax"]}, "retired: .*age.* are features, too"),
        ({"source": {"path": "x", "csv": {"separator": ""}}}, "source.csv.separator: .*at least 1 character"),
        ({"source": {"path": "x", "csv": {"separator": "[;,]\\|"}}}, "source.csv: `separator` .* is a pattern"),
        ({"source": {"path": "x", "csv": {"decimal": ","}}}, "source.csv: `separator` and `decimal` are both ','"),
        ({"source": {"path": "x", "csv": {"decimal": "'"}}}, "source.csv.decimal"),
        ({"source": {"path": "x", "missing": ["good"]}}, r"target.classes both hold \['good'\]"),
        (
            {
                "source": {"path": "x", "missing": ["-", "none"]},
                "features": [{"name": "a", "kind": "category", "vocabulary": ["none", "some"]}],
            },
            r"the vocabulary of 'a' both hold \['none'\]",
        ),
        ({"split": {"time": "day", "time_zone": "CEST?"}}, "split: `time_zone` 'CEST\\?' is no zone"),
        ({"objectives": {"availability": 1}}, "objectives.availability: .*less than 1 .received: 1"),
        ({"objectives": {"availability": 99.9}}, "objectives.availability: .*less than 1"),
        ({"objectives": {"latency_quantile": 0}}, "objectives.latency_quantile: .*greater than 0"),
        ({"objectives": {"latency_ms": 0}}, "objectives.latency_ms: .*greater than 0"),
        ({"objectives": {"window_days": 31}}, "objectives.window_days: .*7, 14, 28, 30 or 90 .received: 31"),
        ({"objectives": {"latency": 5}}, "objectives.latency: unknown key.*latency_ms"),
        ({"objectives": {"latency_ms": 1001}}, "latency_ms 1001 is above serving.deadline_ms 1000.*lower it, or raise"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_and_the_remedy(write, changes: dict, message: str) -> None:
    write(**changes)
    with pytest.raises(UseCaseError, match=message):
        config.load("plain")


TWICE = "is given more than once"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": {"name": "y", "classes": ["1", "1"], "positive": "1"}}, f"target.classes: '1' {TWICE}"),
        ({"task": "multiclass", "target": {"name": "y", "classes": ["no", "yes", "yes"]}}, f"classes: 'yes' {TWICE}"),
        ({"features": [{"name": "a", "kind": "category", "vocabulary": ["x", "y", "x"]}]}, f"vocabulary: 'x' {TWICE}"),
        ({"source": {"path": "a.csv", "csv": {"header": False, "columns": ["x", "x"]}}}, f"csv.columns: 'x' {TWICE}"),
        ({"retired": ["old", "old"]}, f"retired: 'old' {TWICE}"),
        ({"split": {"key": ["age", "age"]}}, f"split.key: 'age' {TWICE}"),
        ({"gates": {"invariant": ["age", "age"]}}, f"gates.invariant: 'age' {TWICE}"),
        ({"gates": {"slices": [{"feature": "city"}, {"feature": "city"}]}}, f"gates.slices: .*city.* {TWICE}"),
        ({"gates": {"slices": [{"feature": "age", "bins": [30, 30]}]}}, "bins: .* are not rising edges"),
        ({"features": [{"name": "a", "kind": "number", "private": "bucket", "bins": [3, 3.0]}]}, "not rising edges"),
        ({"retraining": {"reasons": ["drift", "age", "drift"]}}, f"retraining.reasons: 'drift' {TWICE}"),
        ({"retraining": {"label_filters": ["a", "a"]}}, f"label_filters: 'a' {TWICE}"),
        ({"canary": {"stages": [5, 5, 100]}}, "rising percents"),
        ({"monitoring": {"retention_days": 1, "window_hours": 25}}, "retention_days 1 is less than window_hours 25"),
        ({"monitoring": {"retention_days": 0}}, "monitoring.retention_days: .*greater than or equal to 1"),
    ],
)
def test_a_list_that_is_a_set_has_nothing_twice(write, changes: dict, message: str) -> None:
    write(**changes)
    with pytest.raises(UseCaseError, match=message):
        config.load("plain")


def test_the_default_objective_of_latency_follows_a_shorter_deadline(write) -> None:
    write(serving={"deadline_ms": 20})
    found = config.load("plain")
    assert found.objectives.latency_ms == 50
    serving = {**found.serving.model_dump(), "objectives": found.objectives.model_dump()}
    assert Objectives.of(serving).latency_ms == 20


def test_a_bundle_without_objectives_has_the_defaults_of_the_file(write) -> None:
    write()
    assert msgspec.structs.asdict(Objectives.of({})) == config.load("plain").objectives.model_dump()


def test_one_feature_may_be_sliced_twice_by_other_bins(write) -> None:
    slices = [{"feature": "age", "bins": [30]}, {"feature": "age", "bins": [40]}]
    write(gates={"slices": slices})
    assert [part.bins for part in config.load("plain").gates.slices] == [[30], [40]]


def test_a_mistyped_name_gets_a_suggestion(write) -> None:
    with pytest.raises(UseCaseError, match="no use case 'plan'.*Did you mean 'plain'"):
        config.load("plan")


def test_overrides_set_parameters_and_dotted_configuration(write) -> None:
    loaded = config.load("plain", {"epochs": "2", "split.salt": "other", "seed": "11", "source.path": "there.csv"})
    assert loaded.params == {"epochs": 2}
    assert (loaded.split.salt, loaded.seed, loaded.source.path) == ("other", 11, "there.csv")
    assert "source.path" in loaded.overridden


def test_an_override_of_what_is_no_mapping_is_refused(write) -> None:
    with pytest.raises(UseCaseError, match="'seed' is no mapping|'name' is no mapping"):
        config.load("plain", {"name.x": "1"})


def test_functions_are_loaded_from_the_folder_and_a_missing_one_is_named(write, tmp_path: Path) -> None:
    loaded = config.load("plain")
    assert loaded.function("clean", "clean") is None
    (loaded.folder / "clean.py").write_text("def clean(frame):\n    return frame\n")
    assert loaded.function("clean", "clean")("rows") == "rows"
    with pytest.raises(UseCaseError, match="no function 'build'"):
        loaded.function("clean", "build")


def test_a_feature_that_was_retired_may_have_had_any_name(write) -> None:
    write(retired=["slipway.weight", "prediction.label"])
    assert config.load("plain").retired == ["slipway.weight", "prediction.label"]

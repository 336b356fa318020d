"""`slipway history` on a real MLflow: what happened, what stands, and whether it is what was registered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitoring.analysis import verdict
from monitoring.governance import history, registry_snapshot, trace
from monitoring.governance.alias_changes import (
    AMBIGUOUS,
    SUPERSEDED,
    AliasChange,
    alias_changes,
    last_change,
    proven_actor,
)
from monitoring.governance.registry_watcher import RegistryWatcher
from slipway import audit, ids, timestamps
from slipway.clients.mlflow.documents import Accepted
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.events import encoder, feedback_event, prediction_event
from slipway.errors import NotFound
from slipway.local.doctor import services
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.support import bundles
from tests.support.prediction_log.broken_log import break_log
from tests.support.server_views import served
from tests.support.servers import publish, unique_name

UNPROVEN = "not known: this MLflow has no login (ann@laptop, says the line)"
TAGS = {"slipway.gate": "passed", "slipway.data_sha256": "d" * 64, "slipway.git_commit": "c" * 40}


class RegisteredModel:
    """A registered model, and what people and servers do to it."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry, self.name, self._folder = registry, unique_name("loans"), folder

    def register(self, bias: float = 0.0, **tags: str) -> str:
        folder = self._folder / f"bundle-{len(list(self._folder.iterdir()))}"
        bundles.write(folder, bias=bias)
        return publish(self.registry.uri, self.name, folder, {**TAGS, **tags})

    def digest(self, version: str) -> str:
        return str(self.registry.version(self.name, version).digest)

    def promote(self, version: str, before: str | None = None) -> None:
        self.registry.set_alias(self.name, "champion", version)
        evidence = {"alias": "champion", "from": before, "to": version}
        audit.append(self.name, "promoted", who="ann@laptop", why="it is better", version=version, evidence=evidence)

    def change_store(self, version: str, file: str, content: bytes) -> None:
        self.registry.put_artifact(self.registry.version(self.name, version).source, file, content)

    def delete(self, version: str) -> None:
        self.registry._send(Accepted, "DELETE", "model-versions/delete", name=self.name, version=version)

    def predict(self, version: str, role: str = "champion", row: str | None = None, **more: Any) -> str:
        row = row or ids.row_id(ids.uuid7(), 0)
        context = encoder.EventEncoder(
            environment="local",
            usecase=self.name,
            version=version,
            bundle_sha256=more.get("digest") or self.digest(version),
            role=role,
            answered=role != "shadow",
            timestamp=timestamps.now_iso(),
            model_ms=1.5,
        )
        request = prediction_event.EventRequest("t" * 32, "r", 1)
        self._log("prediction", context.encode_row(request, row, {"age": 40.0}, answer={"label": "bad", "score": 0.75}))
        return row

    def labelled(self, row: str, label: str) -> None:
        now = timestamps.now_iso()
        line = feedback_event.feedback_line(
            environment="local", usecase=self.name, trace_id="t", timestamp=now, known_at=now, row=row, label=label
        )[1]
        self._log("feedback", line)

    def _log(self, stream: str, line: bytes) -> None:
        writer = Writer(settings().spool, self.name, stream)
        assert writer.write(line)
        writer.close()


@pytest.fixture
def model(mlflow_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RegisteredModel:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("SLIPWAY_SERVERS", "http://127.0.0.1:9")
    settings.cache_clear()
    (tmp_path / "bundles").mkdir()
    return RegisteredModel(Registry(mlflow_server), tmp_path / "bundles")


def gathered(model: RegisteredModel, **more: Any) -> history.History:
    return history.gather(model.name, settings(), poll=lambda *_: [served("http://a", ["1", "1"])], **more)


def test_registration_promotion_and_servers_come_in_the_order_of_time(model: RegisteredModel) -> None:
    first = model.register(**{"slipway.serving.local": "replaced: by version 2 since 2126-01-01T00:00:00.000000Z"})
    second = model.register(**{"slipway.run_key": "k" * 64})
    model.promote(first)
    model.promote(second, first)
    found = gathered(model)
    assert [(event.action, event.version) for event in found.events] == [
        ("registered", "1"),
        ("registered", "2"),
        ("promoted", "1"),
        ("promoted", "2"),
        ("serving", "1"),
    ]
    # No run of ours made the first one.
    assert [event.who for event in found.events[:3]] == [audit.UNKNOWN, "slipway train", "ann@laptop"]
    assert found.events[4].why == "replaced: by version 2"
    assert "data dddddddd, commit cccccccc, gates: " in found.events[0].why
    assert found.aliases == {"champion": "2"}
    assert [worker["version"] for worker in found.servers[0]["workers"]] == ["1", "1"]
    assert (found.problems, found.audit) == ([], {"lines": 2, "pending": 0, "copy": None, "compared": False})


def test_what_was_only_noticed_stands_before_what_followed_from_it(model: RegisteredModel) -> None:
    version = model.register()
    before = "2026-01-01T00:00:00.000000Z"
    audit.append(model.name, "canary.began", who="slipway rollout", version=version)
    moved = {"alias": "canary", "from": None, "to": version, "after": before}
    audit.append(model.name, "alias.moved", who=audit.UNKNOWN, version=version, evidence=moved)
    assert [event.action for event in gathered(model).events] == ["registered", "alias.moved", "canary.began"]


def test_a_verdict_of_drift_is_part_of_it_and_an_all_clear_is_not(model: RegisteredModel) -> None:
    model.register()
    for stem, kind in (("20260131T120000000000Z", "drift"), ("20260131T130000000000Z", "none")):
        result = {
            "usecase": model.name,
            "created": f"2026-01-31T{stem[9:11]}:00:00.000Z",
            "verdict": kind,
            "version": "1",
            "sentence": f"It is {kind}.",
            "drifted": ["age"],
            "quality": None,
            "report": None,
        }
        verdict.write(settings(), result, f"{stem}.json")
    found = [event for event in gathered(model).events if event.action == "verdict"]
    assert [(event.at, event.why) for event in found] == [("2026-01-31T12:00:00.000Z", "It is drift.")]


@pytest.mark.parametrize("file", ["manifest.json", "serve/model.onnx", "monitor/reference.parquet"])
def test_one_changed_byte_of_a_version_fails_the_command(model: RegisteredModel, cli: Callable, file: str) -> None:
    model.register()
    model.promote("1")
    assert cli("history", model.name).code == 0
    content = model.registry.small_artifact(model.registry.version(model.name, "1").source, file)
    model.change_store("1", file, content[:-1] + b"x")
    ran = cli("history", model.name, "--json")
    assert ran.code == 1
    found = json.loads(ran.out)
    assert (found["verified"], found["versions"][0]["verified"]) == (False, False)
    assert "version 1" in found["problems"][0]


def test_a_deleted_version_and_an_altered_digest_are_reported(model: RegisteredModel) -> None:
    for _ in range(2):
        model.register()
    model.promote("1")
    now = registry_snapshot.take_snapshot(timestamps.now_iso(), {}, {}, model.registry.versions(model.name), None)
    registry_snapshot.write(settings(), model.name, now)
    model.delete("1")
    model.registry.set_version_tag(model.name, "2", "slipway.bundle_sha256", "e" * 64)
    problems = " ".join(gathered(model).problems)
    assert "version 1 is no longer in the registry" in problems
    assert "version 2 was altered" in problems


def test_an_audit_line_that_was_changed_fails_the_command_and_hides_no_other(
    model: RegisteredModel, cli: Callable
) -> None:
    model.register()
    model.promote("1")
    model.promote("1")
    names = sorted(path for path in Path(settings().log_root).rglob("*.json") if model.name in str(path))
    names[0].write_text("{}")
    ran = cli("history", model.name)
    assert ran.code == 1
    assert "is no line of the audit any more" in ran.out
    assert ran.out.count("promoted") == 1


def test_a_model_that_nobody_knows_is_an_error_that_names_the_known(model: RegisteredModel, cli: Callable) -> None:
    model.register()
    ran = cli("history", model.name + "x")
    assert ran.code == 1
    assert f"Did you mean '{model.name}'?" in ran.err


def test_since_leaves_out_what_was_before(model: RegisteredModel, cli: Callable) -> None:
    model.register()
    ran = cli("history", model.name, "--since", "2126-01-01")
    assert (ran.code, "registered" in ran.out.split("Current state")[0]) == (0, False)


def test_a_prediction_is_traced_to_data_commit_gates_and_who_promoted(model: RegisteredModel, cli: Callable) -> None:
    model.register()
    model.promote("1")
    row = model.predict("1")
    model.predict("1", "shadow", row)
    model.labelled(row, "good")
    model.predict("1")
    ran = cli("history", model.name, "--id", row, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert [(answer["role"], answer["answered"]) for answer in found["answers"]] == [
        ("champion", True),
        ("shadow", False),
    ]
    assert found["label"]["label"] == "good"
    assert found["stands_on"]["data_sha256"] == "d" * 64
    assert found["stands_on"]["digest"] == found["answers"][0]["digest"]
    assert found["stands_on"]["gates"][0]["verdict"] == "passed"
    assert found["put_there"]["who"] == "ann@laptop"
    assert found["promoter"] == "not known: this MLflow has no login"
    output = cli("history", model.name, "--id", row).out
    for part in (row, "as champion", "as shadow", "d" * 64, "c" * 40, ": it is better", UNPROVEN, "every byte"):
        assert part in output, output


def test_nobody_is_named_for_a_move_that_was_only_noticed(model: RegisteredModel, cli: Callable) -> None:
    """Ann moved the alias before, with a login; somebody else moves it where nobody logs in."""
    changes = RegistryWatcher(settings(), model.registry, iter(range(0, 10_000, 20)).__next__)
    for _ in range(2):
        model.register()
    for version, is_recorded in (("1", True), ("2", True), ("1", True), ("2", False)):
        model.registry.set_alias(model.name, "champion", version)
        if is_recorded:
            evidence = {"alias": "champion", "from": None, "to": version, "login": True}
            audit.append(model.name, "alias.moved", who="ann", version=version, evidence=evidence)
        for _ in range(2):
            changes.once(model.name)
    assert audit.lines(model.name)[-1].who == audit.UNKNOWN
    ran = cli("history", model.name, "--id", model.predict("2"))
    assert (ran.code, "ann" in ran.out, "by" in ran.out) == (0, False, True)


def test_a_prediction_of_a_deleted_version_still_names_data_and_commit(model: RegisteredModel, cli: Callable) -> None:
    model.register()
    model.promote("1")
    row = model.predict("1")
    changes = RegistryWatcher(settings(), model.registry, iter(range(0, 1000, 20)).__next__)
    changes.once(model.name)
    model.delete("1")
    for _ in range(2):
        changes.once(model.name)
    ran = cli("history", model.name, "--id", row)
    assert ran.code == 1
    for part in ("version 1 is no longer in the registry", "d" * 64, "c" * 40, UNPROVEN):
        assert part in ran.out, ran.out


def test_a_number_that_comes_again_is_not_the_version_of_older_predictions(
    model: RegisteredModel, cli: Callable
) -> None:
    """The model is deleted and trained anew: its first version is 1 again, of another bundle."""
    model.register()
    model.promote("1")
    row, digest = model.predict("1"), model.digest("1")
    now = registry_snapshot.take_snapshot(timestamps.now_iso(), {}, {}, model.registry.versions(model.name), None)
    registry_snapshot.write(settings(), model.name, now)
    model.registry._send(Accepted, "DELETE", "registered-models/delete", name=model.name)
    model.register(bias=2.0)
    assert model.digest("1") != digest
    found = json.loads(cli("history", model.name, "--id", row, "--json").out)
    assert (found["stands_on"], found["answers"][0]["digest"]) == (None, digest)
    assert found["problems"][0].startswith("version 1 is no longer in the registry")
    assert not [problem for problem in gathered(model).problems if "altered" in problem]


def test_a_model_that_is_deleted_twice_keeps_its_generations_apart(model: RegisteredModel, cli: Callable) -> None:
    """Each has a version 1, and ann promoted the first of them alone."""
    changes = RegistryWatcher(settings(), model.registry, iter(range(0, 1000, 20)).__next__)
    rows = []
    for bias in (0.0, 1.0, 2.0):
        model.register(bias=bias, **{"slipway.data_sha256": f"{bias:.0f}" * 64})
        if not bias:
            model.promote("1")
        rows.append(model.predict("1"))
        changes.once(model.name)
        if bias < 2:
            model.registry._send(Accepted, "DELETE", "registered-models/delete", name=model.name)
            for _ in range(2):
                changes.once(model.name)
    assert len((registry_snapshot.read(settings(), model.name) or pytest.fail()).gone) == 2
    traced = [json.loads(cli("history", model.name, "--id", row, "--json").out) for row in rows]
    assert [bool(found["put_there"]) for found in traced] == [True, False, False]
    for bias, found in enumerate(traced[:2]):
        assert f"Its data was {str(bias) * 64}" in found["problems"][0]
    assert (traced[2]["verified"], traced[2]["stands_on"]["data_sha256"]) == (True, "2" * 64)
    problems = gathered(model).problems
    assert len(problems) == 2 and all(one.endswith("Another version has its number now.") for one in problems)


def test_a_model_that_was_renamed_for_a_while_is_whole_again(model: RegisteredModel) -> None:
    changes = RegistryWatcher(settings(), model.registry, iter(range(0, 1000, 20)).__next__)
    model.register()
    row, warnings = model.predict("1"), []
    for before, after in ((model.name, f"{model.name}_old"), (f"{model.name}_old", model.name)):
        for _ in range(2):
            warnings = changes.once(model.name)
        model.registry._send(Accepted, "POST", "registered-models/rename", name=before, new_name=after)
    assert warnings == ["version 1 was deleted from the registry."]
    for _ in range(2):
        warnings = changes.once(model.name)
    assert (warnings, gathered(model).problems) == ([], [])
    assert trace.trace(model.name, row, settings()).is_verified


def test_a_version_is_found_by_its_bundle_whatever_its_number_is_by_now(model: RegisteredModel, cli: Callable) -> None:
    model.register(bias=2.0)
    model.register()
    row = model.predict("1", digest=model.digest("2"))
    found = json.loads(cli("history", model.name, "--id", row, "--json").out)
    assert (found["stands_on"]["version"], found["verified"]) == ("2", True)


def test_a_prediction_by_another_bundle_than_the_registry_has_is_noticed(model: RegisteredModel, cli: Callable) -> None:
    model.register()
    row = model.predict("1", digest="a" * 64)
    ran = cli("history", model.name, "--id", row)
    assert (ran.code, "had the digest aaaaaaaaaaaa" in ran.out) == (1, True)


def test_an_unknown_prediction_is_an_error_that_says_so(model: RegisteredModel, cli: Callable) -> None:
    model.register()
    ran = cli("history", model.name, "--id", ids.row_id(ids.uuid7(), 0))
    assert ran.code == 1
    assert "has no prediction with the id" in ran.err


def test_a_line_says_which_aliases_went_with_it() -> None:
    def line(action: str, **evidence: Any) -> audit.AuditLine:
        return audit.AuditLine("i", "t", "local", "loans", action, "ann", version="4", evidence=evidence)

    assert alias_changes(line("promoted", alias="challenger", to="4")) == [AliasChange("challenger", "4")]
    both = {"moved": [{"alias": "champion", "to": "3"}, {"alias": "canary", "to": None}]}
    assert alias_changes(line("rolled_back", **both)) == [AliasChange("champion", "3"), AliasChange("canary", None)]
    assert alias_changes(line("retraining.asked")) == []


def test_a_version_is_attributed_to_the_latest_alias_change_before_the_prediction() -> None:
    def line(id: str, at: str, version: str, **more: Any) -> audit.AuditLine:
        evidence = {"alias": "champion", "to": version, **more}
        return audit.AuditLine(id, f"2026-01-31T{at}:00Z", "local", "loans", "promoted", "ann", "", version, evidence)

    lines = [line("a", "10:00", "1"), line("b", "11:00", "2"), line("c", "12:00", "1"), line("d", "13:00", "1")]
    observed_late = line("e", "14:00", "3", after="2026-01-31T13:30:00Z")
    assert last_change(lines, AliasChange("champion", "1"), "2026-01-31T11:30:00Z").id == "a"
    assert last_change(lines, AliasChange("champion", "1"), "2026-01-31T12:30:00Z").id == "c"
    assert last_change(lines, AliasChange("champion", "3"), "2026-01-31T13:40:00Z") is None
    assert last_change([*lines, observed_late], AliasChange("champion", "3"), "2026-01-31T13:40:00Z").id == "e"


def test_a_prediction_that_is_not_found_may_be_in_a_broken_file(var: Path) -> None:
    names = break_log(settings(), "loans")
    with pytest.raises(NotFound, match="broken in 3 files") as raised:
        trace.trace("loans", "no-such-id", settings())
    assert names[0] in str(raised.value)


@pytest.mark.parametrize("digits", ["0" * 12, "f" * 12, "e677d21fdbff", "e677d21fdc00"])
def test_an_id_of_any_time_has_a_range_of_times_or_none(digits: str) -> None:
    since, until = trace._times(f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000-0")
    assert (since is None) == (until is None)


def move(at: str, who: str, action: str = "alias.moved", **evidence: Any) -> audit.AuditLine:
    moved = {"alias": "champion", "from": "1", "to": "2", **evidence}
    return audit.AuditLine(at, f"2026-01-31T{at}Z", "local", "loans", action, who, version="2", evidence=moved)


ANN, BOB = move("10:00:00", "ann", login=True), move("12:00:00", "bob", login=True)
NOBODY = move("12:00:00", audit.UNKNOWN, login=False)
TO_AND_FRO = [
    move("10:00:20", audit.UNKNOWN, to="3", after="2026-01-31T10:00:05Z"),
    move("10:00:21", audit.UNKNOWN, after="2026-01-31T10:00:10Z"),
]
AWAY = move("12:00:00", audit.UNKNOWN, to="3", after="2026-01-31T11:59:55Z")  # only noticed
SAID = move("12:00:01", "cid@laptop", "promoted")


@pytest.mark.parametrize(
    ("lines", "actor"),
    [
        ([], audit.UNKNOWN),
        ([ANN], "ann"),
        ([ANN, BOB], "bob"),
        ([ANN, NOBODY], audit.UNKNOWN),  # the login was switched off
        ([ANN, SAID], audit.UNKNOWN),  # MLflow was started without our app
        ([ANN, BOB, SAID], "bob"),
        ([NOBODY, SAID], audit.UNKNOWN),
        ([ANN, move("12:20:00", "bob", login=True)], "ann"),  # after the prediction
        ([ANN, move("12:10:10", "bob", login=True)], AMBIGUOUS),  # after it, by these two clocks
        ([ANN, move("12:09:50", "ann", login=True)], "ann"),
        ([move("12:09:40", "bob", login=True), move("12:09:50", "ann", login=True)], AMBIGUOUS),
        ([ANN, move("12:30:00", audit.UNKNOWN, after="2026-01-31T12:05:00Z")], audit.UNKNOWN),  # only noticed
        ([ANN, move("12:30:00", "eve", to="3", login=True)], "ann"),  # of another version
        ([move("12:00:00", "eve", "rolled_back")], audit.UNKNOWN),
        # It was moved away, and so quickly to and fro that nobody saw it, but for the prediction
        ([ANN, AWAY], SUPERSEDED),
        ([ANN, move("12:00:00", "bob", to="3", login=True)], SUPERSEDED),
        ([ANN, move("12:00:00", "bob", to=None, login=True)], SUPERSEDED),
        ([ANN, AWAY, move("12:05:00", audit.UNKNOWN, after="2026-01-31T12:04:55Z")], audit.UNKNOWN),
        ([ANN, AWAY, move("12:05:00", "bob", login=True)], "bob"),
        ([ANN, AWAY, move("12:10:05", "bob", login=True)], "bob"),
        ([ANN, *TO_AND_FRO], audit.UNKNOWN),  # seconds after ann's
        ([ANN, AWAY, move("12:20:00", "ann", login=True)], SUPERSEDED),
        ([ANN, move("12:09:50", "bob", to="3", login=True)], "ann"),  # no server has followed yet
        ([ANN, move("12:00:00", "bob", "canary.began", alias="canary", to="3")], "ann"),  # another alias
    ],
)
def test_a_promoter_is_named_only_where_mlflows_login_proved_who_it_was(lines: list, actor: str) -> None:
    """The prediction is of ten minutes past twelve."""
    assert proven_actor(lines, AliasChange("champion", "2"), "2026-01-31T12:10:00Z") == actor


def test_an_alias_that_differs_from_ours_in_case_only_is_warned_of(
    model: RegisteredModel, cli: Callable[..., Any]
) -> None:
    """MLflow keeps `Champion` beside `champion`: who set it believes that servers follow it."""
    first = model.register()
    model.promote(first)
    for alias in ("Champion", "SHADOW", "best"):
        model.registry.set_alias(model.name, alias, first)
    found = gathered(model)
    assert [warning.partition(":")[0] for warning in found.warnings] == [
        "the alias Champion is not champion",
        "the alias SHADOW is not shadow",
    ]
    assert found.is_verified, "nothing was altered"
    assert "  warning: the alias Champion is not champion: nothing follows it." in cli("history", model.name).out
    warned = {finding.detail.partition(": ")[0] for finding in services.aliases(settings())}
    assert model.name in warned

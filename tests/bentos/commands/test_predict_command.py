"""`slipway predict`: the server's answer without a server."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
from pathlib import Path

import msgspec
import pytest

from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.schema import TableFormat
from slipway.errors import NotFound
from slipway.settings import settings
from slipway.system.files import file_sha256
from tests.support import bundles
from tests.support.servers import publish, unique_name

ROW = {"age": 42, "job": "nurse", "visits": 3, "member": True}


@pytest.fixture
def loans(tmp_path: Path) -> str:
    bundles.write(tmp_path / "loans", version_of("loans"))
    return str(tmp_path / "loans")


@pytest.fixture
def shapes(tmp_path: Path) -> str:
    bundles.write(tmp_path / "shapes", bundles.IMAGES)
    return str(tmp_path / "shapes")


def version_of(name: str):
    """Return the tabular schema under another name."""
    bundles.ROWS[name] = bundles.ROWS["loans"]
    return msgspec.structs.replace(bundles.TABULAR, usecase=name)


def test_a_row_is_answered_in_readable_text(cli, loans) -> None:
    ran = cli("predict", "loans", json.dumps(ROW), "--bundle", loans)
    assert ran.code == 0
    label, reason = ran.out.rstrip("\n").split("\t")
    assert label in ("good", "bad") and reason.startswith("P(bad) = 0.") and reason.endswith("threshold 0.5000")
    assert "synthetic" in ran.err


def test_the_answer_is_the_servers(cli, start_client, var) -> None:
    client = start_client()
    served = client.predict(ROW, {**ROW, "age": 300, "visits": None}).json
    ran = cli("predict", "loans", json.dumps([ROW, {**ROW, "age": 300, "visits": None}]), "--json")
    found = json.loads(ran.out)
    assert found["model"] == served["model"] and found["warnings"] == served["warnings"]
    assert list(found) == list(served)
    for ours, theirs in zip(found["predictions"], served["predictions"], strict=True):
        assert {**ours, "id": ""} == {**theirs, "id": ""}
        assert ours["id"].startswith(found["request_id"])


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROW),
        json.dumps([ROW]),
        json.dumps({"instances": [ROW]}),
        json.dumps([[42, 3, "nurse", True]]),
        json.dumps({**ROW, "fax": "retired, and still accepted"}),
    ],
)
def test_rows_are_read_in_every_format_that_the_server_accepts(cli, loans, text) -> None:
    expected = cli("predict", "loans", json.dumps(ROW), "--bundle", loans).out
    assert cli("predict", "loans", text, "--bundle", loans).out == expected


def test_json_lines_are_read_from_standard_input(cli, loans, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"\ufeff{json.dumps(ROW)}\n{json.dumps({**ROW, 'age': 50})}\n"))
    assert len(cli("predict", "loans", "-", "--bundle", loans).out.splitlines()) == 2


def test_tables_are_read_by_the_schema(cli, loans, tmp_path) -> None:
    import pyarrow
    import pyarrow.parquet

    lines = "age,visits,job,member,risk\n42,3,nurse,yes,good\n30,,clerk,,bad\n"
    (tmp_path / "rows.csv").write_text("\ufeff" + lines)
    rows = [ROW, {"age": 30, "visits": None, "job": "clerk", "member": None}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    answers = {
        cli("predict", "loans", str(tmp_path / f"rows.{kind}"), "--bundle", loans).out
        for kind in ("csv", "parquet", "jsonl", "json")
    }
    assert len(answers) == 1 and len(answers.pop().splitlines()) == 2


TRAINED = TableFormat(
    separator=";",
    encoding="latin-1",
    decimal=",",
    missing=("-",),
    names={"age": "Alter", "job": "Beruf", "risk": "Risiko"},
)


@pytest.fixture
def trained(tmp_path: Path) -> str:
    """A bundle whose source has a form of its own."""
    bundles.write(tmp_path / "trained", msgspec.structs.replace(version_of("loans"), table=TRAINED))
    return str(tmp_path / "trained")


def test_the_very_file_that_was_trained_on_is_predicted(cli, trained, tmp_path) -> None:
    content = "Größe;Alter;visits;Beruf;member;Risiko\n1,8;42,5; 3;nurse ;yes;bad\n-;30;-; clerk;NA;\n".encode(
        "latin-1"
    )
    names = ("source.data", "source.csv", "source.txt", "source.csv.gz")
    for name in names:
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (tmp_path / "plain.csv").write_text("age,visits,job,member\n42.5,3,nurse,yes\n30,,clerk,\n")
    plain = cli("predict", "loans", str(tmp_path / "plain.csv"), "--bundle", trained)
    assert plain.code == 0 and "ignored" not in plain.err
    for name in names:
        ran = cli("predict", "loans", str(tmp_path / name), "--bundle", trained)
        assert ran.out == plain.out, ran.err
        assert f"{name}: ignored, as they are no features: Größe" in ran.err


def test_a_file_without_a_header_is_predicted_by_the_declared_columns(cli, tmp_path) -> None:
    table = TableFormat(header=False, columns=("visits", "age", "member", "job", "risk"))
    bundles.write(tmp_path / "bare", msgspec.structs.replace(version_of("loans"), table=table))
    (tmp_path / "bare.data").write_text("3, 42, yes, nurse, good\n?, 30, ?, clerk, bad\n")
    (tmp_path / "named.csv").write_text("age,job,member,visits\n42,nurse,yes,3\n30,clerk,,\n")
    bare, named = (
        cli("predict", "loans", str(tmp_path / name), "--bundle", str(tmp_path / "bare"))
        for name in ("bare.data", "named.csv")
    )
    assert bare.code == 0 and bare.out == named.out


def test_what_a_table_lacks_is_told(cli, loans, tmp_path) -> None:
    (tmp_path / "rows.csv").write_text("age,job,visit\n42,nurse,3\n")
    ran = cli("predict", "loans", str(tmp_path / "rows.csv"), "--bundle", loans)
    assert ran.code == 0
    assert "ignored, as they are no features: visit" in ran.err and "has no column of visits, member" in ran.err


def test_a_table_of_a_decoded_source_is_told_to_be_read_as_words(cli, tmp_path) -> None:
    table = TableFormat(decoded=True)
    bundles.write(tmp_path / "decoded", msgspec.structs.replace(version_of("loans"), table=table))
    (tmp_path / "rows.csv").write_text("age,job\n42,nurse\n")
    ran = cli("predict", "loans", str(tmp_path / "rows.csv"), "--bundle", str(tmp_path / "decoded"))
    assert ran.code == 0 and "rows.csv: read as clients write rows; with --decode as the source" in ran.err


def test_codes_are_decoded_where_the_option_says_so(cli, loans, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "usecases" / "loans"
    folder.mkdir(parents=True)
    (folder / "usecase.yaml").write_text(
        "{name: loans, owner: us, task: regression, source: {path: x}, features: [{name: age, kind: number}], "
        "target: {name: risk}}"
    )
    monkeypatch.setenv("SLIPWAY_USECASES", str(folder.parent))
    settings.cache_clear()
    (tmp_path / "codes.csv").write_text("age,job\n42,N\n")
    missing = cli("predict", "loans", str(tmp_path / "codes.csv"), "--decode", "--bundle", loans)
    assert missing.code == 1 and "has no decode.py" in missing.err
    (folder / "decode.py").write_text("def decode(frame):\n    return frame.replace({'job': {'N': 'nurse'}})\n")
    decoded = cli("predict", "loans", str(tmp_path / "codes.csv"), "--decode", "--bundle", loans)
    assert decoded.out == cli("predict", "loans", '{"age": 42, "job": "nurse"}', "--bundle", loans).out


def test_compressed_json_lines_are_read(cli, loans, tmp_path) -> None:
    line = '{"age": 42, "job": "nurse"}'
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(f"{line}\n{line}\n".encode()))
    packed = cli("predict", "loans", str(tmp_path / "rows.jsonl.gz"), "--bundle", loans)
    assert packed.out == 2 * cli("predict", "loans", line, "--bundle", loans).out


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_json_has_no_value_for_is_named(cli, loans, number: str) -> None:
    ran = cli("predict", "loans", f'{{"age": {number}}}', "--bundle", loans)
    assert ran.code == 1 and f"{number} is no value of JSON. Write null where a value is missing" in ran.err


def test_images_are_answered_one_by_one(cli, shapes, tmp_path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(bundles.png(seed=number))
    ran = cli("predict", "shapes", *map(str, paths), "--bundle", shapes)
    assert [line.split("\t")[0] in bundles.IMAGES.classes for line in ran.out.splitlines()] == [True] * 3
    text = json.dumps({"image": {"b64": base64.b64encode(bundles.png(seed=0)).decode()}})
    assert cli("predict", "shapes", text, "--bundle", shapes).out == ran.out.splitlines(keepends=True)[0]


def test_private_values_are_masked_as_by_the_server(cli, tmp_path) -> None:
    bundles.write(tmp_path / "private", bundles.PRIVATE)
    raw = {**ROW, "income": 2000.0, "email": "ann@example.org", "nation": "x"}
    masked = {**ROW, "income": "1000 – 3000"}
    answers = [
        cli("predict", "private_loans", json.dumps(row), "--bundle", str(tmp_path / "private")) for row in (raw, masked)
    ]
    assert answers[0].code == 0 and answers[0].out == answers[1].out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"agee": 42, "job": "nurse"}', "instances[0].agee: unknown feature 'agee'. Did you mean 'age'?"),
        ('[{"age": 42, "job": "nurse"}, {"age": "42", "job": "nurse"}]', "instances[1].age: str received"),
        ('{"age": 42}', "instances[0].job: 'job' is missing"),
        ('{"age": 1e39, "job": "nurse"}', "instances[0].age: the number is infinite"),
        ('{"age": ', "the argument is not JSON"),
        ("[]", "the input has no rows"),
        ("[1, 2]", "instances[0]: array received"),
        ('{"a":' * 10_000, "the argument is nested too deep"),
        ("rows.txt", "a file of a supported kind: .json"),
        ("missing.csv", "there is no file missing.csv"),
    ],
)
def test_invalid_rows_are_reported(cli, loans, text, message) -> None:
    ran = cli("predict", "loans", text, "--bundle", loans)
    assert ran.code == 1 and ran.out == "" and message in ran.err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"age,job\n42,nurse,3\n", "not as many cells"),
        ("a.csv", b"age,job\n42,Z\xfcrich\n", "is not utf-8"),
        ("a.csv", b"age,job\nold,nurse\n", "a.csv:2: age is of the kind number, and holds 'old'. Correct the rows"),
        ("a.parquet", b"nothing", "is not Parquet"),
        ("a.png", b"nothing", "takes no image"),
    ],
)
def test_an_unreadable_file_is_reported(cli, loans, tmp_path, name, content, message) -> None:
    (tmp_path / name).write_bytes(content)
    ran = cli("predict", "loans", str(tmp_path / name), "--bundle", loans)
    assert ran.code == 1 and message in ran.err


def test_a_file_that_is_no_image_is_reported(cli, shapes, tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(bundles.png()[:50])
    ran = cli("predict", "shapes", str(tmp_path / "a.png"), "--bundle", shapes)
    assert ran.code == 1 and "instances[0].image: not an image" in ran.err


def test_a_bundle_with_a_failed_gate_answers_with_a_warning(cli, tmp_path) -> None:
    bundles.write(tmp_path / "failed", passed=False)
    ran = cli("predict", "loans", json.dumps(ROW), "--bundle", str(tmp_path / "failed"))
    assert ran.code == 0 and "its gates failed: ROC AUC is 0.6" in ran.err


def test_a_bundle_of_another_use_case_is_refused(cli, loans) -> None:
    ran = cli("predict", "digits", "{}", "--bundle", loans)
    assert ran.code == 1 and "is of the use case 'loans', not of 'digits'" in ran.err


def test_many_warnings_are_counted_not_listed(cli, loans) -> None:
    ran = cli("predict", "loans", json.dumps([{**ROW, "age": 300}] * 50), "--bundle", loans)
    assert ran.err.count("age: out of range") == 20 and "and 30 more" in ran.err


def test_a_registry_that_does_not_answer_is_reported(cli) -> None:
    ran = cli("predict", "loans", json.dumps(ROW))
    assert ran.code == 1 and "does not respond" in ran.err and "MLFLOW_TRACKING_URI" in ran.err


def test_a_number_that_comes_again_is_the_registrys_version_and_not_the_stored_one(
    cli, var, tmp_path, monkeypatch
) -> None:
    """As of a model that is deleted and trained anew: this machine's store has the version 1 from before."""
    for name, bias in {"old": 0.0, "new": 2.0}.items():
        bundles.write(tmp_path / name, bias=bias)
        bundles.put_in_store(var, tmp_path / name)
    old, new = (
        cli("predict", "loans", json.dumps(ROW), "--bundle", str(tmp_path / name)).out for name in ("old", "new")
    )
    digest = file_sha256(tmp_path / "new" / "manifest.json")
    registered = ModelVersion("loans", "1", "run", "", {"slipway.bundle_sha256": digest})
    monkeypatch.setattr(Registry, "version", lambda *_: registered)
    assert old != new
    assert cli("predict", "loans", json.dumps(ROW), "--version", "1").out == new

    def gone(*_: str) -> None:
        raise NotFound("no such version")

    monkeypatch.setattr(Registry, "version", gone)
    monkeypatch.setattr(Registry, "versions", lambda *_: [])
    ran = cli("predict", "loans", json.dumps(ROW), "--version", "1")
    assert ran.code == 1 and "there is no version '1' of loans" in ran.err


def test_a_store_with_two_bundles_of_one_number_does_not_guess_without_a_registry(cli, var, tmp_path) -> None:
    for name, bias in {"old": 0.0, "new": 2.0}.items():
        bundles.write(tmp_path / name, bias=bias)
        bundles.put_in_store(var, tmp_path / name)
    ran = cli("predict", "loans", json.dumps(ROW), "--version", "1")
    assert ran.code == 1 and "several bundles were version 1 of loans: name one with --bundle" in ran.err


def test_the_registry_is_asked_and_without_one_the_store(cli, mlflow_server, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    name = unique_name("loans")
    missing = cli("predict", name, json.dumps(ROW))
    assert missing.code == 1 and f"slipway train {name}" in missing.err
    bundles.write(tmp_path / "one", version_of(name))
    publish(mlflow_server, name, tmp_path / "one", tags={"slipway.gate": "passed"})
    unpromoted = cli("predict", name, json.dumps(ROW))
    assert unpromoted.code == 1 and f"slipway promote {name} 1" in unpromoted.err
    first = cli("predict", name, json.dumps(ROW), "--version", "1")
    assert first.code == 0
    unknown = cli("predict", name, json.dumps(ROW), "--version", "9")
    assert unknown.code == 1 and "There are: 1." in unknown.err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    settings.cache_clear()
    again = cli("predict", name, json.dumps(ROW), "--version", "1")
    assert again.out == first.out and "warning: " in again.err and "as it was when it was fetched" in again.err

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from monitoring.labels import label_summary, label_table, upload
from slipway.contracts.events.encoder import EventEncoder
from slipway.contracts.events.prediction_event import EventRequest
from slipway.contracts.schema import TableFormat
from slipway.errors import BundleError, DataError, ServiceError
from slipway.ids import row_id, uuid7
from slipway.prediction_log import Log, Writer
from slipway.settings import settings
from slipway.timestamps import now_iso
from tests.support import bundles
from tests.support.doubles.service_double import Service, serving
from tests.support.prediction_log.broken_log import break_log

ID = "01890a5d-ac96-774b-bcce-b302099a8057-0"


@pytest.fixture
def service() -> Iterator[Service]:
    with serving("loans", bundles.TABULAR) as running:
        yield running


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def entries(path: Path, schema=bundles.TABULAR) -> list[dict]:
    return label_table.parse(label_table.read_rows(path), schema).entries


def test_csv_parquet_and_json_lines_are_read_alike(table: Callable, tmp_path: Path) -> None:
    rows = [
        {"key": "7", "label": "bad", "known_at": "2026-01-31T12:00:00.000Z"},
        {"key": "8", "label": "good", "known_at": "2026-02-01T00:00:00.000Z"},
    ]
    text = "key,label,known_at\n7,bad,2026-01-31T13:00:00+01:00\n8,good,2026-02-01\n"
    first = '{"key": 7, "label": "bad", "known_at": "2026-01-31 12:00:00"}'
    lines = first + '\n\n{"key": "8", "label": "good", "known_at": "2026-02-01"}\n'
    frame = pd.DataFrame({"key": [7, 8], "label": ["bad", "good"]})
    frame["known_at"] = [datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)]
    frame.to_parquet(tmp_path / "labels.parquet")
    assert entries(table("labels.csv", text)) == rows
    assert entries(table("labels.jsonl", lines)) == rows
    assert entries(tmp_path / "labels.parquet") == rows


BINARY = msgspec.structs.replace(bundles.TABULAR, classes=("0", "1"), positive="1")


@pytest.mark.parametrize("label", ["1.0", "1", " 1 ", "1.00"])
def test_a_class_that_a_tool_wrote_as_a_float_is_understood(table: Callable, label: str) -> None:
    assert entries(table("labels.csv", f"key,label\na,{label}\nb,0.0\n"), BINARY) == [
        {"key": "a", "label": "1"},
        {"key": "b", "label": "0"},
    ]


def test_labels_of_a_typed_column_are_understood(tmp_path: Path) -> None:
    pd.DataFrame({"key": [1000.0, 1001.0], "label": [1.0, None]}).to_parquet(tmp_path / "labels.parquet")
    found = label_table.parse(label_table.read_rows(tmp_path / "labels.parquet"), BINARY)
    assert found.entries == [{"key": "1000", "label": "1"}] and found.unlabelled == 1


@pytest.mark.parametrize("value", ["1_000", "１２", "١", "0x10", "1e39", "true"])
def test_a_value_is_what_training_reads_as_a_number(table: Callable, value: str) -> None:
    with pytest.raises(DataError, match="is no finite number"):
        entries(table("labels.csv", f"key,value\na,{value}\n"), bundles.REGRESSION)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_labels_of_another_separator_and_with_a_decimal_comma_are_read(table: Callable, separator: str) -> None:
    schema = msgspec.structs.replace(bundles.REGRESSION, table=TableFormat(separator=";", decimal=","))
    text = "key,value\na,1!5\nb,2.5\n".replace(",", separator).replace("!", ",")
    assert [row["value"] for row in entries(table("labels.csv", text), schema)] == [1.5, 2.5]


def test_a_key_that_was_rounded_is_refused(table: Callable) -> None:
    with pytest.raises(DataError, match="1.2345678901234568e\\+16 is a key that a tool has made a number of"):
        entries(table("labels.csv", "key,label\n1.2345678901234568e+16,bad\n"))


def test_a_time_that_is_missing_is_left_out(table: Callable) -> None:
    assert entries(table("labels.csv", "id,key,label,known_at\nNA,a,bad,NaN\n")) == [{"key": "a", "label": "bad"}]


def test_compressed_json_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl.gz").write_bytes(gzip.compress(b'{"key": "a", "label": "bad"}\n'))
    assert entries(tmp_path / "labels.jsonl.gz") == [{"key": "a", "label": "bad"}]


@pytest.mark.parametrize("label", ["", "  ", "NA", "nan", "?"])
def test_a_row_without_a_label_is_passed_over_and_counted(
    service: Service, table: Callable, cli: Callable, label: str
) -> None:
    path = table("labels.csv", f"key,label\n1000,bad\n1001,{label}\n1002,good\n")
    ran = cli("feedback", "loans", str(path), "--url", service.url, "--json")
    assert ran.code == 0, ran.err
    assert [entry["key"] for entry in service.feedback] == ["1000", "1002"]
    assert json.loads(ran.out)["unlabelled"] == 1 and "1 rows have no label yet: they were skipped." in ran.err


def test_a_value_that_is_missing_is_passed_over(table: Callable) -> None:
    path = table("prices.csv", "key,value\na,nan\nb,12.5\nc,\n")
    assert entries(path, bundles.REGRESSION) == [{"key": "b", "value": 12.5}]


def test_a_class_is_no_missing_word(table: Callable) -> None:
    schema = msgspec.structs.replace(bundles.TABULAR, classes=("NA", "?"), positive="NA")
    assert [entry["label"] for entry in entries(table("labels.csv", "key,label\n1,NA\n2,?\n"), schema)] == ["NA", "?"]


def test_keys_that_a_tool_wrote_as_floats_are_sent_as_integers_and_told(
    service: Service, table: Callable, cli: Callable
) -> None:
    ran = cli("feedback", "loans", str(table("a.csv", "key,label\n1000.0,bad\n1001.0,good\n")), "--url", service.url)
    assert [entry["key"] for entry in service.feedback] == ["1000", "1001"]
    assert "1000.0 is sent as 1000" in ran.err
    mixed = table("b.csv", "key,label\n1.0,bad\n1.1,good\n")
    assert [entry["key"] for entry in entries(mixed)] == ["1.0", "1.1"]


def test_a_regression_takes_values(table: Callable) -> None:
    path = table("prices.csv", f"id,value\n{ID},12.5\n")
    assert entries(path, bundles.REGRESSION) == [{"id": ID, "value": 12.5}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key,label\n1,bda\n", r"labels.csv:2: label 'bda' is no class. Did you mean 'bad'\? Classes: good, bad"),
        ("key,label\n1,\n", "needs a label; none was given"),
        ("key,value\n1,3\n", "needs a label; a value was given"),
        ("label\nbad\n", "either an id or a key; this one has neither"),
        (f"id,key,label\n{ID},1,bad\n", "this one has id and key"),
        ("key,label,known_at\n1,bad,yesterday\n", "known_at 'yesterday' is no time; write it as 2026-01-31T12:00:00Z"),
        ("key,labell\n1,bad\n", r"unknown column 'labell'. Did you mean 'label'\? Allowed: id, key, label"),
        ("key,label\n1,bad,extra\n", "labels.csv:2: has not as many cells"),
        ("key,label\n", "holds no rows"),
        ('key,label\n1,"ba\0d\n', "is not CSV"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(table: Callable, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        entries(table("labels.csv", text))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.txt", "x", r"files ending in '.txt' are not supported; .csv, .parquet"),
        ("labels.jsonl", "[1]\n", "labels.jsonl:1: holds list, an object is needed"),
        ("labels.jsonl", '{"key": 1\n', "labels.jsonl:1: is not JSON"),
        ("labels.jsonl", "[" * 10_000 + "\n", "labels.jsonl:1: is not JSON"),
        ("labels.parquet", "PAR1 no", "is not Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(table: Callable, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        entries(table(name, text))


@pytest.mark.parametrize("value", ["-inf", "inf", "high"])
def test_a_value_is_a_finite_number(table: Callable, value: str) -> None:
    with pytest.raises(DataError, match=f"value '{value}' is no finite number"):
        entries(table("prices.csv", f"key,value\n1,{value}\n"), bundles.REGRESSION)


def test_one_wrong_row_keeps_all_from_being_sent(service: Service, table: Callable, cli: Callable) -> None:
    path = table("labels.csv", "key,label\n" + "".join(f"{k},{'good' if k % 10 else 'x'}\n" for k in range(100)))
    ran = cli("feedback", "loans", str(path), "--url", service.url)
    assert ran.code == 1
    assert "10 of 100 rows are wrong, nothing was sent" in ran.err
    assert "… and 5 more" in ran.err
    assert service.batches == []


def test_labels_are_sent_in_batches(service: Service, table: Callable, cli: Callable) -> None:
    path = table("labels.csv", "key,label\n" + "".join(f"{k},good\n" for k in range(2500)))
    ran = cli("feedback", "loans", str(path), "--url", service.url, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["labels"] == 2500
    assert [len(batch) for batch in service.batches] == [1000, 1000, 500]


def test_a_failure_on_the_way_says_what_was_sent(service: Service) -> None:
    service.refuses_feedback_after = 1000
    some = [{"key": str(k), "label": "good"} for k in range(2500)]
    with pytest.raises(ServiceError, match=r"1000 of 2500 labels were accepted.*503 the log cannot be written"):
        upload.send("loans", some, service.url)


def test_an_unknown_use_case_is_refused_by_the_service(service: Service, table: Callable, cli: Callable) -> None:
    ran = cli("feedback", "cars", str(table("labels.csv", "key,label\n1,bad\n")), "--url", service.url)
    assert ran.code == 1
    assert "does not serve cars: it answered 404" in ran.err


def test_offline_labels_are_in_the_log_when_the_command_ends(
    var: Path, tmp_path: Path, table: Callable, cli: Callable
) -> None:
    bundles.promote(var, tmp_path / "bundle")
    ran = cli("feedback", "loans", str(table("labels.csv", f"id,label\n{ID},bad\n")), "--offline")
    assert (ran.code, ran.err) == (0, f"labels of loans: 1 went to {var / 'spool' / 'loans'}\n")
    found = Log(settings()).feedback("loans").fetchall()
    assert len(found) == 1
    assert {ID, "bad"} <= set(found[0])


def test_offline_without_anything_served_says_how_to_go_on(table: Callable) -> None:
    with pytest.raises(BundleError, match="slipway serve loans"):
        upload.stored_schema("loans")


def test_offline_and_an_address_exclude_each_other(table: Callable, cli: Callable) -> None:
    path = table("labels.csv", "key,label\n1,bad\n")
    assert cli("feedback", "loans", str(path), "--offline", "--url", "http://x").code == 2


def predict(*keys: str) -> list[str]:
    """The ids of predictions of loans with those keys, made now."""
    ids = [row_id(uuid7(), 0) for _ in keys]
    context = EventEncoder("local", "loans", "1", "b" * 64, "champion", True, now_iso(), 0.1)
    request = EventRequest("t" * 32, "r", 1)
    writer = Writer(settings().spool, "loans", "prediction")
    for row, key in zip(ids, keys, strict=True):
        assert writer.write(context.encode_row(request, row, {"age": 40}, key=key, answer={"label": "good"}))
    writer.close()
    return ids


def test_the_command_reports_how_labels_are_joined(var: Path, tmp_path: Path, table: Callable, cli: Callable) -> None:
    bundles.promote(var, tmp_path / "bundle")
    first, second, _ = predict("k1", "k2", "k3")
    rows = [f"{first},,bad,", f"{first},,good,", f"{second},,bad,", f"{second},,bad,", f"{ID},,bad,"]
    rows += [",k3,bad,", ",k3,bad,2020-01-01", ",nobody,bad,"]
    ran = cli(
        "feedback",
        "loans",
        str(table("labels.csv", "\n".join(["id,key,label,known_at", *rows]))),
        "--offline",
        "--json",
    )
    assert ran.code == 0
    result = json.loads(ran.out)
    assert (result["labels"], result["repeated"], result["contradictory"]) == (8, 2, 1)
    assert (result["named"], result["early"], result["unknown"]) == (5, 1, 2)
    assert result["classes"] == {"bad": 7, "good": 1}
    assert "2 repeat an earlier label of the file, 1 of them with another label: the last one wins." in ran.err
    assert "1 were known before a prediction with their key was made" in ran.err
    assert "2 match no prediction in the log: they are kept" in ran.err


def test_labels_of_one_class_only_are_reported(service: Service, table: Callable, cli: Callable) -> None:
    path = table("labels.csv", "key,label\n" + "".join(f"{k},good\n" for k in range(40)))
    ran = cli("feedback", "loans", str(path), "--url", service.url, "--json")
    assert "All of them are 'good': labels of one class say little about a model." in ran.err
    assert json.loads(ran.out)["named"] is None, "the log of another machine is not at hand"


def test_a_log_that_cannot_be_read_fails_no_label_that_was_sent(
    service: Service, table: Callable, cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_SERVERS", service.url)
    monkeypatch.setattr(Log, "predictions", lambda *_: (one for one in ()).throw(ServiceError("the bucket is gone")))
    settings.cache_clear()
    ran = cli("feedback", "loans", str(table("labels.csv", "key,label\n1,good\n")))
    assert (ran.code, len(service.feedback)) == (0, 1)
    assert "the prediction log cannot be read" in ran.err and "the bucket is gone" in ran.err


def test_the_summary_says_which_files_of_the_log_could_not_be_read(var: Path) -> None:
    break_log(settings(), "loans")
    found = label_summary.summarize("loans", [{"id": ID, "label": "good"}], log_is_here=True)
    assert "broken in 3 files" in found.sentences[-1]

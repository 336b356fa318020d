"""Ingest: what a file may be, what a message says when it is not, and that nothing private gets past."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.artifacts.json_files import read_json
from pipelines.steps.ingest import ingest
from slipway.config import load
from slipway.config.schema_builder import from_usecase
from slipway.contracts import columns
from slipway.contracts.schema import key_text, mask, row_key
from slipway.errors import DataError, ServiceError, UseCaseError
from slipway.settings import settings
from slipway.system.files import file_sha256
from tests.pipelines.conftest import ORDERS

IMAGES = {
    "task": "multiclass",
    "features": [{"name": "picture", "kind": "image", "size": [4, 4], "channels": 1}],
    "target": {"name": "shape", "classes": ["dot", "line"]},
}


def refused(step, usecase) -> str:
    with pytest.raises((DataError, ServiceError)) as error:
        step(ingest, usecase)
    return str(error.value)


def test_a_csv_becomes_a_typed_snapshot(usecase, orders, step):
    orders.loc[3, "amount"] = ""
    snapshot = pd.read_parquet(step(ingest, usecase(orders)) / "snapshot.parquet")
    assert snapshot["amount"].dtype == "float64" and snapshot["items"].dtype == "int64"
    assert snapshot["gift"].tolist() == [text == "true" for text in orders["gift"]]
    assert np.isnan(snapshot["amount"][3])


def test_parquet_and_csv_of_the_same_rows_give_the_same_snapshot(usecase, orders, step, tmp_path):
    from_csv = step(ingest, usecase(orders)) / "snapshot.parquet"
    typed = orders.assign(amount=orders["amount"].astype(float), gift=orders["gift"] == "true")
    typed.assign(items=orders["items"].astype("int32")).to_parquet(tmp_path / "orders.parquet")
    parquet = usecase(source={"path": str(tmp_path / "orders.parquet"), "format": "parquet"})
    assert file_sha256(step(ingest, parquet) / "snapshot.parquet") == file_sha256(from_csv)


def test_the_snapshot_is_named_by_its_content(usecase, orders, step):
    first, second = step(ingest, usecase(orders)), step(ingest, usecase(orders))
    result = read_json(first / "source.json")
    assert result == read_json(second / "source.json")
    assert result["snapshot_sha256"] == file_sha256(first / "snapshot.parquet")
    assert result["rows"] == 300 and result["synthetic"] is False


def test_no_private_value_is_in_the_snapshot(usecase, orders, step):
    found = usecase(orders)
    content = (step(ingest, found) / "snapshot.parquet").read_bytes()
    snapshot = pd.read_parquet(BytesIO(content))
    assert "phone" not in snapshot
    assert snapshot["email"].str.match(r"^tok_[0-9a-f]{32}$").all()
    assert set(snapshot["age"]) == {"< 30", "30 – 60", "≥ 60"}
    assert not any(private in content for private in (b"person1@", b"+49 30"))


def test_training_and_server_give_a_row_the_same_key(usecase, orders, step):
    found = usecase(orders, split={"key": ["email"]})
    snapshot = pd.read_parquet(step(ingest, found) / "snapshot.parquet")
    schema, secret = from_usecase(found), settings().mask_secret()
    instance = mask({"email": "person7@example.com"}, schema, secret)
    assert row_key(secret, key_text(instance, schema)) == snapshot[columns.ROW_KEY][7]


def test_key_columns_that_are_no_features_leave_only_their_pseudonym(usecase, orders, step):
    found = usecase(orders.assign(customer=range(300)), split={"key": ["customer"], "group": "country"})
    snapshot = pd.read_parquet(step(ingest, found) / "snapshot.parquet")
    assert "customer" not in snapshot and snapshot[columns.ROW_KEY].nunique() == 300
    assert snapshot[columns.SPLIT_GROUP].nunique() == 3


def test_a_name_in_the_split_is_a_feature_or_a_column_and_not_both(usecase, orders, step):
    features = [{**part, "column": "nation"} if part["name"] == "country" else part for part in ORDERS["features"]]
    nations = orders.rename(columns={"country": "nation"})
    step(ingest, usecase(nations, features=features, split={"group": "country"}))
    with pytest.raises(DataError, match="split names 'country', which is a column and a feature .* from 'nation'"):
        step(ingest, usecase(nations.assign(country="x"), features=features, split={"group": "country"}))


def test_a_wrong_checksum_says_both_and_what_to_do(usecase, orders, step, tmp_path):
    found = usecase(orders, source={"path": str(tmp_path / "orders.csv"), "sha256": "0" * 64})
    message = refused(step, found)
    assert file_sha256(tmp_path / "orders.csv") in message and "0" * 64 in message and "source.sha256" in message


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["is empty"]),
        (b"\xff\xfe\x00garbage\xe9", ["is not utf-8", "source.csv.encoding"]),
        (b'a,b\n"1,2\n', ["source.csv.separator"]),
        (b"amount;items\n1;2\n", ["lacks the target column 'returned'", "source.csv.separator"]),
    ],
)
def test_a_file_that_is_no_such_csv_is_explained(usecase, step, tmp_path, content, parts):
    found = usecase()
    (tmp_path / "orders.csv").write_bytes(content)
    message = refused(step, found)
    assert all(part in message for part in parts), message


def test_another_encoding_is_read_when_it_is_named(usecase, orders, step, tmp_path):
    orders["country"] = "Österreich"
    orders.to_csv(tmp_path / "orders.csv", index=False, encoding="latin-1")
    features = [{"name": "country", "kind": "category"}]
    source = {"path": str(tmp_path / "orders.csv")}
    assert "is not utf-8" in refused(step, usecase(source=source, features=features))
    named = usecase(source={**source, "csv": {"encoding": "latin-1"}}, features=features)
    assert set(pd.read_parquet(step(ingest, named) / "snapshot.parquet")["country"]) == {"Österreich"}
    unknown = usecase(source={**source, "csv": {"encoding": "klingon"}}, features=features)
    assert "klingon" in refused(step, unknown)


def test_something_else_than_parquet_is_explained(usecase, orders, step, tmp_path):
    found = usecase(orders, source={"path": str(tmp_path / "orders.csv"), "format": "parquet"})
    assert "is not Parquet" in refused(step, found)


@pytest.mark.parametrize(
    ("column", "value", "parts"),
    [
        ("amount", "inf", ["amount", "row 6", "'inf'", "Infinities"]),
        ("amount", "1e39", ["Infinities"]),
        ("amount", "a lot", ["declared number", "row 6 holds 'a lot'", "1 of 300"]),
        ("items", "2.5", ["declared integer", "row 6 holds '2.5'"]),
        ("gift", "maybe", ["declared boolean", "true, false"]),
    ],
)
def test_a_value_of_another_kind_is_named_with_its_row(usecase, orders, step, column, value, parts):
    orders.loc[5, column] = value
    message = refused(step, usecase(orders))
    assert all(part in message for part in parts), message


def test_integers_stay_exact_or_are_refused(usecase, orders, step):
    exact = [2**53 + 1, 2**63 - 1, 1 - 2**63]
    orders.loc[:2, "items"] = [str(number) for number in exact]
    assert pd.read_parquet(step(ingest, usecase(orders)) / "snapshot.parquet")["items"][:3].tolist() == exact
    orders.loc[5, "items"] = ""
    message = refused(step, usecase(orders))
    assert "row 1 holds 9007199254740993" in message and "integers below 2^53 are exact" in message
    orders.loc[5, "items"] = "9223372036854775808"
    assert "row 6 holds '9223372036854775808'; 1 of 300 rows do. 64 bits do not hold it" in refused(
        step, usecase(orders)
    )


def test_integers_of_parquet_stay_exact_or_are_refused(usecase, orders, step, tmp_path):
    found = usecase(source={"path": str(tmp_path / "orders.parquet"), "format": "parquet"})
    items = pd.Series([2**63 - 1, *range(299)], dtype="uint64")
    orders.assign(items=items).to_parquet(tmp_path / "orders.parquet")
    assert pd.read_parquet(step(ingest, found) / "snapshot.parquet")["items"][0] == 2**63 - 1
    orders.assign(items=items + 1).to_parquet(tmp_path / "orders.parquet")
    assert "row 1 holds 9223372036854775808" in refused(step, found)
    orders.assign(items=2.0**60).to_parquet(tmp_path / "orders.parquet")
    assert "A float of 2^53 or more" in refused(step, found)


def test_a_named_index_of_parquet_is_a_column(usecase, orders, step, tmp_path):
    orders.set_index("items").to_parquet(tmp_path / "orders.parquet")
    found = usecase(source={"path": str(tmp_path / "orders.parquet"), "format": "parquet"})
    snapshot = pd.read_parquet(step(ingest, found) / "snapshot.parquet")
    assert snapshot["items"].tolist() == orders["items"].astype(int).tolist()


@pytest.mark.parametrize("first", [True, False])
def test_a_row_of_another_width_is_refused(usecase, orders, step, tmp_path, first):
    found = usecase(orders)
    lines = (tmp_path / "orders.csv").read_text().splitlines()
    lines[1 if first else 200] += ",extra"
    (tmp_path / "orders.csv").write_text("\n".join(lines))
    assert f"orders.csv:{2 if first else 201}: has not as many cells" in refused(step, found)
    (tmp_path / "orders.csv").write_text("\n".join([*lines[:1], *lines[2:100], lines[100][:9]]))
    assert "instead of 8" in refused(step, found)


def test_the_form_of_numbers_and_more_missing_words_are_declared(usecase, orders, step, tmp_path):
    german = orders.assign(amount=orders["amount"].str.replace(".", ","))
    german.loc[3:4, "amount"] = ["keine", " - "]
    german.to_csv(tmp_path / "orders.csv", index=False, sep=";")
    source = {"path": str(tmp_path / "orders.csv"), "missing": ["keine", "-"]}
    found = usecase(source=source | {"csv": {"separator": ";", "decimal": ","}})
    amount = pd.read_parquet(step(ingest, found) / "snapshot.parquet")["amount"]
    assert amount[[3, 4]].isna().all() and amount.drop([3, 4]).tolist() == [
        float(text) for text in orders["amount"].drop([3, 4])
    ]
    assert "source.csv.decimal" in refused(step, usecase(source=source | {"csv": {"separator": ";"}}))


def test_blanks_are_no_part_of_a_cell_or_of_a_name(usecase, orders, step, tmp_path):
    plain = step(ingest, usecase(orders, split={"key": ["email"]})) / "snapshot.parquet"
    lines = (tmp_path / "orders.csv").read_text().splitlines()
    (tmp_path / "orders.csv").write_text("\n".join(line.replace(",", " , ") for line in lines))
    blanks = step(ingest, usecase(split={"key": ["email"]})) / "snapshot.parquet"
    assert file_sha256(blanks) == file_sha256(plain)


def test_classes_that_a_tool_wrote_as_floats_are_understood(usecase, orders, step):
    floats = orders.assign(returned=np.where(orders["returned"] == "yes", "1.0", "0.0"))
    target = {"name": "returned", "classes": ["0", "1"], "positive": "1"}
    snapshot = pd.read_parquet(step(ingest, usecase(floats, target=target)) / "snapshot.parquet")
    assert set(snapshot["returned"]) == {"0", "1"}


def test_columns_without_names_are_numbers(usecase, orders, step, tmp_path):
    orders.to_csv(tmp_path / "orders.csv", index=False, header=False)
    source = {"path": str(tmp_path / "orders.csv"), "csv": {"header": False}}
    features = [{"name": "amount", "kind": "number", "column": "0"}]
    target = {"name": "returned", "classes": ["no", "yes"], "positive": "yes"}
    found = usecase(source=source, features=features, target=target | {"column": "7"})
    assert step(ingest, found)
    message = refused(step, usecase(source=source, features=features, target=target | {"column": "77"}))
    assert "Did you mean '7'? It has: ['0', '1'" in message


def test_the_column_of_times_is_read_in_one_format(usecase, orders, step):
    days = pd.date_range("2023-01-01", periods=300).strftime("%d/%m/%y")
    ambiguous = usecase(orders.assign(day=days), split={"time": "day"})
    assert "Set split.time_format" in refused(step, ambiguous)
    declared = usecase(split={"time": "day", "time_format": "%d/%m/%y"})
    times = pd.read_parquet(step(ingest, declared) / "snapshot.parquet")[columns.SPLIT_TIME]
    assert times.is_monotonic_increasing and times[0] == pd.Timestamp("2023-01-01", tz="UTC")
    counters = usecase(orders.assign(day=range(731, 1031)), split={"time": "day"})
    snapshot = pd.read_parquet(step(ingest, counters) / "snapshot.parquet")
    assert snapshot[columns.SPLIT_TIME].tolist() == [*range(731, 1031)]


def test_names_of_columns_are_read_without_blanks(usecase, orders, step, tmp_path):
    columns = [f" {name}" for name in orders]
    orders.to_csv(tmp_path / "orders.csv", index=False, header=False)
    source = {"path": str(tmp_path / "orders.csv"), "csv": {"header": False, "columns": columns}}
    features = [{"name": "amount", "kind": "number", "column": " amount"}]
    assert step(ingest, usecase(source=source, features=features))


def test_a_message_does_not_show_a_private_value(usecase, orders, step):
    orders.loc[5, "age"] = "secret-age"
    assert "secret-age" not in refused(step, usecase(orders))


def test_dates_are_refused_with_a_hint(usecase, orders, step, tmp_path):
    orders.assign(amount=pd.Timestamp("2026-01-01")).to_parquet(tmp_path / "orders.parquet")
    found = usecase(source={"path": str(tmp_path / "orders.parquet"), "format": "parquet"})
    assert "holds dates" in refused(step, found)
    orders.assign(amount=pd.Timedelta("1 day")).to_parquet(tmp_path / "orders.parquet")
    assert "durations, which are no feature" in refused(step, found)


def test_a_missing_column_is_named_with_the_closest_one(usecase, orders, step):
    assert "Did you mean 'item'?" in refused(step, usecase(orders.rename(columns={"items": "item"})))
    message = refused(step, usecase(orders.rename(columns={"returned": "was_returned"})))
    assert "lacks the target column 'returned'" in message and "was_returned" in message


def test_too_few_rows_and_one_class_are_refused(usecase, orders, step):
    assert "1 rows" in refused(step, usecase(orders[:1]))
    assert "0 rows" in refused(step, usecase(orders[:0]))
    assert "one class only, ['no']" in refused(step, usecase(orders.assign(returned="no")))


def test_what_is_no_image_is_named_with_its_row(usecase, step, tmp_path):
    buffer = BytesIO()
    Image.fromarray(np.arange(16, dtype="uint8").reshape(4, 4)).save(buffer, "PNG")
    frame = pd.DataFrame({"picture": [buffer.getvalue()] * 40, "shape": ["dot", "line"] * 20})
    path = tmp_path / "images.parquet"
    for wrong in (b"not an image", buffer.getvalue()[:40], "text"):
        broken = frame.assign(picture=[*frame["picture"][:6], wrong, *frame["picture"][7:]])
        broken = broken.assign(picture=broken["picture"].map(lambda x: x if isinstance(x, bytes) else x.encode()))
        broken.to_parquet(path)
        message = refused(step, usecase(source={"path": str(path), "format": "parquet"}, **IMAGES))
        assert "picture of row 7" in message
    frame.to_parquet(path)
    found = usecase(source={"path": str(path), "format": "parquet"}, **IMAGES)
    assert len(pd.read_parquet(step(ingest, found) / "snapshot.parquet")) == 40


def test_a_configured_path_must_exist(usecase, orders, tmp_path, step):
    csv = str(tmp_path / "orders.csv")
    code = f"import pandas as pd\n\n\ndef load(seed):\n    return pd.read_csv({csv!r}, dtype=str)\n"
    (tmp_path / "usecases" / "orders" / "data.py").write_text(code)
    source = {"path": "not/there.csv", "generator": "data:load"}
    result = read_json(step(ingest, usecase(orders, source=source)) / "source.json")
    assert result["synthetic"] is True and result["origin"] == "usecases/orders/data.py:load"
    assert "not/there.csv" in refused(step, load("orders", {"source.path": "not/there.csv"}))


@pytest.fixture
def server(tmp_path: Path):
    """A server of one folder, and the paths that were requested."""
    requested: list[str] = []
    folder = tmp_path / "www"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            requested.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}", requested
        running.shutdown()


def test_a_url_is_fetched_once_and_checked(usecase, orders, step, server, var):
    folder, url, requested = server
    content = orders.to_csv(index=False).encode()
    (folder / "orders.csv").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    found = usecase(source={"url": f"{url}/orders.csv", "sha256": digest})
    for _ in range(2):
        assert read_json(step(ingest, found) / "source.json")["sha256"] == digest
    assert len(requested) == 1
    wrong = usecase(source={"url": f"{url}/orders.csv", "sha256": "1" * 64})
    assert "source.sha256" in refused(step, wrong)
    assert [path.name for path in (var / "downloads").iterdir()] == [digest], "a wrong download is not kept"
    assert "does not respond" in refused(step, usecase(source={"url": f"{url}/gone.csv", "sha256": "1" * 64}))
    with pytest.raises(UseCaseError, match="sha256"):
        usecase(source={"url": f"{url}/orders.csv"})


def test_a_compressed_url_is_read(usecase, orders, step, server):
    folder, url, _ = server
    plain = step(ingest, usecase(orders)) / "snapshot.parquet"
    content = gzip.compress(orders.to_csv(index=False).encode())
    (folder / "orders.csv.gz").write_bytes(content)
    found = usecase(source={"url": f"{url}/orders.csv.gz", "sha256": hashlib.sha256(content).hexdigest()})
    assert file_sha256(step(ingest, found) / "snapshot.parquet") == file_sha256(plain)


def test_only_web_addresses_are_fetched(usecase, step):
    assert "only https:// and http://" in refused(
        step, usecase(source={"url": "file:///etc/passwd", "sha256": "1" * 64})
    )


def test_codes_are_decoded_before_they_are_masked(usecase, orders, step, tmp_path):
    words = step(ingest, usecase(orders)) / "snapshot.parquet"
    code = "def decode(frame):\n    return frame.assign(email=frame['email'].str.removeprefix('code-'))\n"
    (tmp_path / "usecases" / "orders" / "decode.py").write_text(code)
    coded = usecase(orders.assign(email="code-" + orders["email"]))
    assert file_sha256(step(ingest, coded) / "snapshot.parquet") == file_sha256(words)

"""`slipway smoke`: passes for a correct server, and names each failed check."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from slipway.serving_state import observed
from slipway.serving_state.observed import StateFile
from slipway.settings import settings
from tests.bentos.conftest import Answer
from tests.bentos.server.bridge import Bridge
from tests.support import bundles
from tests.support.servers import free_port

ALL = [
    ("server", "live"),
    ("server", "ready"),
    ("server", "models"),
    *(
        ("loans", name)
        for name in (
            "schema",
            "model",
            "version",
            "predictions",
            "access",
            "wrong request",
            "ids",
            "latency",
        )
    ),
]


@pytest.fixture
def smoke(cli) -> Callable[..., tuple[int, dict[str, str], dict[str, str]]]:
    """`smoke(url, …)` returns the exit code, and the failed and the passed checks by name."""

    def run(url: str, *options: str) -> tuple[int, dict[str, str], dict[str, str]]:
        ran = cli("smoke", url, "--json", *options)
        report = json.loads(ran.out)
        assert report["passed"] == (ran.code == 0)
        by_state: dict[str, dict[str, str]] = {"ok": {}, "failed": {}, "skipped": {}}
        for check in report["checks"]:
            by_state[check["state"]][check["name"]] = check["detail"]
        return ran.code, by_state["failed"], by_state["ok"]

    return run


@pytest.fixture
def with_key(monkeypatch) -> Callable[[str], None]:
    def use(secret: str) -> None:
        monkeypatch.setenv("SLIPWAY_API_KEY", secret)
        settings.cache_clear()

    return use


def test_a_real_server_passes_and_another_model_does_not(serve, var, tmp_path, smoke, cli) -> None:
    bundles.promote(var, tmp_path / "loans", version="7")
    bundles.write(tmp_path / "other", bundles.TABULAR, bias=2.0)
    server = serve("loans", workers=2)
    url = f"http://127.0.0.1:{server.port}"
    code, failed, well = smoke(url, "--expect-version", "7", "--bundle", str(tmp_path / "loans"))
    assert (code, failed) == (0, {})
    assert well["version"] == "7 in 2 workers"
    assert well["predictions"] == "20 rows as in the bundle"
    assert well["latency"].endswith("ms of 50 predictions, on one connection")

    code, failed, _ = smoke(url, "--timeout", "1", "--bundle", str(tmp_path / "other"))
    assert code == 1 and failed.keys() == {"version", "predictions"}
    assert "another model serves than the bundle's" in failed["predictions"]

    ran = cli("smoke", url, "--timeout", "1", "--expect-version", "8")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert [line for line in lines if line.startswith("failed")] == [lines[5]]
    assert "version 7 serves, 8 is expected" in lines[5]
    assert lines[-1] == f"{url}: failed, 1 of 11 checks"


def test_a_real_server_with_keys_refuses_who_has_none(serve, var, tmp_path, key, smoke, cli, with_key) -> None:
    bundles.promote(var, tmp_path / "loans")
    secret = key("smoke", "predict")
    server = serve("loans", SLIPWAY_HOST="0.0.0.0")
    url = f"http://127.0.0.1:{server.port}"
    code, failed, _ = smoke(url)
    assert code == 1 and failed.keys() == {"models"} and "Set SLIPWAY_API_KEY" in failed["models"]
    with_key(secret)
    code, failed, well = smoke(url)
    assert (code, failed) == (0, {}) and well["access"] == "refused without a key"
    ran = cli("smoke", url)
    assert ran.code == 0 and ran.out.endswith(f"{url}: passed\n") and secret not in ran.out + ran.err


def test_a_server_without_a_model_reports_what_it_waits_for(serve, smoke) -> None:
    server = serve("loans", ready=False)
    server.wait_for(lambda: _answers(server), 90)
    code, failed, _ = smoke(f"http://127.0.0.1:{server.port}", "--timeout", "1")
    assert code == 1 and failed.keys() == {"ready"}
    assert "503 loans waits for" in failed["ready"]


def _answers(server: Any) -> bool:
    try:
        return server.get("/livez")[0] == 200
    except OSError:
        return False


def test_where_nothing_listens_it_reports_it_and_checks_nothing_else(cli) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ran = cli("smoke", url, "--timeout", "0.1")
    assert ran.code == 1 and "Connection refused" in ran.out.splitlines()[0]
    assert [line[:7] for line in ran.out.splitlines()[1:-1]] == ["skipped"] * 3


def test_another_server_is_no_slipway(smoke, tmp_path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        code, failed, _ = smoke(f"http://127.0.0.1:{server.server_port}", "--timeout", "0")
        server.shutdown()
    assert code == 1 and failed.keys() == {"live"} and "no Slipway server" in failed["live"]


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:port", "http://[::1", "http://two words"])
def test_an_invalid_address_is_refused(cli, url) -> None:
    ran = cli("smoke", url)
    assert ran.code == 1 and ran.err.startswith("error: that is no address of a server.")


def test_a_key_that_cannot_be_sent_is_not_shown(smoke, start_client, with_key) -> None:
    with Bridge(start_client()) as bridge:
        with_key("secret\nvalue of a key")
        code, failed, _ = smoke(bridge.url, "--timeout", "0")
    assert code == 1 and "SLIPWAY_API_KEY" in failed["live"] and "secret" not in failed["live"]


def test_every_check_is_made_of_every_use_case_or_of_those_that_are_named(cli, smoke, start_client) -> None:
    with Bridge(start_client(bundles.TABULAR, bundles.IMAGES, bundles.REGRESSION, bundles.PRIVATE)) as bridge:
        ran = cli("smoke", bridge.url, "--json")
        assert ran.code == 0, ran.out
        checks = json.loads(ran.out)["checks"]
        assert {check["state"] for check in checks} == {"ok"}
        assert [check["subject"] for check in checks].count("shapes") == 8

        ran = cli("smoke", bridge.url, "--usecase", "loans", "--json", "--expect-version", "1")
        assert [(check["subject"], check["name"]) for check in json.loads(ran.out)["checks"]] == ALL

        assert "fish is not served here" in smoke(bridge.url, "--usecase", "fish")[1]["models"]
        assert "choose one" in smoke(bridge.url, "--expect-version", "1")[1]["models"]


def test_the_bundle_of_another_use_case_is_reported(smoke, start_client, tmp_path) -> None:
    bundles.write(tmp_path / "prices", bundles.REGRESSION)
    with Bridge(start_client()) as bridge:
        failed = smoke(bridge.url, "--bundle", str(tmp_path / "prices"))[1]
    assert "the bundle is of prices" in failed["models"]


def test_a_bundle_that_is_changed_is_no_reference(cli, tmp_path) -> None:
    bundles.write(tmp_path / "loans")
    (tmp_path / "loans" / "serve" / "probe.json").write_text("{}")
    ran = cli("smoke", "http://127.0.0.1:9", "--bundle", str(tmp_path / "loans"))
    assert ran.code == 1 and "probe.json" in ran.err


def test_a_median_above_the_limit_fails(smoke, start_client) -> None:
    with Bridge(start_client()) as bridge:
        code, failed, _ = smoke(bridge.url, "--max-median-ms", "0")
    assert code == 1 and failed.keys() == {"latency"} and failed["latency"].endswith("0 ms is allowed.")


def test_a_server_without_authentication_fails_unless_allowed(smoke, start_client, monkeypatch) -> None:
    monkeypatch.setattr("bentos.smoke.client.is_loopback", lambda _: False)
    with Bridge(start_client()) as bridge:
        code, failed, _ = smoke(bridge.url)
        assert code == 1 and failed.keys() == {"access"} and "slipway keys create" in failed["access"]
        assert smoke(bridge.url, "--allow-open")[0] == 0


@pytest.mark.parametrize("dropped", ["x-request-id", "traceparent"])
def test_ids_that_get_lost_on_the_way_are_noticed(smoke, start_client, dropped) -> None:
    with Bridge(start_client(), dropped=dropped) as bridge:
        assert smoke(bridge.url)[1].keys() == {"ids"}


def test_workers_of_two_versions_are_noticed(smoke, start_client, var) -> None:
    client = start_client()
    (state,) = observed.read(var / "serving", "loans")
    other = msgspec.structs.replace(state, pid=1, version="0")
    state_file = StateFile(var / "serving", "loans")
    state_file.write(other)
    with Bridge(client) as bridge:
        failed = smoke(bridge.url, "--timeout", "0")[1]
        assert failed.keys() == {"version"} and "wait until the swap is done" in failed["version"]
        swapped = threading.Timer(0.7, state_file.remove)
        swapped.start()
        assert smoke(bridge.url)[:2] == (0, {})
        swapped.join()


def changed(path_end: str, *, whole: bool = False, **fields: Any) -> Callable[[str, Answer], Answer]:
    """Replace fields of the first prediction, or of the answer, for requests of these paths."""

    def change(path: str, answer: Answer) -> Answer:
        if not path.endswith(path_end) or answer.status != 200:
            return answer
        document = answer.json
        (document if whole or "predictions" not in document else document["predictions"][0]).update(fields)
        return answer._replace(body=json.dumps(document).encode())

    return change


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": "ugly"}, "has no label"),
        ({"probabilities": {"good": 0.9, "bad": 0.2}}, "add up to 1.1"),
        ({"probabilities": {"good": 1.0}}, "has no label, score and probabilities"),
        ({"score": 2.0}, "is none of its probabilities"),
        ({"score": float("nan")}, "not answered as by Slipway"),
    ],
)
def test_invalid_predictions_are_detected(smoke, start_client, fields, message) -> None:
    with Bridge(start_client(), changed("/predict", **fields)) as bridge:
        failed = smoke(bridge.url)[1]
    assert message in failed["predictions"]


def test_a_regression_without_a_value_is_noticed(smoke, start_client) -> None:
    with Bridge(start_client(bundles.REGRESSION), changed("/predict", value=None)) as bridge:
        assert "has no finite value" in smoke(bridge.url)[1]["predictions"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"contract": 99}, "contract version 99"),
        ({"examples": []}, "no examples"),
        ({"task": 3}, "is it another server"),
    ],
)
def test_an_invalid_schema_ends_the_checks_of_its_use_case(smoke, start_client, fields, message) -> None:
    with Bridge(start_client(), changed("/schema", **fields)) as bridge:
        _, failed, well = smoke(bridge.url)
    assert failed.keys() == {"schema"} and message in failed["schema"]
    assert "predictions" not in well


def test_a_refusal_that_a_proxy_replaced_is_noticed(smoke, start_client) -> None:
    def change(path: str, answer: Answer) -> Answer:
        return answer._replace(headers={"content-type": "text/html"}) if answer.status == 422 else answer

    with Bridge(start_client(), change) as bridge:
        failed = smoke(bridge.url)[1]
    assert "as text/html" in failed["wrong request"]


def answering_as_a_canary(requests: int) -> Callable[[str, Answer], Answer]:
    """Answer so many of the next prediction requests as a canary, which is another model."""
    left = requests

    def change(path: str, answer: Answer) -> Answer:
        nonlocal left
        document = answer.json if answer.body.startswith(b"{") else {}
        if path.endswith("/loans"):
            document["pointer"]["canary"] = {"digest": "0" * 64, "weight": 0.5}
        elif "predictions" in document and left:
            left -= 1
            document["model"]["version"] = "2"
            for one in document["predictions"]:
                one |= {"label": "bad", "score": 1.0, "probabilities": {"good": 0.0, "bad": 1.0}}
        return answer._replace(body=json.dumps(document).encode()) if document else answer

    return change


def test_only_the_champions_answers_are_compared_with_the_bundle(smoke, start_client, tmp_path) -> None:
    client = start_client()
    with Bridge(client, answering_as_a_canary(requests=1)) as bridge:
        code, failed, well = smoke(bridge.url, "--bundle", str(tmp_path / "loans"))
    assert (code, failed) == (0, {})
    assert well["predictions"] == "12 rows as in the bundle"
    with Bridge(client, answering_as_a_canary(requests=3)) as bridge:
        failed = smoke(bridge.url, "--bundle", str(tmp_path / "loans"))[1]
    assert failed.keys() == {"predictions"} and "try again" in failed["predictions"]


def test_another_version_without_a_canary_is_noticed(smoke, start_client) -> None:
    with Bridge(start_client(), changed("/predict", model={"name": "loans", "version": "2"}, whole=True)) as bridge:
        failed = smoke(bridge.url)[1]
    assert failed.keys() == {"predictions"} and "version 2 answers, not 1" in failed["predictions"]

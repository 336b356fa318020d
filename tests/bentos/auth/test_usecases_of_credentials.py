"""Credentials for some use cases: they open no other one, on either path, and show nothing of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import pytest
from joserfc import jwt

from bentos.fast_path.micro_batch import MicroBatch, PendingRequest
from bentos.request import read_context
from slipway import api_keys
from slipway.config import use_case
from slipway.errors import SettingsError
from slipway.settings import settings
from tests.bentos.auth.credentials import ROW, bearer, predict
from tests.bentos.auth.issuers import Issuer
from tests.support import bundles

HOUSE = {"area": 50.0, "rooms": 2}
OTHERS = ("prices", "fraud", "Prices", "loans2", "loan", "loans ", "loans%2Fpredict", "l\u00f6ans", "x" * 3000)
FEEDBACK = {"feedback": [{"key": "a", "value": 3.0}]}
NAMING = [
    ("POST", "/predict"),
    ("POST", "/feedback"),
    ("POST", "/explain"),
    ("GET", ""),
    ("GET", "/"),
    ("GET", "/schema"),
    ("GET", "/predict"),
    ("HEAD", ""),
    ("DELETE", "/feedback"),
    ("GET", "/no/such/route"),
]


@pytest.fixture
def both(start_client) -> Any:
    """A server of the use cases `loans` and `prices`."""
    return start_client(bundles.TABULAR, bundles.REGRESSION)


def ask(client: Any, method: str, path: str, secret: str) -> Any:
    headers = bearer(secret) | {"content-type": "application/json"}
    return client.request(method, path, json.dumps({"instances": [HOUSE]}).encode(), headers)


@pytest.mark.parametrize("scopes", [("admin",), ("predict", "feedback", "read"), ("explain",)], ids=",".join)
def test_a_key_for_one_use_case_opens_no_route_of_another_and_does_not_tell_whether_it_is_served(both, key, scopes):
    secret = key("ci", *scopes, usecases=["loans"])
    for name in OTHERS:
        found = {(method, end): ask(both, method, f"/v1/models/{name}{end}", secret) for method, end in NAMING}
        assert {answer.status for answer in found.values()} == {403}, name
        details = {answer.json["detail"] for answer in found.values()}
        assert details == {"this credential is for loans, not for the use case of this path: send one that is."}
        assert {answer.headers["www-authenticate"] for answer in found.values()} == {
            'Bearer realm="slipway", error="insufficient_scope"'
        }
    assert both.events("prices") == both.events("prices", "feedback") == []


def test_a_key_for_one_use_case_opens_that_one(both, key):
    headers = bearer(key("ci", "predict", "feedback", "read", usecases=["loans"]))
    label = {"feedback": [{"key": "a", "label": "bad"}]}
    assert predict(both, **headers).status == 200
    assert both.post("/v1/models/loans/feedback", label, **headers).status == 200
    for path in ("/v1/models/loans", "/v1/models/loans/schema", "/v1/models", "/metrics", "/openapi.json", "/docs"):
        assert both.get(path, **headers).status == 200, path


def test_a_key_may_be_for_several_use_cases_and_scopes_still_hold(both, key):
    headers = bearer(key("ci", "predict", usecases=["prices", "loans"]))
    assert predict(both, **headers).status == 200
    assert both.post("/v1/models/prices/predict", {"instances": [HOUSE]}, **headers).status == 200
    refused = both.post("/v1/models/loans/feedback", FEEDBACK, **headers)
    assert refused.status == 403 and "the scope feedback" in refused.json["detail"]


def test_short_paths_are_those_of_the_one_use_case_that_is_served(start_client, key):
    other, own, client = (
        key("other", "admin", usecases=["prices"]),
        key("own", "admin", usecases=["loans"]),
        start_client(),
    )
    for method, path in (
        ("POST", "/v1/predict"),
        ("POST", "/v1/feedback"),
        ("GET", "/v1/model"),
        ("GET", "/v1/schema"),
    ):
        refused = ask(client, method, path, other)
        assert refused.status == 403 and "loans" not in refused.json["detail"], path
        assert ask(client, method, path, own).status in (200, 422), path


def test_lists_show_a_key_its_own_use_cases_only(both, key):
    some, every = bearer(key("some", "read", usecases=["loans"])), bearer(key("every", "read"))
    for path in ("/v1/models", "/openapi.json", "/metrics", "/v1/predict", "/readyz"):
        shown = both.get(path, **some).body
        assert b"prices" not in shown and b"/v1/schema" not in shown, path
    for path in ("/v1/models", "/openapi.json", "/metrics", "/v1/predict"):
        assert b"loans" in both.get(path, **some).body, path
        assert b"prices" in both.get(path, **every).body, path
    assert b"\nslipway_model_info{" in both.get("/metrics", **some).body


def test_a_key_for_what_is_not_served_here_sees_empty_lists(both, key):
    headers = bearer(key("ci", "admin", usecases=["fraud"]))
    assert both.get("/v1/models", **headers).json == {"models": []}
    assert not [path for path in both.get("/openapi.json", **headers).json["paths"] if path.startswith("/v1/models/")]
    for path in ("/v1/models/fraud", "/v1/predict", "/v1/models/", "/metrics"):
        answer = both.get(path, **headers)
        assert answer.status == (200 if path == "/metrics" else 404), path
        assert b"loans" not in answer.body and b"prices" not in answer.body, path


def test_readiness_gives_a_key_the_reasons_of_its_own_use_cases(start_client, key, var, tmp_path):
    bundles.promote(var, tmp_path / "loans")
    secrets = {name: key(name, "read", usecases=[name]) for name in ("loans", "prices")}
    client = start_client(bundles.TABULAR, bundles.REGRESSION, promote=False)
    detail = {name: client.get("/readyz", x_api_key=secret).json["detail"] for name, secret in secrets.items()}
    assert detail["loans"] == "a use case has no model yet."
    assert "slipway promote prices" in detail["prices"]


def test_warnings_of_a_ready_server_are_of_its_own_use_cases(both, key, monkeypatch):
    monkeypatch.setattr(both.worker._health, "_warnings", {"loans": ["slow"], "prices": ["late"]})
    both.worker._health.machine = ["the disk is full"]
    answer = both.get("/readyz", x_api_key=key("ci", "read", usecases=["loans"]))
    assert answer.body == b"ready\nwarning: the disk is full\nwarning: loans: slow\n"


def test_a_refusal_names_the_client_in_the_access_log(both, key, audit):
    secret = key("ci", "predict", usecases=["loans"])
    both.post("/v1/models/prices/predict", {"instances": [HOUSE]}, **bearer(secret))
    (line,) = map(json.loads, audit)
    assert line["user"] == {"name": "ci"} and line["http"]["response"]["status_code"] == 403
    assert "is for loans" in line["message"]


def test_the_fast_path_leaves_requests_for_other_use_cases_to_the_other_one(both, key):
    """It takes the same requests with a key that is for the use case, or for all."""
    secrets = {"own": key("own", "predict", usecases=["loans"]), "every": key("every", "predict")}

    async def taken(usecase: str, row: dict, secret: str) -> bool:
        batch = MicroBatch(both.worker, asyncio.get_running_loop())
        batch.run = lambda: None  # what is enqueued has no connection
        context = read_context([(b"content-type", b"application/json"), (b"x-api-key", secret.encode())])
        body = json.dumps({"instances": [row]}).encode()
        return batch.enqueue(
            PendingRequest(type("Connection", (), {})(), usecase, time.perf_counter_ns(), context, body)
        )

    found = {
        (name, usecase): asyncio.run(taken(usecase, row, secret))
        for name, secret in secrets.items()
        for usecase, row in (("loans", ROW), ("prices", HOUSE))
    }
    assert found == {
        ("own", "loans"): True,
        ("own", "prices"): False,
        ("every", "loans"): True,
        ("every", "prices"): True,
    }


def test_a_change_of_the_use_cases_in_the_file_holds_within_a_second(both, key):
    secret, path = key("ci", "predict", usecases=["loans"]), settings().key_file
    for usecases, status in ((["loans"], 403), (["prices"], 200), (None, 200), (["loans"], 403)):
        file = json.loads(path.read_text())
        file["keys"][0]["usecases"] = usecases
        path.write_text(json.dumps(file))
        both.worker.authenticator._refresh_at = -1.0
        answer = both.post("/v1/models/prices/predict", {"instances": [HOUSE]}, **bearer(secret))
        assert answer.status == status, usecases


class TestTokens:
    """The claim `usecases` of a token, written as scopes are."""

    @pytest.fixture
    def issuer(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Issuer]:
        issuer, keys = Issuer(), tmp_path / "jwks.json"
        keys.write_text(json.dumps({"keys": [issuer.key.as_dict(private=False)]}))
        for name, value in (issuer.settings | {"SLIPWAY_JWT_JWKS": str(keys)}).items():
            monkeypatch.setenv(name, value)
        yield issuer
        issuer._server.server_close()

    CLAIMS: ClassVar = [
        (None, 200, 200),
        ("loans", 200, 403),
        (["loans"], 200, 403),
        ("loans prices", 200, 200),
        (["prices", "fraud", "https://other.example/x"], 403, 200),
        ("", 403, 403),
        ([], 403, 403),
        ("loans,prices", 403, 403),
        ("LOANS", 403, 403),
        (7, 401, 401),
        (True, 401, 401),
        ({"loans": True}, 401, 401),
        (["loans", None], 401, 401),
        ([["loans"]], 401, 401),
    ]

    def test_a_token_opens_the_use_cases_of_its_claim(self, issuer, both):
        for claim, loans, prices in self.CLAIMS:
            headers = bearer(issuer.token(usecases=claim))
            answers = [predict(both, **headers) for _ in range(2)]  # verified, and known
            assert [answer.status for answer in answers] == [loans] * 2, claim
            refused = both.post("/v1/models/prices/predict", {"instances": [HOUSE]}, **headers)
            assert refused.status == prices, claim
            assert (prices == 401) == ("the token's claim usecases" in refused.body.decode()), claim

    def test_a_claim_without_a_value_is_no_claim_for_all(self, issuer, both, monkeypatch):
        monkeypatch.setattr("tests.bentos.auth.issuers.jwt.encode", partial(_with_null, jwt.encode))
        assert predict(both, **bearer(issuer.token())).status == 401


def _with_null(encode: Any, header: dict, claims: dict, *rest: Any, **options: Any) -> str:
    return encode(header, claims | {"usecases": None}, *rest, **options)


class TestTheFile:
    def test_a_key_for_all_is_written_as_before_and_read_by_a_server_of_before(self, var):
        path = var / "keys.json"
        api_keys.create(path, "a", ["predict"])
        (entry,) = json.loads(path.read_text())["keys"]
        assert set(entry) == {"name", "sha256", "scopes", "created"}
        assert api_keys.read(path)[0].usecases is None

    def test_a_file_of_before_means_what_it_meant(self, tmp_path):
        entry = {"name": "a", "sha256": "0" * 64, "scopes": ["predict"], "created": "2026-01-01T00:00:00Z"}
        path = tmp_path / "keys.json"
        path.write_text(json.dumps({"version": 1, "keys": [entry | {"rate": "", "expires": None}]}))
        (found,) = api_keys.read(path)
        assert found.usecases is None and found.rows == ""

    @pytest.mark.parametrize("usecases", [[], [""], ["Loans"], ["loans", "../x"], ["*"], "loans", [None], {}], ids=str)
    def test_use_cases_that_are_none_are_refused(self, tmp_path, usecases):
        entry = {"name": "a", "sha256": "0" * 64, "scopes": ["predict"], "created": "2026-01-01T00:00:00Z"}
        path = tmp_path / "keys.json"
        path.write_text(json.dumps({"keys": [entry | {"usecases": usecases}]}))
        with pytest.raises(SettingsError):
            api_keys.read(path)

    def test_names_are_those_of_use_cases(self):
        assert f"^{api_keys.USECASE}$" == use_case.NAME


class TestTheCommand:
    def test_it_makes_and_lists_keys_for_use_cases(self, cli, var):
        assert cli("keys", "create", "ci", "--usecases", "digits, credit_risk", "--rows", "10000/minute").code == 0
        assert cli("keys", "create", "all").code == 0
        one, every = json.loads(cli("keys", "list", "--json").out)
        assert (one["usecases"], one["rows"]) == (["digits", "credit_risk"], "10000/minute")
        assert every["usecases"] is every["rows"] is None
        first, second = cli("keys", "list").out.splitlines()
        assert "digits,credit_risk" in first and "10000/minute rows" in first
        assert "all use cases" in second and "default rows" in second

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--usecases", ""], "for no use case"),
            (["--usecases", " , "], "for no use case"),
            (["--usecases", "Digits"], "no name of a use case"),
            (["--rows", "many"], "100/second"),
            (["--rows", "0/minute"], "100/second"),
        ],
    )
    def test_it_refuses_what_would_open_more_than_was_meant(self, cli, var, options, message):
        ran = cli("keys", "create", "ci", *options)
        assert ran.code == 1 and message in ran.err
        assert not settings().key_file.exists() or api_keys.read(settings().key_file) == []

    def test_it_warns_of_a_use_case_that_there_is_not(self, cli, var):
        ran = cli("keys", "create", "ci", "--usecases", "digts")
        assert ran.code == 0 and "Did you mean 'digits'?" in ran.err

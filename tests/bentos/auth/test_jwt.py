"""Bearer tokens: which are accepted, which are refused, and what happens when the issuer rotates keys or is away."""

from __future__ import annotations

import base64
import json
import time
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from bentos.auth import Authenticator, jwks
from slipway.errors import SettingsError
from slipway.settings import Settings, settings
from tests.bentos.auth.credentials import bearer, predict
from tests.bentos.auth.issuers import Issuer, new_key
from tests.slipway.telemetry.certificates import at, certificate


@pytest.fixture
def issuer(monkeypatch):
    with Issuer() as running:
        for name, value in running.settings.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def later(monkeypatch):
    """`later(seconds)` moves the key set's clock on; tokens keep theirs."""
    moved = [0.0]
    monkeypatch.setattr(jwks, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + moved[0]))

    def move(seconds):
        moved[0] += seconds

    return move


def ready(client):
    """Return the client, once the key set has been read at the worker's start."""
    read(client, 1)
    return client


def read(client, generation):
    """Wait until the key set has changed that often."""
    deadline = time.time() + 10
    while client.worker.authenticator._tokens.jwks.generation < generation and time.time() < deadline:
        time.sleep(0.01)


def test_a_valid_token_passes_and_is_verified_once(start_client, issuer, monkeypatch):
    client, token = ready(start_client()), issuer.token()
    assert predict(client, **bearer(token)).status == 200
    monkeypatch.setattr("bentos.auth.jwt.jwt.decode", None)
    assert predict(client, **bearer(token)).status == 200


def test_a_new_token_of_the_same_subject_has_the_same_pseudonym(start_client, issuer):
    client = ready(start_client())
    for token in (issuer.token(), issuer.token(jti="2"), issuer.token(sub="bob")):
        assert predict(client, **bearer(token)).status == 200
    one, again, other = (event["slipway"]["caller"] for event in client.events())
    assert one == again != other


@pytest.mark.parametrize(
    ("claims", "metrics"),
    [({"scope": "openid read"}, 200), ({"scope": None, "scp": ["read"]}, 200), ({"scope": None}, 403)],
)
def test_scopes_are_read_from_scope_or_scp(start_client, issuer, claims, metrics):
    client, token = ready(start_client()), issuer.token(**claims)
    assert predict(client, **bearer(token)).status == 403
    assert client.get("/metrics", **bearer(token)).status == metrics


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": int(time.time()) - 100}, "expired"),
        ({"exp": None}, "exp"),
        ({"iss": "https://elsewhere.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "another"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": []}, "aud"),
        ({"sub": None}, "sub"),
        ({"nbf": int(time.time()) + 1_000_000}, "not yet valid"),
    ],
)
def test_a_claim_that_is_wrong_or_missing_is_named(start_client, issuer, audit, claims, message):
    token = issuer.token(**claims)
    answer = predict(ready(start_client()), **bearer(token))
    assert answer.status == 401 and message in answer.json["detail"]
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert token not in audit[0] and token.split(".")[2] not in audit[0]


def test_signatures_that_prove_nothing_are_refused(start_client, issuer):
    client, good = ready(start_client()), issuer.token()
    head, body, signature = good.split(".")
    stolen = issuer.token(new_key("first"))
    mine = new_key("mine")
    wrong = [
        issuer.unsigned(),
        issuer.signed_with_public_bytes(),
        stolen,
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{issuer.token(sub='root').split('.')[1]}.{signature}",
        issuer.token(mine, header={"kid": "first", "jwk": mine.as_dict(private=False)}),
        "a.b.c",
        "x" * 9000,
        "....",
    ]
    assert {predict(client, **bearer(token)).status for token in wrong} == {401}
    assert client.events() == []


def test_symmetric_algorithms_cannot_be_allowed(cli, monkeypatch):
    for name in ("HS256", "none", ""):
        monkeypatch.setenv("SLIPWAY_JWT_ALGORITHMS", name)
        settings.cache_clear()
        ran = cli("keys", "list")
        assert ran.code == 1 and "SLIPWAY_JWT_ALGORITHMS" in ran.err


def test_an_algorithm_that_is_not_on_the_list_is_refused(start_client, issuer, monkeypatch):
    monkeypatch.setenv("SLIPWAY_JWT_ALGORITHMS", "RS256")
    assert predict(ready(start_client()), **bearer(issuer.token())).status == 401


def test_a_new_key_is_found_and_a_withdrawn_one_ends(start_client, issuer, later):
    client, old = ready(start_client()), issuer.token()
    assert predict(client, **bearer(old)).status == 200
    second = new_key("second")
    issuer.published = [second]
    later(jwks.RETRY_SECONDS)
    assert predict(client, **bearer(issuer.token(second))).status == 200
    assert predict(client, **bearer(old)).status == 401, "although it was verified before"


def test_a_new_key_under_an_old_name_ends_the_old_tokens(start_client, issuer, later):
    client, old = ready(start_client()), issuer.token()
    assert predict(client, **bearer(old)).status == 200
    issuer.published = [new_key("first")]
    later(jwks.REFRESH_SECONDS + 1)
    predict(client, **bearer(old))
    read(client, 2)
    assert predict(client, **bearer(issuer.token(issuer.published[0]))).status == 200
    assert predict(client, **bearer(old)).status == 401


def test_unknown_key_ids_cause_at_most_one_refresh_of_the_key_set(start_client, issuer, later):
    client = ready(start_client())
    later(jwks.RETRY_SECONDS)
    before = issuer.request_count
    for number in range(20):
        assert predict(client, **bearer(issuer.token(new_key(f"made-up-{number}")))).status == 401
    assert issuer.request_count - before <= 1


def test_while_the_issuer_is_away_known_keys_are_valid_for_a_stated_time(
    start_client, issuer, later, monkeypatch, key, audit, caplog
):
    monkeypatch.setenv("SLIPWAY_JWKS_OUTAGE_SECONDS", "600")
    client, cached_token = ready(start_client()), issuer.token()
    assert predict(client, **bearer(cached_token)).status == 200
    issuer.down = True
    later(jwks.REFRESH_SECONDS + 500)
    assert predict(client, **bearer(cached_token)).status == 200
    assert predict(client, **bearer(issuer.token(sub="new"))).status == 200
    later(200)
    for token in (cached_token, issuer.token(sub="newer")):
        answer = predict(client, **bearer(token))
        assert answer.status == 503 and "public keys cannot be read" in answer.json["detail"]
        assert "500" in caplog.text and issuer.url in caplog.text and issuer.url not in answer.body.decode()
        assert answer.headers["retry-after"] == "5"
    issuer.down = False
    later(jwks.RETRY_SECONDS)
    assert predict(client, **bearer(cached_token)).status == 200


def test_a_server_starts_while_the_issuer_is_away_and_its_keys_work(start_client, issuer, key):
    issuer.down = True
    secret, client = key("ci", "predict"), start_client()
    assert predict(client, **bearer(secret)).status == 200
    assert predict(client, **bearer(issuer.token())).status == 503


def test_keys_can_be_read_from_a_file(start_client, issuer, tmp_path, monkeypatch):
    path = tmp_path / "jwks.json"
    path.write_text(
        json.dumps({"keys": [issuer.key.as_dict(private=False), {"kty": "oct", "k": "AAAA"}, {"kty": "?"}]})
    )
    monkeypatch.setenv("SLIPWAY_JWT_JWKS", str(path))
    client = ready(start_client())
    assert predict(client, **bearer(issuer.token())).status == 200
    assert list(client.worker.authenticator._tokens.jwks.keys) == ["first"]
    assert issuer.request_count == 0


def chain(days):
    """`x5c` of a key whose certificate expires in so many days."""
    return [base64.b64encode(certificate(days).public_bytes(Encoding.DER)).decode()]


@pytest.mark.parametrize(
    ("published", "expiry"),
    [
        ([{}], None),
        ([{"exp": 1_900_000_000}, {}], None),  # the second is for ever
        ([{"exp": 1_900_000_000}, {"exp": 1_800_000_000.5}], 1_900_000_000),
        ([{"x5c": chain(7)}, {"x5c": chain(90)}], at(90)),
        ([{"x5c": chain(7), "exp": 1_700_000_000}], 1_700_000_000),
        ([{"x5c": ["AAAA"]}], None),
        ([{"x5c": []}], None),
        ([{"exp": "tomorrow"}], None),
        ([{"exp": None}], None),
    ],
    ids=["no time", "one for ever", "exp", "x5c", "both", "no certificate", "no chain", "text", "null"],
)
def test_keys_expire_with_the_last_if_all_of_them_do(tmp_path, published, expiry):
    entries = [{**new_key(str(number)).as_dict(private=False), **more} for number, more in enumerate(published)]
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": entries}))
    keys = jwks.Jwks(str(path), 60)
    keys.start_reading().result()
    assert (len(keys.keys), keys.problem, keys.expiry) == (len(published), "", expiry)
    keys.close()


@pytest.mark.parametrize("source", ["http://issuer.example/jwks", "ftp://issuer.example/jwks", "file:///etc/passwd"])
def test_keys_are_fetched_over_https_only(source):
    with pytest.raises(SettingsError, match="https"):
        Authenticator(Settings(jwt_issuer="i", jwt_audience="a", jwt_jwks=source), b"secret")


def test_tokens_need_all_three_settings(cli, monkeypatch):
    monkeypatch.setenv("SLIPWAY_JWT_JWKS", "https://issuer.example/jwks")
    settings.cache_clear()
    ran = cli("keys", "list")
    assert ran.code == 1 and "SLIPWAY_JWT_ISSUER, SLIPWAY_JWT_AUDIENCE" in ran.err


def test_details_of_readiness_are_for_tokens_with_the_scope_read(start_client, issuer):
    client = ready(start_client(promote=False))
    for claims, known in (
        ({"scope": "predict"}, False),
        ({"scope": "read"}, True),
        ({"scope": "read", "aud": "x"}, False),
    ):
        answer = client.get("/readyz", **bearer(issuer.token(**claims)))
        assert ("slipway promote loans" in answer.json["detail"]) is known

"""No library phones home or writes outside the state folder, unless the person says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.cli.environment import prepare


@pytest.fixture
def variables(monkeypatch, tmp_path) -> dict[str, str]:
    """An environment like a fresh shell's, in which `prepare` may write."""
    fresh = {"SLIPWAY_VAR": str(tmp_path / "var"), "PATH": os.environ["PATH"]}
    monkeypatch.setattr(os, "environ", fresh)
    return fresh


def test_telemetry_is_off_and_caches_lie_in_the_state_folder(variables, tmp_path):
    prepare()
    assert variables["DO_NOT_TRACK"] == "1"
    assert {variables[name] for name in ("MLFLOW_DISABLE_TELEMETRY", "BENTOML_DO_NOT_TRACK")} == {"true", "True"}
    homes = ("PREFECT_HOME", "BENTOML_HOME", "KERAS_HOME", "MPLCONFIGDIR")
    assert all(Path(variables[name]).is_relative_to(tmp_path / "var") for name in homes)


def test_what_a_person_has_set_stays(variables):
    variables["PREFECT_HOME"] = "/elsewhere"
    prepare()
    assert variables["PREFECT_HOME"] == "/elsewhere"


def test_the_predictor_leaves_nothing_in_the_home_folder(tmp_path):
    # CI is unset because ONNX Runtime's telemetry is silent there by itself
    fresh = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    code = "import slipway.inference, onnxruntime; onnxruntime.SessionOptions()"
    subprocess.run([sys.executable, "-c", code], check=True, env={**fresh, "HOME": str(tmp_path)})
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize(("before", "others"), [("", []), ("corp.example, 10.0.0.0/8", ["corp.example", "10.0.0.0/8"])])
def test_the_libraries_reach_this_machines_servers_without_the_proxy(variables, name, before, others):
    import httpx
    import requests

    variables |= {name: "http://127.0.0.1:9", "NO_PROXY": before}
    prepare()
    assert variables["no_proxy"] == variables["NO_PROXY"] == ",".join([*others, "127.0.0.1", "localhost", "::1"])
    prepare()
    assert variables["no_proxy"].count("localhost") == 1
    for url in ("http://127.0.0.1:5000/health", "http://localhost:4200/api", "https://[::1]:1/"):
        assert requests.utils.get_environ_proxies(url) == {}, "MLflow's client"
        with httpx.Client() as client:  # Prefect's client
            assert client._transport_for_url(httpx.URL(url)) is client._transport


def test_without_a_proxy_or_with_none_for_anything_the_exceptions_stay(variables):
    prepare()
    assert "no_proxy" not in variables
    variables |= {"http_proxy": "http://127.0.0.1:9", "no_proxy": "*"}
    prepare()
    assert variables["no_proxy"] == "*"
    assert "NO_PROXY" not in variables


def test_the_certificates_of_one_variable_are_those_of_all_clients(variables):
    variables["SSL_CERT_FILE"] = "/etc/company.pem"
    prepare()
    assert variables["REQUESTS_CA_BUNDLE"] == "/etc/company.pem"
    del variables["REQUESTS_CA_BUNDLE"]
    variables["CURL_CA_BUNDLE"] = "/etc/curl.pem"
    prepare()
    assert "REQUESTS_CA_BUNDLE" not in variables

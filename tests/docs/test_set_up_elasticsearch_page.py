"""The page on setting up Elasticsearch: its commands run, in their order, on a double that has all features."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.settings import settings
from tests.support.doubles.elasticsearch_admin_double import ElasticsearchAdminDouble

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "set-up-elasticsearch.md"
BLOCK = re.compile(r"^ *```bash\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
KEYS = "/etc/slipway/elasticsearch"


def lines() -> Iterator[tuple[dict[str, str], list[str]]]:
    """Yield the variables that each line sets, and its command."""
    for line in (line for block in BLOCK.findall(PAGE.read_text()) for line in block.splitlines()):
        words = shlex.split(line)
        named = [word for word in words if re.match(r"[A-Z_]+=", word)]
        yield dict(word.split("=", 1) for word in named), [word for word in words if word not in named]


def test_every_command_of_the_page_runs(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, sent = {}, {}
    with ElasticsearchAdminDouble() as double:
        server = double.uri.removeprefix("http://")

        def here(text: str) -> str:
            return (
                text.replace("https://", "http://").replace("HOST:9200", server).replace(KEYS, str(tmp_path / "keys"))
            )

        for variables, (program, *words) in lines():
            with monkeypatch.context() as patch:
                target = monkeypatch if program == "export" else patch
                for name, value in variables.items():
                    target.setenv(name, here(value))
                settings.cache_clear()
                if program == "slipway":
                    once = ["--once"] if words == ["ship"] else []  # else it goes on until it is stopped
                    ran[shlex.join(words)] = cli(*map(here, words), *once)
                    sent[shlex.join(words)] = double.request_headers["Authorization"].split()[0]
            settings.cache_clear()
    assert {command: each.err for command, each in ran.items() if each.code} == {}
    assert list(ran) == ["elk setup --dry-run", f"elk setup --keys {KEYS}", "ship", "elk status"]
    assert (sent["elk setup --dry-run"], sent["elk status"]) == ("Basic", "ApiKey")
    assert "22 resources would be changed" in ran["elk setup --dry-run"].err
    assert f"create API key slipway-local-shipper, in {tmp_path}/keys/shipper" in ran[f"elk setup --keys {KEYS}"].err
    assert ran["elk status"].out.count("not there yet") == 4

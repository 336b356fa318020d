"""The configurations of Filebeat and Logstash, as far as they can be checked without these programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from slipway.settings import Settings
from tests.conftest import ROOT
from tests.elk.cases import CASES

FILEBEATS = sorted((ROOT / "elk" / "filebeat").glob("*.yml"))
LOGSTASH = ROOT / "elk" / "logstash"
STREAM = "logs-slipway.service-${SLIPWAY_ENVIRONMENT:local}"
VARIABLE = re.compile(r"\$\{([A-Z_]+)")
OWN = {"LOGSTASH_PIPELINES", "LOGSTASH_PORT", "POD_NAMESPACE", "NODE_NAME"}  # explained in the files
# What is set of Filebeat, each looked up in its reference (elastic/beats, docs/reference/filebeat).
DOCUMENTED = """
type id paths parsers message_max_bytes file_identity.native prospector.scanner.fingerprint.enabled
prospector.scanner.symlinks close.on_state_change.removed multiline.type multiline.pattern multiline.negate
multiline.match multiline.max_lines multiline.timeout container.stream container.format
drop_event.when.regexp.message drop_fields.fields drop_fields.ignore_missing fingerprint.fields fingerprint.method
fingerprint.encoding fingerprint.target_field fingerprint.ignore_missing add_kubernetes_metadata.node
add_kubernetes_metadata.matchers logs_path.logs_path
queue.disk.max_size output.elasticsearch.hosts output.elasticsearch.api_key output.elasticsearch.index
output.elasticsearch.ssl.certificate_authorities output.elasticsearch.backoff.init output.elasticsearch.backoff.max
setup.template.enabled setup.ilm.enabled logging.to_stderr
"""


@pytest.fixture(params=FILEBEATS, ids=lambda path: path.stem)
def filebeat(request: pytest.FixtureRequest) -> dict[str, Any]:
    return yaml.safe_load(request.param.read_text())


def test_a_line_goes_to_the_stream_with_an_id_of_its_own(filebeat: dict[str, Any]) -> None:
    assert filebeat["output.elasticsearch"]["index"] == STREAM
    fingerprint = next(each["fingerprint"] for each in filebeat["processors"] if "fingerprint" in each)
    assert fingerprint["target_field"] == "@metadata._id"
    assert {"log.offset", "log.file.path"} <= set(fingerprint["fields"])
    assert filebeat["setup.template.enabled"] is False, "the templates are those of `slipway elk setup`"


def test_every_key_is_one_of_filebeats_reference(filebeat: dict[str, Any]) -> None:
    lists = [*filebeat.pop("filebeat.inputs"), *filebeat.pop("processors")]
    parsers = [parser for each in lists for parser in each.get("parsers", [])]
    matchers = [m for each in lists for m in each.get("add_kubernetes_metadata", {}).get("matchers", [])]
    found = {key for part in (filebeat, *lists, *parsers, *matchers) for key in _keys(part)}
    assert found - set(DOCUMENTED.split()) == set()


def _keys(value: dict[str, Any]) -> Iterator[str]:
    for name, inner in value.items():
        yield from (f"{name}.{key}" for key in _keys(inner)) if isinstance(inner, dict) else (name,)


def test_records_of_several_lines_stay_together_and_no_other_line_joins_them(filebeat: dict[str, Any]) -> None:
    parsers = filebeat["filebeat.inputs"][0]["parsers"]
    [multiline] = [each["multiline"] for each in parsers if "multiline" in each]
    continues = re.compile(multiline["pattern"])
    assert (multiline["negate"], multiline["match"]) == (False, "after")
    # A logged traceback is a record of its own: after a line of JSON it would make that unreadable.
    written = [case["line"] for case in CASES if "\nTraceback" not in case["line"] and not case["line"].startswith(" ")]
    joined: list[str] = []
    for line in "\n".join(written).split("\n"):
        if continues.search(line):
            joined[-1] += f"\n{line}"
        else:
            joined.append(line)
    assert joined == written


def test_both_programs_take_slipways_own_variables() -> None:
    settings = {f"SLIPWAY_{name.upper()}" for name in Settings.model_fields}
    known = settings | OWN | {"ELASTICSEARCH_URL", "ELASTICSEARCH_API_KEY", "ELASTICSEARCH_CA_CERTS"}
    for path in [*FILEBEATS, *LOGSTASH.rglob("*.yml"), *LOGSTASH.rglob("*.conf")]:
        assert set(VARIABLE.findall(path.read_text())) <= known, path


def test_logstash_keeps_what_it_took_and_what_was_refused() -> None:
    config = yaml.safe_load((LOGSTASH / "logstash.yml").read_text())
    assert (config["queue.type"], config["dead_letter_queue.enable"]) == ("persisted", True)
    pipelines = {each["pipeline.id"]: each for each in yaml.safe_load((LOGSTASH / "pipelines.yml").read_text())}
    assert set(pipelines) == {"service", "refused"}
    assert pipelines["refused"]["dead_letter_queue.enable"] is False, "else a refusal would go round for ever"
    for each in pipelines.values():
        assert (LOGSTASH / "pipelines" / each["path.config"].rpartition("/")[2]).is_file()


@pytest.mark.parametrize("name", ["service", "refused"])
def test_logstash_adds_documents_to_the_stream(name: str) -> None:
    text = (LOGSTASH / "pipelines" / f"{name}.conf").read_text()
    assert text.count("{") == text.count("}")
    assert f'index => "{STREAM}"' in text and 'action => "create"' in text and "data_stream => false" in text

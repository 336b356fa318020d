"""`make ci` on other machines: .ci/run with a stub for each program it calls, in a clone with nothing beside it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.needs import NEEDS, main

ROOT = Path(__file__).resolve().parents[2]
REAL = ("bash", "cat", "dirname", "env", "realpath", "tail")
APT = {
    "chromium",
    "curl",
    "default-jdk-headless",
    "docker-registry",
    "jq",
    "npm",
    "postgresql",
    "prometheus",
    "prometheus-alertmanager",
    "redis-server",
    "shellcheck",
}
RECORD = '#!/bin/bash\necho "$(basename "$0") $*" >>"$RECORD"\n'
# Of infra.audit the exit code; of tests.support.needs a line for what is missing, and 1 if it was asked for by name
LACKING = """case $2 in infra.audit) exit "${AUDIT:-0}";; esac
[ -n "$LACKS" ] || exit 0
[ $# != 2 ] || { echo "$LACKS"; exit 0; }
case " ${*:3} " in *" ${LACKS%%:*} "*) echo "$LACKS"; exit 1;; esac"""
REHEARSE = "make rehearse SHORT=1 BASE="
GO = {"v5@v5.7.1", "kubeconform@v0.8.0", "actionlint@v1.7.12", "act@v0.2.89", "cosign@v2.6.1", "tflint@v0.64.0"}
PARTS = ["make .venv/.installed", "make lint", "make -C grafana types", "make test", "make demo", "make loop"]


@dataclass(frozen=True)
class Ran:
    """Result of .ci/run: its exit code, its output, and what it called."""

    code: int
    output: str
    calls: list[str]

    @property
    def makes(self) -> list[str]:
        return [call for call in self.calls if call.startswith("make ")]

    @property
    def left_out(self) -> str:
        return self.output.partition("Left out, and why:\n")[2]


class Machine:
    """A clone, and a PATH on which nothing is that was not put there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.clone = folder, folder / "bin", folder / "work" / "clone"
        self.bin.mkdir()
        for program in (*REAL, "basename"):
            (self.bin / program).symlink_to(shutil.which(program))
        self.stub("id", "echo 0")
        for program in ("make", "mkdir", "rm", "ln", "iptables", "pkill", "apt-get", "kubectl"):
            self.stub(program)
        shutil.copytree(ROOT / ".ci", self.clone / ".ci")
        self.stub("python", LACKING, self.clone / ".venv" / "bin")

    def stub(self, name: str, script: str = "", folder: Path | None = None) -> None:
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECORD + script + "\n")
        path.chmod(0o755)

    def tools(self, folder: Path) -> Path:
        for name in ("docker-engine", "aws", "elasticsearch", "opensearch"):
            self.stub(name, folder=folder)
        # By it Elasticsearch is ready: not before it has begun
        self.stub("curl", 'until [[ $(<"$RECORD") == *"elasticsearch --port"* ]]; do :; done')
        self.stub("kubernetes", '[ "$1" != env ] || echo "export KUBECONFIG=/a/kubeconfig"', folder)
        self.stub("go-tools", "echo /go/bin", folder)
        return folder

    def run(self, *parts: str, **environment: str) -> Ran:
        record = self.folder / "record"
        record.write_text("")
        given = {"PATH": str(self.bin), "HOME": str(self.folder), "RECORD": str(record), "LACKS": "", **environment}
        ran = subprocess.run(
            [self.clone / ".ci" / "run", *parts], env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return Ran(ran.returncode, ran.stdout, record.read_text().splitlines())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_clone_alone_runs_all_but_the_cluster_and_says_what_was_left_out(machine):
    ran = machine.run(LACKS="docker: install Docker")
    assert (ran.code, ran.makes) == (0, [*PARTS, "make observe"])
    parts = ("tests with docker", "make cluster: docker", "make rehearse: docker")
    assert ran.left_out == "".join(f"  {part}: install Docker\n" for part in parts)


def test_on_a_persons_machine_nothing_is_installed(machine):
    ran = machine.run(LACKS="chromium: install it")
    assert not [call for call in ran.calls if call.startswith(("apt-get", "go ", "python3"))]


def test_in_ci_what_is_missing_is_installed(machine):
    for program in ("go", "python3", "docker"):
        machine.stub(program)
    ran = machine.run(CI="true")
    installed = {call.split()[-1] for call in ran.calls if call.startswith("apt-get install")}
    assert (ran.code, installed) == (0, APT)
    go = {call.split("/")[-1] for call in ran.calls if call.startswith("go ")}
    assert go == GO
    venvs = {call.split("/")[-1] for call in ran.calls if call.startswith("python3 -m venv ")}
    assert venvs == {"moto_server", "zizmor", "checkov"}


def test_in_ci_what_is_there_is_not_installed(machine):
    for program in (
        *APT - {"prometheus", "default-jdk-headless", "postgresql"},
        "checkov",
        "java",
        "promtool",
        "kustomize",
        "kubeconform",
        "act",
        "cosign",
        "actionlint",
        "moto_server",
        "pg_ctlcluster",
        "tflint",
        "zizmor",
    ):
        machine.stub(program)
    ran = machine.run(CI="true")
    assert not [call for call in ran.calls if call.startswith(("apt-get", "go ", "python3"))]


def test_what_cannot_be_installed_is_told_and_ends_nothing(machine):
    machine.stub("apt-get", "exit 100")
    ran = machine.run(CI="true", LACKS="chromium: install Debian's package chromium")
    assert (ran.code, ran.makes) == (0, [*PARTS, "make observe", "make cluster BASE= LOAD=", REHEARSE])
    for program in ("chromium", "promtool", "kustomize", "moto_server"):
        assert f"{program} could not be installed" in ran.output
    assert "tests with chromium: install Debian's package chromium" in ran.left_out


def test_without_prometheus_no_alert_is_observed_and_no_dashboard_is_checked(machine):
    ran = machine.run(LACKS="prometheus: install Debian's package prometheus")
    assert (ran.code, "make observe" in ran.makes) == (0, False)
    for part in ("make observe", "what dashboards show of make loop"):
        assert f"  {part}: prometheus: install Debian's package prometheus\n" in ran.left_out


def test_without_elasticsearch_no_story_is_told_unless_one_is_named(machine):
    lacks = "elasticsearch: set SLIPWAY_TEST_ELASTICSEARCH"
    ran = machine.run(LACKS=lacks)
    assert (ran.code, "make observe" in ran.makes) == (0, True)
    assert f"  one prediction's story in make observe: {lacks}\n" in ran.left_out
    named = machine.run(LACKS=lacks, ELASTICSEARCH_URL="http://127.0.0.1:9200")
    assert (named.code, "story" in named.left_out) == (0, False)


def test_without_npm_the_types_of_dashboards_are_left_out(machine):
    ran = machine.run(LACKS="npm: install Node.js")
    assert (ran.code, "make -C grafana types" in ran.makes) == (0, False)
    assert ran.left_out == "  make -C grafana types: npm: install Node.js\n"


def test_where_there_are_an_engine_and_a_cluster_the_cluster_trial_runs(machine):
    ran = machine.run(SLIPWAY_TEST_LOAD="kind load docker-image")
    assert ran.makes == [*PARTS, "make observe", "make cluster BASE= LOAD=kind load docker-image", REHEARSE]
    assert ran.left_out == ""


def test_the_rehearsal_makes_room_for_itself_after_the_cluster_trial(machine):
    ran = machine.run("cluster", "rehearse")
    assert ran.makes[-2:] == ["make cluster BASE= LOAD=", REHEARSE]
    assert "kubectl delete namespace slipway --ignore-not-found" in ran.calls


def test_the_rehearsal_alone_removes_nothing_from_a_cluster_of_a_person(machine):
    ran = machine.run("rehearse")
    assert ran.makes == ["make .venv/.installed", REHEARSE]
    assert not [call for call in ran.calls if call.startswith("kubectl")]
    machine.tools(machine.clone.parent / "shared" / "tools")
    left = "kubectl delete namespace slipway-staging slipway-production --ignore-not-found"
    assert [call for call in machine.run("rehearse").calls if call.startswith("kubectl")] == [left]


@pytest.mark.parametrize("named", [True, False])
def test_with_a_folder_of_tools_everything_runs_and_nothing_may_be_skipped(machine, named):
    tools = machine.tools(machine.clone.parent / "shared" / "tools" if not named else machine.folder / "elsewhere")
    machine.stub("make", 'echo "NO_SKIP=$SLIPWAY_TEST_NO_SKIP CI=$CI AWS=$SLIPWAY_TEST_AWS"')
    ran = machine.run(**({"SLIPWAY_TEST_TOOLS": str(tools)} if named else {}))
    assert ran.code == 0
    base = "python:3.11-slim-bookworm"
    assert ran.makes[-2:] == [f"make cluster BASE={base} LOAD={tools}/kubernetes load", f"{REHEARSE}{base}"]
    assert "elasticsearch --port 9290" in ran.calls
    assert ran.output.count(f"NO_SKIP=1 CI=true AWS={tools}/aws") == len(ran.makes)
    started = ran.calls.index("docker-engine "), ran.calls.index("kubernetes start"), ran.calls.index("make lint")
    assert list(started) == sorted(started)
    assert ran.calls.index("kubernetes stop") > ran.calls.index(ran.makes[-1])


def test_a_failed_part_ends_the_run_and_what_was_started_is_stopped(machine):
    machine.tools(machine.clone.parent / "shared" / "tools")
    machine.stub("make", '[ "$1" != test ]')
    ran = machine.run()
    assert (ran.code, ran.makes[-1]) == (1, "make test")
    assert {"kubernetes stop", "pkill -x dockerd"} <= set(ran.calls)


def test_parts_that_are_named_run_alone_and_only_what_they_use_is_provided(machine):
    machine.tools(machine.clone.parent / "shared" / "tools")
    ran = machine.run("lint", "demo", LACKS="docker: install Docker")
    assert (ran.code, ran.makes, ran.left_out) == (0, ["make .venv/.installed", "make lint", "make demo"], "")
    assert not [call for call in ran.calls if call.startswith(("apt-get", "docker-engine", "kubernetes"))]
    assert {"apt-get", "kubernetes"} <= {call.split()[0] for call in machine.run("cluster").calls}


def test_a_part_that_there_is_not_is_an_error_that_names_those_that_there_are(machine):
    ran = machine.run("lint", "tests_of_mine")
    assert (ran.code, ran.makes) == (2, [])
    assert ran.output.startswith("error: .ci/run has no part tests_of_mine. Its parts are: lint grafana tests ")


@pytest.mark.parametrize(("stub", "result"), [("", "passed"), ('[ "$1" != demo ]', "**failed in demo**")])
def test_the_page_of_a_run_says_how_each_part_ended_and_what_was_left_out(machine, stub, result):
    machine.stub("make", stub)
    page = machine.folder / "summary.md"
    lacks = "prometheus: install Debian's package prometheus"
    ran = machine.run("loop", "demo", LACKS=lacks, GITHUB_STEP_SUMMARY=str(page))
    assert (ran.code == 0) is (result == "passed")
    table = "| part | min:s |\n| --- | ---: |\n| prepare | 0:00 |\n| loop | 0:00 |\n| demo | 0:00 |\n"
    left_out = f"\nLeft out, and why:\n\n- what dashboards show of make loop: {lacks}\n"
    assert re.sub(r"\d+:\d\d", "0:00", page.read_text()) == f"### loop, demo: {result}\n\n{table}{left_out}"


def test_an_engine_that_ran_before_is_left_alone(machine):
    machine.tools(machine.clone.parent / "shared" / "tools")
    machine.stub("docker")
    assert "pkill -x dockerd" not in machine.run().calls


def test_nothing_of_a_person_is_stopped_or_removed_without_a_folder_of_tools(machine):
    ran = machine.run(CI="true")
    assert not [call for call in ran.calls if call.startswith(("pkill", "rm ", "iptables"))]


@pytest.mark.parametrize("value", ["/nowhere", ".ci/run"])
def test_a_folder_of_tools_that_is_none_is_an_error(machine, value):
    ran = machine.run(SLIPWAY_TEST_TOOLS=value)
    assert (ran.code, ran.makes) == (1, [])
    assert f"error: SLIPWAY_TEST_TOOLS={value} is no folder: name one, or unset it." in ran.output


@pytest.mark.parametrize(("status", "code"), [("0", 0), ("1", 1), ("2", 2), ("3", 0)])
def test_an_audit_that_found_something_ends_the_run_and_one_without_data_is_told(machine, status, code):
    ran = machine.run(AUDIT=status)
    assert ran.code == code
    assert ("make demo" in ran.makes) is (code == 0)
    assert ("audit of some packages" in ran.left_out) is (status == "3")


def test_the_scripts_are_clean(needs):
    scripts = sorted(path for path in (ROOT / ".ci").iterdir())
    checked = subprocess.run([needs("shellcheck"), "-x", *scripts], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_what_is_missing_is_named_with_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    for name in [name for name in os.environ if name.startswith("SLIPWAY_TEST_") or name == "KUBECONFIG"]:
        monkeypatch.delenv(name)
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == list(NEEDS)
    assert all(line.split(": ", 1)[1] for line in lines)


def test_names_that_are_missing_end_with_1(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["curl"]) == 1
    assert capsys.readouterr().out == "curl: install curl\n"
    monkeypatch.setenv("SLIPWAY_TEST_LARGE_IMAGES", "1")
    assert main(["large images"]) == 0

"""The command line of the delivery: its verbs, and what it says of others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.delivery import __main__, github
from infra.delivery.program import run, run_visibly, slipway
from slipway.errors import ServiceError

COMMANDS = Path(__main__.__file__).parent / "commands"


def test_each_module_of_commands_is_a_verb():
    modules = {path.stem for path in COMMANDS.glob("*.py")} - {"__init__", "options"}
    assert modules == __main__.VERBS.keys()


@pytest.mark.parametrize("verb", __main__.VERBS)
def test_each_verb_explains_itself(deliver, verb):
    code, out, _ = deliver(verb, "--help")
    assert code == 0 and f"Usage: python -m infra.delivery {verb}" in out


def test_without_a_verb_they_are_listed(deliver):
    code, out, _ = deliver()
    assert code == 0 and all(f"  {verb}" in out for verb in __main__.VERBS)


def test_an_unknown_verb_is_refused_with_the_one_that_is_near(deliver):
    code, out, err = deliver("deplyo")
    assert (code, out) == (2, "") and err.endswith("there is no verb 'deplyo'. Did you mean 'deploy'?\n")


def test_a_program_that_is_not_installed_is_named_with_its_page(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServiceError, match="cosign is not installed: see https://docs.sigstore.dev/"):
        run("cosign", "version")


def test_a_program_that_does_not_end_is_ended(programs):
    programs.script("docker", "exec sleep 60")
    with pytest.raises(ServiceError, match="`docker pull` did not end within 0 s"):
        run("docker", "pull", seconds=0.2)


def test_a_program_that_fails_is_told_with_its_reason_and_not_with_all_of_its_options(programs):
    programs.script("docker", "echo denied >&2; exit 3")
    with pytest.raises(ServiceError, match=r"`docker 1 2 3 4 5 …` failed: denied"):
        run("docker", "1", "2", "3", "4", "5", "6")


def test_of_a_long_output_the_end_is_told_without_the_log_of_a_library(programs):
    programs.script("kubectl", "seq 20 >&2; echo 'E0601 12:00:00.1 memcache.go] noise' >&2; echo refused >&2; exit 1")
    with pytest.raises(ServiceError, match="failed: 17 18 19 20 refused$"):
        run("kubectl", "get")


def test_what_a_visible_program_prints_is_not_mixed_with_results(programs, capfd):
    programs.script("make", "echo building")
    run_visibly("make", "images", seconds=20)
    assert capfd.readouterr() == ("", "building\n")


@pytest.fixture
def python(programs, tmp_path, monkeypatch):
    """`python("exit 1")` lets these lines run in place of the interpreter."""

    def replace(bash):
        programs.script("python", bash)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))

    return replace


def test_the_result_of_a_slipway_command_is_its_json(python, programs, capfd):
    python('echo progress >&2; echo \'{"version": "3"}\'')
    assert slipway("train", "loans", seconds=20) == {"version": "3"}
    assert programs.calls == ["python -m slipway.cli train loans --json"]
    assert capfd.readouterr().err == "progress\n"


def test_a_slipway_command_that_fails_is_named(python, capfd):
    python("echo why >&2; exit 1")
    with pytest.raises(ServiceError, match="`slipway train loans` failed: its output is above"):
        slipway("train", "loans", seconds=20)
    assert capfd.readouterr().err == "why\n"


GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "example/slipway",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
}


def test_a_workflow_that_runs_again_has_the_same_name_and_address():
    again = GITHUB | {"GITHUB_RUN_ATTEMPT": "3"}
    assert github.run_name(GITHUB) == github.run_name(again) == "example/slipway run 7"
    assert github.run_url(GITHUB) == "https://github.com/example/slipway/actions/runs/7"


def test_two_deployments_of_one_person_do_not_hold_the_same_lock(monkeypatch):
    assert github.lock_holder(GITHUB) == "example/slipway run 7"
    holders = set()
    for process in (1, 2):
        monkeypatch.setattr(github.os, "getpid", lambda process=process: process)
        holders.add(github.lock_holder({}))
    assert len(holders) == 2


def test_on_a_laptop_a_person_and_a_machine_have_no_address():
    assert "@" in github.run_name({}) and github.run_url({}) is None and github.signer({}) is None


def test_the_workflow_that_signs_is_that_of_the_main_branch():
    workflow = "https://github.com/example/slipway/.github/workflows/release.yml@refs/heads/main"
    assert github.signer(GITHUB) == workflow

"""The other files of .github/, and the page that says how a repository is set up."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.workflows.documents import GITHUB, ROOT, documents, parse

PAGE = (ROOT / "docs" / "how-to" / "set-up-github.md").read_text()
UPDATES = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def used(context: str) -> set[str]:
    """Return the names of a context, such as `vars`, in all workflows."""
    return {name for document in documents() for name in re.findall(rf"\b{context}\.([A-Z_]+)", document.text)}


def listed(heading: str) -> set[str]:
    """Return the names in the first column of the table below a heading of the page."""
    section = re.search(rf"^## \d\. {heading}\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)[1]
    return {
        name for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }


def test_the_page_names_every_variable_secret_and_environment_and_no_other():
    assert listed("Set the variables") == used("vars")
    assert listed("Set the secrets") == used("secrets")
    environments = {
        job["environment"] for document in documents() for job in document.jobs.values() if "environment" in job
    }
    assert listed("Make the environments") == environments


def test_the_commands_of_the_page_make_every_environment_with_reviewers_but_for_staging(tmp_path):
    [commands] = re.findall(r"```bash\n(team=.+?)```", PAGE, re.DOTALL)
    made = (
        f'gh() {{ echo "$3 $4" >>"{tmp_path}/made"; [ "$3" != PUT ] || cat >"{tmp_path}/$(basename "$4")"; echo 7; }}\n'
    )
    subprocess.run(["bash", "-euc", made + commands.replace("{owner}/{repo}", "o/r")], check=True, capture_output=True)
    environments = listed("Make the environments")
    made = {name: json.loads((tmp_path / name).read_text()) for name in environments}
    assert {name for name, rules in made.items() if "reviewers" not in rules} == {"staging"}
    assert all(rules["deployment_branch_policy"]["custom_branch_policies"] for rules in made.values())
    posted = [line for line in (tmp_path / "made").read_text().splitlines() if line.startswith("POST")]
    assert {line.split("/")[-2] for line in posted} == environments


def test_the_page_has_every_workflow():
    rows = re.findall(r"^\| `(\w+)` \| ", PAGE.partition("## 1.")[0], re.MULTILINE)
    assert rows == ["ci", "release", "train", "infra"]
    assert set(rows) == {path.stem for path in (GITHUB / "workflows").iterdir()}


def test_the_required_check_of_the_page_is_a_job():
    jobs = parse("ci", (GITHUB / "workflows" / "ci.yml").read_text()).jobs
    for check in re.findall(r"require the status check `(.+?)`", PAGE):
        assert jobs[check]["name"] == check


def folders(update: dict[str, list[str]]) -> list[Path]:
    given = update.get("directories") or [update["directory"]]
    return [path for pattern in given for path in (ROOT.glob(pattern.strip("/")) if pattern != "/" else [ROOT])]


@pytest.mark.parametrize(
    ("ecosystem", "pattern"),
    [
        ("pip", "locks/*.txt"),
        ("docker", "infra/images/base.Dockerfile"),
        ("npm", "**/package.json"),
        ("terraform", "infra/terraform/**/versions.tf"),
        ("github-actions", ".github/actions/*/action.yml"),
    ],
)
def test_dependabot_looks_into_every_folder_that_pins_something(ecosystem, pattern):
    watched = {folder for update in UPDATES if update["package-ecosystem"] == ecosystem for folder in folders(update)}
    tracked = subprocess.run(
        ["git", "ls-files", f":(glob){pattern}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    pinned = {(ROOT / path).parent for path in tracked.stdout.splitlines() if "/examples/" not in path}
    assert pinned <= watched


def test_dependabot_updates_the_base_of_the_images():
    """It does not read the ARG of a Dockerfile, so this keeps both equal."""
    base = re.search(r"^FROM (\S+)$", (ROOT / "infra" / "images" / "base.Dockerfile").read_text(), re.MULTILINE)[1]
    assert "@sha256:" in base
    for dockerfile in ("infra/images/Dockerfile", "bentos/images/Dockerfile"):
        assert f"\nARG BASE={base}\n" in (ROOT / dockerfile).read_text(), f"{dockerfile}: set ARG BASE={base}"


def test_a_new_version_waits_a_week():
    assert all(update["cooldown"]["default-days"] >= 7 for update in UPDATES)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_is_one_that_github_takes(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "body", "labels", "title"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) >= 3
    assert {field["type"] for field in form["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_vulnerabilities_are_not_sent_into_public_issues():
    assert yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / "config.yml").read_text()) == {"blank_issues_enabled": False}
    assert "reported in private" in (GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text()


def test_the_verbs_of_the_pull_request_template_exist():
    verbs = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"`make ([a-z-]+)`", (GITHUB / "pull_request_template.md").read_text())
    assert named and set(named) <= set(verbs)

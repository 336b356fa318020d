"""What changed decides what is done: which use cases are trained, and whether images are made anew."""

from __future__ import annotations

import pytest

from infra.delivery.changed_parts import Changes, changes, is_documentation, usecases

PRESENT = ["digits", "loans"]
LOANS = "usecases/loans/usecase.yaml"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("usecases/loans/model.py", Changes(("loans",), images=True, code=True)),
        ("bentos/api/routes.py", Changes((), images=True, code=True)),
        ("bentos/api/web_page/icon.svg", Changes((), images=True, code=True)),
        ("locks/serving.txt", Changes((), images=True, code=True)),
        ("infra/kubernetes/base/slipway.env", Changes((), images=True, code=True)),
        ("infra/terraform/modules/network/main.tf", Changes((), images=False, code=True)),
        ("tests/conftest.py", Changes((), images=False, code=True)),
        (".github/workflows/ci.yml", Changes((), images=False, code=True)),
        ("docs/how-to/deliver-a-change.md", Changes((), images=False, code=False)),
        ("docs/explanation/drift.svg", Changes((), images=False, code=False)),
        ("usecases/loans/README.md", Changes((), images=False, code=False)),
    ],
)
def test_a_path_decides(path, expected):
    assert changes([path], PRESENT) == expected


def test_a_page_among_code_does_not_hide_the_code():
    assert changes(["README.md", "usecases/digits/data.py"], PRESENT).usecases == ("digits",)


def test_a_use_case_that_was_removed_is_not_trained():
    assert changes(["usecases/gone/model.py", LOANS], PRESENT) == Changes(("loans",), images=True, code=True)


def test_nothing_changed():
    assert changes([], PRESENT) == Changes((), images=False, code=False)


def test_a_use_case_is_a_folder_with_a_usecase_yaml():
    assert usecases([LOANS, "usecases/shared/tool.py", "usecases/loans/deep/usecase.yaml"]) == {"loans"}


def test_code_in_the_folder_of_the_documentation_is_code():
    assert not is_documentation("docs/generate_reference.py")


def test_the_verb_prints_what_changed_between_two_commits(repository, deliver):
    base = repository({LOANS: "name: loans", "docs/a.md": "a"})
    repository({"usecases/loans/model.py": "", "docs/a.md": "b"})
    code, out, _ = deliver("changes", "--base", base)
    assert (code, out.splitlines()) == (0, ['usecases=["loans"]', "images=true", "code=true"])


def test_a_push_of_pages_only_builds_nothing(repository, deliver):
    base = repository({LOANS: "name: loans", "docs/a.md": "a"})
    head = repository({"docs/a.md": "b", "README.md": "new"})
    _, out, _ = deliver("changes", "--base", base, "--head", head)
    assert out.splitlines() == ["usecases=[]", "images=false", "code=false"]


def test_a_file_that_moved_into_another_use_case_changes_both(repository, deliver):
    base = repository({LOANS: "name: loans", "usecases/digits/usecase.yaml": "", "usecases/loans/a.py": "one = 1\n"})
    repository({"usecases/loans/a.py": None, "usecases/digits/a.py": "one = 1\n"})
    assert 'usecases=["digits", "loans"]' in deliver("changes", "--base", base)[1]


@pytest.mark.parametrize("base", ["0" * 40, "1" * 40])
def test_everything_counts_as_changed_where_the_commit_before_is_not_there(repository, deliver, base):
    repository({LOANS: "name: loans", "slipway/a.py": ""})
    code, out, err = deliver("changes", "--base", base)
    assert (code, out.splitlines()) == (0, ['usecases=["loans"]', "images=true", "code=true"])
    assert base in err and "everything counts as changed" in err


def test_in_a_workflow_they_are_outputs_of_the_step(repository, deliver, monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    (tmp_path / "output").write_text("before=1\n")
    base = repository({LOANS: "name: loans"})
    repository({"usecases/loans/a.py": ""})
    deliver("changes", "--base", base)
    assert (tmp_path / "output").read_text() == 'before=1\nusecases=["loans"]\nimages=true\ncode=true\n'


def test_a_head_that_is_not_there_is_an_error(repository, deliver):
    base = repository({"README.md": ""})
    code, _, err = deliver("changes", "--base", base, "--head", "nowhere")
    assert code == 1 and "nowhere" in err

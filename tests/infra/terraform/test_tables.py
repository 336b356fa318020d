"""Tables of inputs and outputs, made from the text of variables.tf and outputs.tf."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.terraform import tables

VARIABLES = """variable "name" {
  description = "Name of \\"it\\", a | b."
  type        = string

  validation {
    condition     = var.name != ""
    error_message = "name is empty: give one."
  }
}

variable "nodes" {
  description = "All."
  type = object({
    classes = list(string) # of EC2
    min     = optional(number)
  })
  default = {
    classes = [
      "large",
      "huge",
    ]
  }
}

variable "peer" {
  description = "Other network."
  type        = string
  default     = null # none
}
"""
OUTPUTS = """output "url" {
  description = "Where it answers."
  value       = "https://${var.name}"
}

output "password" {
  description = "Of the user `$${user}`."
  value       = "x"
  sensitive   = true
}
"""
EXPECTED = r"""# It

<!-- tables -->
## Inputs

| input | type | default | description |
| --- | --- | --- | --- |
| `name` | `string` | required | Name of "it", a \| b. |
| `nodes` | `object({ classes = list(string), min = optional(number) })` | `{ classes = ["large", "huge"] }` | All. |
| `peer` | `string` | `null` | Other network. |

## Outputs

| output | description |
| --- | --- |
| `url` | Where it answers. |
| `password` | Of the user `${user}`. Sensitive. |
<!-- /tables -->

Further text.
"""
EMPTY = "# It\n\n<!-- tables -->\n<!-- /tables -->\n\nFurther text.\n"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Write a module of a folder of Terraform, with a README that has no tables yet."""
    folder = tmp_path / "modules" / "it"
    folder.mkdir(parents=True)
    (folder / "variables.tf").write_text(VARIABLES)
    (folder / "outputs.tf").write_text(OUTPUTS)
    (folder / "README.md").write_text(EMPTY)
    return folder


def test_types_and_defaults_are_shown_as_they_are_written(module, tmp_path):
    assert tables.main([], tmp_path) == 0
    assert (module / "README.md").read_text() == EXPECTED


def test_a_table_that_is_up_to_date_is_left_alone(module, tmp_path, capsys):
    tables.main([], tmp_path)
    capsys.readouterr()
    assert (tables.main(["--check"], tmp_path), tables.main([], tmp_path)) == (0, 0)
    assert capsys.readouterr() == ("", "")


def test_a_check_names_what_is_out_of_date_and_writes_nothing(module, tmp_path, capsys):
    assert tables.main(["--check"], tmp_path) == 1
    expected = "error: modules/it/README.md is out of date: run python -m infra.terraform.tables\n"
    assert capsys.readouterr().err == expected
    assert (module / "README.md").read_text() == EMPTY


def test_a_folder_with_variables_alone_has_one_table(module, tmp_path):
    (module / "outputs.tf").unlink()
    tables.main([], tmp_path)
    text = (module / "README.md").read_text()
    assert "## Inputs" in text and "## Outputs" not in text


def test_examples_and_what_terraform_downloads_have_no_readme(module, tmp_path):
    for folder in ("examples/basic", ".terraform/modules/other", "tests"):
        (module / folder).mkdir(parents=True)
        (module / folder / "variables.tf").write_text(VARIABLES)
    assert tables.described_folders(tmp_path) == [module]


@pytest.mark.parametrize("text", [None, "# It\n", "# It\n\n<!-- tables -->\n"])
def test_a_readme_without_its_two_markers_is_refused(module, tmp_path, text):
    readme = module / "README.md"
    readme.unlink() if text is None else readme.write_text(text)
    with pytest.raises(SystemExit, match=r"README\.md lacks the lines <!-- tables --> and <!-- /tables -->: add them"):
        tables.main([], tmp_path)


@pytest.mark.parametrize(
    ("written", "shown"),
    [("", "none"), ('  description = ""\n', '""'), ("  description = <<-E\n    It\n  E\n", "<<-E")],
)
def test_a_description_that_is_no_string_on_one_line_is_refused(module, tmp_path, written, shown):
    (module / "outputs.tf").write_text(f'output "url" {{\n{written}  value       = "x"\n}}\n')
    with pytest.raises(SystemExit) as refused:
        tables.main([], tmp_path)
    assert f"output url has the description {shown}" in str(refused.value)
    assert "write it as one string on one line" in str(refused.value)


def test_a_variable_without_a_type_is_refused(module, tmp_path):
    (module / "variables.tf").write_text('variable "name" {\n  description = "Name."\n}\n')
    with pytest.raises(SystemExit, match="variable name has no type: give it one"):
        tables.main([], tmp_path)

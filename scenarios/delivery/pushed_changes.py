"""Changes that a developer pushes during the rehearsal, each to the checkout that it is given."""

from __future__ import annotations

from pathlib import Path

from scenarios.delivery.environments import replace, set_in_usecase

OTHER_SEED = 8
# Callers that predict as before notice nothing; the smoke test reads the type of an error's body.
PROBLEM_TYPE = (Path("bentos") / "problem_details.py", '"application/problem+json"', '"application/json"')


def train_with_another_seed(checkout: Path) -> None:
    """Change the use case, so that a model is trained anew."""
    set_in_usecase(checkout, seed=OTHER_SEED)


def edit_documentation(checkout: Path) -> None:
    """Add a sentence to a page."""
    with (checkout / "docs" / "index.md").open("a") as page:
        page.write("\nThis sentence changes no program.\n")


def break_error_responses(checkout: Path) -> None:
    """Change the service so that it is ready and predicts, and its smoke test fails.

    Raises:
        ServiceError: the text that is replaced is not there.
    """
    file, before, after = PROBLEM_TYPE
    replace(checkout / file, before, after)

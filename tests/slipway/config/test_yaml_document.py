"""`usecase.yaml` as it is written: keys given twice, text that YAML reads as something else, and where that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway import config
from slipway.errors import UseCaseError
from slipway.settings import settings

PLAIN = """\
name: plain
owner: us
task: binary
source: {path: rows.csv}
features:
  - {name: age, kind: integer}
  - {name: city, kind: category}
target:
  name: outcome
  classes: [good, bad]
  positive: bad
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`write(old, new)` replaces a part of the file and returns its path."""
    monkeypatch.setenv("SLIPWAY_USECASES", str(tmp_path / "usecases"))
    settings.cache_clear()
    path = tmp_path / "usecases" / "plain" / "usecase.yaml"
    path.parent.mkdir(parents=True)

    def write(old: str = "", new: str = "") -> Path:
        assert old in PLAIN
        path.write_text(PLAIN.replace(old, new, 1), encoding="utf-8")
        return path

    write()
    return write


def refusal(**overrides: str) -> str:
    with pytest.raises(UseCaseError) as refused:
        config.load("plain", {name.replace("__", "."): value for name, value in overrides.items()})
    return str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "key", "lines"),
    [
        ("task: binary\n", "task: binary\ntask: regression\n", "task", (3, 4)),
        ("  positive: bad\n", "  positive: bad\n  name: other\n", "name", (9, 12)),
        ("{name: age, kind: integer}", "{name: age, kind: integer, kind: number}", "kind", (6, 6)),
        ("  positive: bad\n", "  positive: bad\n'owner': them\n", "owner", (2, 12)),
        ("owner: us\n", "owner: us\nparams: {a: {b: 1, b: 2}}\n", "b", (3, 3)),
        ("owner: us\n", "owner: us\nparams: {<<: {a: 1}, a: 2, a: 3}\n", "a", (3, 3)),
        ("owner: us\n", "owner: us\nparams:\n  weights: {1: a,\n    1.0: b}\n", "1.0", (4, 5)),
        ("owner: us\n", "owner: us\nparams: {16: a, 0x10: b}\n", "0x10", (3, 3)),
    ],
)
def test_a_key_that_is_given_twice_is_an_error_with_both_lines(write, old, new, key, lines) -> None:
    path = write(old, new)
    assert refusal().startswith(
        f"{path}:{lines[1]}: the key '{key}' is given twice, in line {lines[0]} and in line {lines[1]}"
    )


def test_a_key_that_is_merged_may_be_given_anew(write) -> None:
    write("owner: us\n", "owner: us\nparams: {<<: &defaults {epochs: 1, width: 2}, epochs: 3}\n")
    assert config.load("plain").params == {"epochs": 3, "width": 2}


@pytest.mark.parametrize(
    ("written", "reading"),
    [
        *[(word, "true or false") for word in ("NO", "no", "yes", "Yes", "on", "OFF", "true")],
        *[(number, "a number") for number in ("0", "1", "-1", "1.0", "1.50", "1_000", "0x10", ".5", ".inf", "1.0e+3")],
        *[("2024-01-01", "a date"), ("2024-01-01 10:00:00", "a date")],
        *[("null", "nothing"), ("~", "nothing")],
        *[("{a}", "a list or a mapping"), ("a: b", "a list or a mapping"), ("[a]", "a list or a mapping")],
    ],
)
@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("classes: [good, bad]", "classes:\n  - {}\n  - bad", "target.classes.0"),
        ("kind: category}", "kind: category, vocabulary: [a, {}]}", "features.1.vocabulary.1"),
    ],
)
def test_text_that_yaml_reads_as_something_else_gets_the_hint_to_quote(write, old, new, place, written, reading):
    write(old, new.replace("{}", written))
    expected = f'{place}: text is needed, and YAML reads {written} as {reading}: put it in quotes, "{written}"'
    assert expected in refusal()


@pytest.mark.parametrize(
    ("old", "new", "line", "written"),
    [
        ("positive: bad", "positive: NO", 11, "NO"),
        ("owner: us", "owner: 7", 2, "7"),
        ("owner: us", "owner: us\nretired: [a, 2]", 3, "2"),
        ("owner: us", "owner: us\nsplit: {salt: 1}", 3, "1"),
        ("kind: integer}", "kind: integer, unit: 1}", 6, "1"),
        ("{name: age,", "{name: on,", 6, "on"),
        ("name: plain", "name: yes", 1, "yes"),
        ("- {name: city", "- {column: 3, name: city", 7, "3"),
        ("classes: [good, bad]", "classes:\n  - #1\n  - bad", 11, "#1"),
        ("classes: [good, bad]", "classes:\n  - &1\n  - bad", 11, "&1"),
    ],
)
def test_the_hint_names_the_line_of_any_text(write, old, new, line, written) -> None:
    path = write(old, new)
    assert refusal().startswith(f"{path}:{line}: ") and f'put it in quotes, "{written}"' in refusal()


@pytest.mark.parametrize(
    "word", ["no", "YES", "=", "-", "<", "1e3", "1e+3", "NA", "<=50K", "good & bad", "a:b", "5%", "München", "0o1"]
)
def test_what_yaml_reads_as_text_is_compared_as_it_was_written(write, word) -> None:
    plain = word not in ("no", "YES")
    write("[good, bad]\n  positive: bad", f"[good, {word if plain else repr(word)}]\n  positive: {word!r}")
    assert config.load("plain").target.classes == ["good", word]


@pytest.mark.parametrize(
    ("old", "new", "written"),
    [
        ("[good, bad]", "[<=50K, >50K]", ">50K"),
        ("positive: bad", "positive: >50K", ">50K"),
        ("positive: bad", "positive: >=50K", ">=50K"),
        ("[good, bad]", "\n  - >K\n  - bad", ">K"),
        ("[good, bad]", "\n  - >5\n  - bad", ">5"),
        ("[good, bad]", "\n  - |2\n  - bad", "|2"),
        ("[good, bad]", "\n  - |\n  - bad", "|"),
        ("[good, bad]", "\n  - >\n  - bad", ">"),
        ("[good, bad]", "[<<, b]", "<<"),
        ("[good, bad]", "[?, b]", "?"),
        ("[good, bad]", "\n  - ?\n  - bad", "?"),
        ("[good, bad]", "[@home, away]", "@home"),
        ("[good, bad]", "[`a`, b]", "`a`"),
        ("[good, bad]", "[%a, b]", "%a"),
        ("[good, bad]", "[*, b]", "*"),
        ("[good, bad]", "[*a, b]", "*a"),
        ("[good, bad]", "[&, b]", "&"),
        ("[good, bad]", "[!yes, b]", "!yes"),
    ],
)
def test_text_that_is_no_yaml_without_quotes_gets_the_hint_to_quote(write, old, new, written) -> None:
    path = write(old, new)
    assert refusal().startswith(f"{path}:1") and "quotes" in refusal() and f'"{written}"' in refusal()


@pytest.mark.parametrize("broken", ["owner: a: b", "owner: [a", "owner: 'a", "owner: {a: b", "\towner: us", "- a"])
def test_any_other_error_names_its_line_and_what_needs_quotes(write, broken) -> None:
    path = write("owner: us", broken)
    assert refusal().startswith(f"{path}:") and "is not YAML" in refusal() and "needs quotes" in refusal()


@pytest.mark.parametrize(("written", "number"), [("010", "8"), ("1:30", "90"), ("-012", "-10"), ("1:30.5", "90.5")])
def test_a_number_that_yaml_reads_as_another_is_refused(write, written, number) -> None:
    write("owner: us", f"owner: us\nmonitoring: {{window_hours: {written}}}")
    assert f'YAML reads {written} as {number}: write that number if it is meant, and text in quotes, "{written}"' in (
        refusal()
    )
    write("owner: us", f'owner: us\nretired: ["{written}"]')
    assert config.load("plain").retired == [written]


NUMBERS = ["gates: {margin: {}}", "gates: {absolute: {roc_auc: {}}}", "gates: {slices: [{feature: age, bins: [{}]}]}"]
WHOLE = ["seed: {}", "serving: {cache: {}}", "canary: {stages: [{}, 50]}", "monitoring: {min_rows: {}}"]


@pytest.mark.parametrize("key", [*NUMBERS, *WHOLE, "canary: {max_score_shift: {}}", "split: {fractions: {train: {}}}"])
@pytest.mark.parametrize("word", ["yes", "no", "on", "True"])
def test_a_word_for_true_or_false_is_no_number(write, key, word) -> None:
    path = write("owner: us", "owner: us\n" + key.replace("{}", word))
    assert refusal().startswith(f"{path}:3: ")
    assert f"a number is needed, and YAML reads {word} as true or false." in refusal()


@pytest.mark.parametrize("key", [*NUMBERS, "features: [{name: a, kind: number, range: [{}, {}]}]"])
@pytest.mark.parametrize("written", [".nan", ".inf", "-.inf", "1e400", "nan"])
def test_a_bound_that_nothing_is_compared_with_is_no_number(write, key, written) -> None:
    write("owner: us", "owner: us\n" + key.replace("{}", written))
    if key.startswith("features"):
        write("features:\n  - {name: age, kind: integer}\n  - {name: city, kind: category}", key.replace("{}", written))
    assert "Input should be a finite number" in refusal()


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("seed: -1", "greater than or equal to 0"),
        ("seed: 4294967296", "less than 4294967296"),
        ("monitoring: {window_hours: 1e12}", "less than or equal to 87600"),
        ("retraining: {cooldown_hours: 1e12}", "less than or equal to 87600"),
        ("gates: {slices: [{feature: age, bins: []}]}", "at least 1 item"),
        ("split: {group: ''}", "at least 1 character"),
    ],
)
def test_a_value_that_would_fail_later_is_refused(write, key, reason) -> None:
    path = write("owner: us", f"owner: us\n{key}")
    assert refusal().startswith(f"{path}:3: ") and reason in refusal()


@pytest.mark.parametrize("written", ["2024-02-31", "!!int us", "!!bool maybe", "!!timestamp x"])
def test_what_looks_like_another_value_and_is_none_is_refused_with_its_line(write, written) -> None:
    path = write("owner: us", f"owner: us\nretired: [a, {written}]")
    text = written.split()[-1]
    assert refusal().startswith(f"{path}:3: YAML reads {text} as ") and f'text is meant, "{text}"' in refusal()


@pytest.mark.parametrize(("character", "code"), [("\0", "0000"), ("\x07", "0007"), ("\ufffe", "FFFE")])
def test_a_character_that_yaml_does_not_allow_is_named_with_its_line(write, character, code) -> None:
    path = write("owner: us", f"owner: u{character}s")
    assert refusal().startswith(f"{path}:2 holds the character U+{code}")


@pytest.mark.parametrize("key", ["a: " + "[" * 1000 + "]" * 1000, "a: " + "{a: " * 1000 + "1" + "}" * 1000])
def test_a_file_that_is_nested_too_deeply_is_refused(write, key) -> None:
    path = write("owner: us", f"owner: us\nparams: {{{key}}}")
    assert refusal().startswith(f"{path} is nested too deeply")


@pytest.mark.parametrize(
    ("old", "new", "remedy"),
    [
        ("  name: outcome", "\tname: outcome", "Indent with blanks"),
        ("rows.csv", '"C:\\data\\rows.csv"', "use single quotes"),
        ("  positive: bad\n", "  positive: bad\n---\nname: other\n", "Keep one document"),
        ("owner: us", "owner: !mine us", "Tags that begin with `!` are not read"),
        ("owner: us", "owner: us\nparams: {[a]: b}", "A key is text"),
    ],
)
def test_an_error_of_yaml_says_what_to_do(write, old, new, remedy) -> None:
    path = write(old, new)
    assert refusal().startswith(f"{path}:") and remedy in refusal()


@pytest.mark.parametrize("key", ["gates", "params", "target"])
@pytest.mark.parametrize(("value", "received"), [("", "there is nothing"), ("[a]", "['a']"), ("text", "'text'")])
def test_a_section_that_is_none_is_told_in_words(write, key, value, received) -> None:
    path = write("owner: us", f"owner: us\n{key}: {value}") if key != "target" else write()
    if key == "target":
        path.write_text(PLAIN.split("target:")[0] + f"target: {value}\n")
    assert ": a mapping of keys is needed" in refusal() and received in refusal()
    assert str(path) in refusal() and "instance of" not in refusal()


@pytest.mark.parametrize("content", ["", "# nothing\n", "- a\n", "text\n", "~\n"])
def test_a_file_without_keys_is_told_in_words(write, content) -> None:
    path = write()
    path.write_text(content)
    assert refusal().startswith(f"{path} holds ") and "a mapping of keys is needed" in refusal()
    assert "NoneType" not in refusal()


@pytest.mark.parametrize("key", ["no", "on", "null", "2024-01-01"])
def test_a_key_that_yaml_reads_as_no_text_is_named(write, key) -> None:
    path = write("owner: us\n", f"owner: us\n{key}: 1\n")
    assert refusal().startswith(f"{path}:3: YAML reads the key {key} as ") and f'in quotes, "{key}"' in refusal()


def test_a_key_that_is_a_number_is_refused_where_keys_are_names(write) -> None:
    write("owner: us\n", "owner: us\n1: a\ngates: {absolute: {2: 0.5}}\n")
    assert refusal().count("a key is text: put it in quotes") == 2 and "usecase.yaml:3: 1: a key" in refusal()
    write("owner: us\n", "owner: us\nparams: {class_weight: {0: 1.5}}\n")
    assert config.load("plain").params == {"class_weight": {0: 1.5}}


def test_every_error_names_the_nearest_line(write) -> None:
    path = write("  - {name: city, kind: category}", "  - {name: city,\n     kind: text}\n  - {name: a}")
    assert f"{path}:8: features.1.kind: " in refusal() and f"{path}:9: features.2.kind: Field required" in refusal()


def test_an_override_says_what_was_set_and_how_a_shell_keeps_quotes(write) -> None:
    assert refusal(target__positive="NO") == (
        "--set target.positive=NO: target.positive: text is needed, and YAML reads NO as true or false: "
        'put it in quotes, "NO" (the shell takes quotes away: put all of KEY=VALUE into single ones).'
    )
    assert "--set owner=: owner: " in refusal(owner="")
    assert "--set target.classes=[a: target.classes" not in refusal(target__classes="[a")
    assert refusal(target__classes="[a").startswith("--set target.classes=[a is not YAML")
    assert "'a' is given more than once" in refusal(target__classes="[a, a]")
    assert "is given twice" in refusal(split="{salt: a, salt: b}")


def test_an_override_is_blamed_for_what_the_file_does_not_hold(write) -> None:
    assert refusal(gate__margin="1").startswith("--set gate.margin=1: gate: unknown key. Did you mean 'gates'")
    assert refusal(split__fractions__train="0.5").startswith("--set split.fractions.train=0.5: split.fractions: sum")
    assert refusal(target__unit="x", target__classes="[a]").startswith(f"{write()}: target.classes ['a']")


@pytest.mark.parametrize("value", ["a #b.csv", "a.csv # new", "#1"])
def test_nothing_of_an_override_is_a_comment(write, value) -> None:
    assert "as a comment: put the value in quotes" in refusal(source__path=value)
    assert config.load("plain", {"source.path": f'"{value}"'}).source.path == value


def test_an_override_gives_no_use_case_another_name(write) -> None:
    assert refusal(name="other").startswith("--set name=other: the name is the folder's, 'plain'")
    assert config.load("plain", {"name": "plain"}).name == "plain"


def test_a_hyperparameter_may_have_a_name_of_our_own(write) -> None:
    assert config.load("plain", {"folder": "a", "overridden": "b"}).params == {"folder": "a", "overridden": "b"}


@pytest.mark.parametrize("key", ["folder", "overridden"])
def test_a_name_of_our_own_is_no_key(write, key) -> None:
    write("owner: us", f"owner: us\n{key}: x")
    assert f"{key}: unknown key. Allowed here: auto_promote" in refusal()


def test_a_file_with_a_byte_order_mark_is_read_and_one_in_latin_1_is_named(write) -> None:
    path = write()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert config.load("plain").owner == "us"
    path.write_bytes(PLAIN.replace("us", "Müller").encode("latin-1"))
    assert "is not UTF-8 text" in refusal() and "save it as UTF-8" in refusal()


def test_an_alias_of_itself_ends(write) -> None:
    write("owner: us", "owner: us\nparams: &a {b: *a}")
    assert "b" in config.load("plain").params

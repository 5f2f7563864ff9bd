"""Names of generators and detectors stay what they are, or are refused where they are chosen."""

import io
import json

import pandas as pd
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tff_core.store import names

READ_BACK = (
    "007", "1024", "0", "1e5", "1E5", "1e-5", "00", "1_000", "0x10", "0XFF", "0o17", "0b11", "NA", "na",
    "nan", "NaN", "NaT", "null", "NULL", "Null", "nil", "none", "None", "inf", "INF", "Infinity", "true",
    "True", "TRUE", "false", "no", "NO", "yes", "Off", "on", "y", "N", "T", "2024-01-01", "2024-1-1",
    "2024-01", "2024-01-01T10", "20240101",
)  # fmt: skip
RESERVED = (
    "all", "All", "ALL", "mean", "Mean", "none", "imagenet", "real", "Fake", "detection", "unreadable",
)  # fmt: skip
DEVICES = (
    "con", "NUL", "aux", "prn", "com1", "LPT9",
)  # fmt: skip
NO_NAME = [
    "",
    " ",
    "a b",
    "a/b",
    "../up",
    ".",
    "..",
    "a.b",
    "a.",
    ".a",
    "-a",
    "_a",
    "a\n",
    "é",
    "a" * 41,
    "a:b",
    "~",
    "*",
]
GOOD = (
    "mygan", "progan", "stylegan2", "wang05", "other-2", "my_gan", "3d", "2nd-try", "1024px", "nano",
    "all-gans", "mean2", "not-null", "NAGAN", "nullgan", "truegan", "resnet50-miniature", "e5", "x007",
    "con1", "v1e5", "1e5x", "0xy", "onoff", "f1", "2024-gan",
)  # fmt: skip


@pytest.mark.parametrize("name", [*READ_BACK, *RESERVED, *DEVICES, *NO_NAME])
def test_a_name_that_would_become_something_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no name for the book.*choose another"):
        names.check(name)


@pytest.mark.parametrize("value", [7, 1024, 1e5, None, True, float("nan"), ["a"]])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"is no name for the book but .*: expected text; put the gen"):
        names.check(value, "generator")


@pytest.mark.parametrize("name", GOOD)
def test_any_other_is_kept(name: str) -> None:
    assert names.check(name) == name


@pytest.mark.slow
@given(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,39}\Z") | st.from_regex(r"\A[0-9nax_eE-]{1,8}\Z"))
@example("1__0")
@example("0e0")
@example("0x_f")
def test_a_name_that_is_taken_comes_back_from_tables_and_settings_as_it_is(name: str) -> None:
    try:
        names.check(name)
    except ValueError:
        return
    table = pd.read_csv(io.StringIO(f"generator,ap\n{name},0.5\n"))
    assert table["generator"].tolist() == [name]
    assert yaml.safe_load(f"added: [{name}]\nof: {{{name}: 1}}") == {"added": [name], "of": {name: 1}}
    assert yaml.safe_load(yaml.safe_dump([name])) == json.loads(json.dumps([name])) == [name]
    for reader in (int, float, lambda text: int(text, 0)):
        with pytest.raises(ValueError):
            reader(name)


def test_names_that_differ_in_their_case_alone_are_one_on_some_disks() -> None:
    names.check_all(["a", "b"], "generator")
    with pytest.raises(ValueError, match="generator 'a' is listed twice; take one away"):
        names.check_all(["a", "b", "a"], "generator")
    with pytest.raises(ValueError, match="detector 'A' and 'a' differ in the case of letters alone"):
        names.check_all(["a", "A"], "detector")
    assert names.same("A", ["b", "a"]) == "a" and names.same("c", ["a"]) == ""

"""Identifiers, names and page tokens."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidArgument
from services.workspace import names, pages


@pytest.mark.parametrize("identifier", ["abcd", "a-b-", "default", "a" * 63, "z999"])
def test_a_right_id_passes(identifier: str) -> None:
    assert names.check_workspace_id(identifier, "workspace_id") == identifier
    assert names.workspace_id(f"workspaces/{identifier}") == identifier


@pytest.mark.parametrize(
    "identifier", ["", "abc", "1abc", "-abc", "Abcd", "ab_cd", "a" * 64, "abcd\n", "ab/cd", "äbcd"]
)
def test_a_wrong_id_is_refused_with_the_field_that_is_wrong(identifier: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        names.check_workspace_id(identifier, "workspace_id")
    assert caught.value.violations[0].field == "workspace_id"


@pytest.mark.parametrize(
    "name", ["", "abcd", "workspace/abcd", "workspaces/", "workspaces/abcd/logs", "workspaces//abcd"]
)
def test_a_name_that_is_not_of_a_workspace_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        names.workspace_id(name)


@pytest.mark.parametrize("name", ["", "operations", "operations/", "operations/A", "operations/a/b", "workspaces/abcd"])
def test_a_name_that_is_not_of_an_operation_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        names.operation_id(name)


@given(st.binary(min_size=8, max_size=8))
def test_a_made_up_id_is_a_right_one(random: bytes) -> None:
    made = names.made_up_id(random)
    assert re.fullmatch(r"[a-z][a-z2-7]{7}", made)
    names.check_workspace_id(made, "workspace_id")


@pytest.mark.parametrize("text", ["", "   ", "x" * 201])
def test_a_display_name_has_1_to_200_characters(text: str) -> None:
    with pytest.raises(InvalidArgument):
        names.check_display_name(text, "workspace.display_name")


@given(st.integers(0, 2**62), st.text(alphabet="abc-2", min_size=1))
def test_a_page_token_comes_back_as_the_position_that_it_was_made_of(time: int, identifier: str) -> None:
    assert pages.from_token(pages.to_token((time, identifier))) == (time, identifier)


@pytest.mark.parametrize("token", ["x", "!!", "bnVsbA", "WzJd", "WzEsdHJ1ZSwiYSJd", "é", "A" * 4096])
def test_a_page_token_that_was_not_given_out_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        pages.from_token(token)
    assert caught.value.violations[0].field == "page_token"


def test_page_sizes_are_defaulted_cut_and_checked() -> None:
    assert [pages.page_size(wanted) for wanted in (0, 1, 1000, 1001)] == [50, 1, 1000, 1000]
    with pytest.raises(InvalidArgument):
        pages.page_size(-1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a\x00", 2),
        ("\n", 0),
        ("Team\tA", 5),
        ("\x1b[31mred", 1),
        ("x\x7f", 2),
        ("a\u0085b", 2),
        ("a\u2028b", 2),
        ("a\u202eb", 2),
    ],
)
def test_a_display_name_with_a_control_character_is_refused_with_its_place(text: str, place: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        names.check_display_name(text, "workspace.display_name")
    assert caught.value.violations[0].field == "workspace.display_name"
    if place:
        assert f"character {place} is U+{ord(text[place - 1]):04X}" in caught.value.message


@pytest.mark.parametrize("text", ["Équipe ü 日本", "a b", "👩\u200d💻", "x" * 200, "\u00a0x"])
def test_any_other_character_may_stand_in_a_display_name(text: str) -> None:
    assert names.check_display_name(text, "f") == text


@pytest.mark.parametrize(
    "name", ["", "q1aa", "workspaces/abcd", "workspaces/abcd/savedQueries/", "workspaces/abcd/savedQueries/Q1AA"]
)
def test_a_name_that_is_not_of_a_saved_query_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        names.saved_query_ids(name)


def test_the_name_of_a_saved_query_is_taken_apart_as_it_was_put_together() -> None:
    assert names.saved_query_ids(names.saved_query_name("abcd", "q1aa")) == ("abcd", "q1aa")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_token_of_a_list_by_name_comes_back_as_the_name(name: str) -> None:
    assert pages.from_name_token(pages.to_name_token(name) if name else "") == (name or None)


@pytest.mark.parametrize("token", ["x", "WzEsMSwiYSJd", "WzIsMV0", "WzIsIlx1ZDgwMCJd"])
def test_a_token_of_another_list_or_none_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        pages.from_name_token(token)

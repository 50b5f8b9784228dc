"""Path templates."""

from __future__ import annotations

import pytest

from gateway.transcode.template import TemplateError, parse


def test_a_template_of_literals_is_static() -> None:
    template = parse("/v1/workspaces")
    assert template.segments == ("v1", "workspaces")
    assert template.static_path == "/v1/workspaces"


def test_a_static_path_keeps_its_verb() -> None:
    assert parse("/v1/books:search").static_path == "/v1/books:search"


def test_a_variable_without_a_pattern_is_one_segment() -> None:
    (variable,) = parse("/v1/{id}").variables
    assert (variable.field_path, variable.start, variable.end, variable.multi) == ("id", 1, 2, False)


def test_a_variable_spans_its_pattern() -> None:
    template = parse("/v1/{name=shelves/*/books/*}:archive")
    (variable,) = template.variables
    assert template.segments == ("v1", "shelves", "*", "books", "*")
    assert (variable.start, variable.end, variable.multi) == (1, 5, True)
    assert template.verb == "archive"


def test_two_stars_leave_the_end_open() -> None:
    (variable,) = parse("/v1/{name=operations/**}").variables
    assert (variable.start, variable.end, variable.multi) == (1, None, True)


def test_a_colon_inside_a_pattern_is_no_verb() -> None:
    assert parse("/v1/{a=x/*}/y").verb == ""


@pytest.mark.parametrize(
    "text",
    [
        "v1/x",
        "/v1//x",
        "/v1/{a=**}/b",
        "/v1/**/b",
        "/v1/{a}/{a}",
        "/v1/{a=b{c}}",
        "/v1/{a",
        "/v1/a}",
        "/v1/{1a}",
        "/v1/x:",
        "/v1/x:a:b",
        "/v1/a*b",
        "/v1/{=a}",
    ],
)
def test_a_template_outside_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        parse(text)

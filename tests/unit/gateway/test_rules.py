"""The transcoding rules that implementers get wrong, each with its test."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.transcode.router import Router, decode
from gateway.transcode.template import parse
from kit.errors import InvalidArgument
from tests.unit.gateway.shelf import bound, message, router


def _route(method: str, path: str) -> str | None:
    found = router().find(method, path)
    return None if found.route is None else found.route.rpc.path.rpartition("/")[2]


def _refusal(*request: Any) -> str:
    with pytest.raises(InvalidArgument) as caught:
        bound(*request)
    assert caught.value.message.endswith(".")
    return caught.value.message


# 1. Match on the raw escaped path.


def test_rule_1_an_escaped_slash_does_not_part_segments() -> None:
    assert _route("GET", "/v1/shelves/a%2Fb/books/c") == "GetBook"
    assert _route("GET", "/v1/shelves/a/b/books/c") is None


def test_rule_1_a_single_segment_variable_decodes_fully() -> None:
    assert bound("GET", "/v1/books/a%2Fb%20c").name == "a/b c"


def test_rule_1_a_multi_segment_variable_keeps_escaped_slashes() -> None:
    assert bound("GET", "/v1/shelves/a%2Fb%2fc%20d/books/e").name == "shelves/a%2Fb%2fc d/books/e"
    assert bound("GET", "/v1/files/x/y%2Fz%3F").path == "x/y%2Fz?"


def test_rule_1_escapes_of_plain_characters_mean_the_same_in_literals() -> None:
    assert _route("GET", "/v1/%73helves/a/%62ooks/c") == "GetBook"


def test_rule_1_an_escaped_colon_begins_no_verb() -> None:
    assert bound("GET", "/v1/shelves/a/books/b%3Aarchive").name == "shelves/a/books/b:archive"


@pytest.mark.parametrize("raw", ["%", "%4", "%zz", "a%2", "%ff", "%c3"])
def test_rule_1_what_is_no_escape_or_no_utf8_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match=r"UTF-8|hexadecimal"):
        decode(raw, keep_slashes=False)
    assert "name" in _refusal("GET", f"/v1/books/{raw}")


# 2. A verb counts only if it is registered.


def test_rule_2_a_registered_verb_counts() -> None:
    assert _route("POST", "/v1/shelves/a/books/b:archive") == "ArchiveBook"
    assert bound("POST", "/v1/shelves/a/books/b:archive").name == "shelves/a/books/b"


def test_rule_2_any_other_colon_belongs_to_the_segment() -> None:
    assert bound("GET", "/v1/shelves/a/books/b:baz").name == "shelves/a/books/b:baz"
    assert bound("GET", "/v1/books/a:b:c").name == "a:b:c"


def test_rule_2_a_verb_that_is_registered_elsewhere_belongs_to_the_segment() -> None:
    assert bound("GET", "/v1/books/b:archive").name == "b:archive"


def test_rule_2_a_registered_verb_with_the_wrong_method_is_not_taken_for_a_name() -> None:
    found = router().find("GET", "/v1/shelves/a/books/b:archive")
    assert found.route is None
    assert found.allowed == ("POST",)


# 3. `**` matches zero or more segments.


def test_rule_3_two_stars_match_none_one_and_many() -> None:
    assert bound("GET", "/v1/files").path == ""
    assert bound("GET", "/v1/files/a").path == "a"
    assert bound("GET", "/v1/files/a/b/c").path == "a/b/c"


def test_rule_3_two_stars_match_no_empty_segment() -> None:
    assert _route("GET", "/v1/files/") is None
    assert _route("GET", "/v1/files/a//b") is None


def test_a_star_matches_no_empty_segment() -> None:
    assert _route("GET", "/v1/books/") is None
    assert _route("GET", "/v1/shelves//books/b") is None


# 4. body: "*" takes no query; no body means that none is read.


def test_rule_4_a_method_with_all_in_its_body_takes_no_query() -> None:
    assert "note" in _refusal("POST", "/v1/shelves/a/books/b:archive", "note=x")


def test_rule_4_without_a_body_the_fields_come_from_the_query() -> None:
    found = router().find("POST", "/v1/shelves/a/books/b:touch")
    assert found.route is not None
    assert found.route.json_body is None
    assert bound("POST", "/v1/shelves/a/books/b:touch", "note=x").note == "x"


# 5. Query parameters.


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("one_number=-5", "one_number", -5),
        ("oneNumber=%2B5", "one_number", 5),
        ("big_number=18446744073709551615", "big_number", 2**64 - 1),
        ("ratio=1.5e3", "ratio", 1500.0),
        ("ratio=-Infinity", "ratio", float("-inf")),
        ("flag=true", "flag", True),
        ("flag=1", "flag", True),
        ("flag=T", "flag", True),
        ("flag=False", "flag", False),
        ("word=a+b%2Bc", "word", "a b+c"),
        ("word=", "word", ""),
        ("blob=aGk", "blob", b"hi"),
        ("blob=_-8%3D", "blob", b"\xff\xef"),
        ("colour=GREEN", "colour", 2),
        ("colour=2", "colour", 2),
        ("colour=77", "colour", 77),
        ("many_words=a&manyWords=b", "many_words", ["a", "b"]),
        ("colours=RED&colours=2", "colours", [1, 2]),
        ("maybe=0", "maybe", 0),
        ("left=x", "left", "x"),
    ],
)
def test_rule_5_parameters_are_converted_by_their_field(query: str, field: str, value: object) -> None:
    request = bound("GET", "/v1/everything", query)
    assert getattr(request, field) == value


def test_rule_5_an_optional_field_knows_that_it_was_given_zero() -> None:
    assert bound("GET", "/v1/everything", "maybe=0").HasField("maybe")
    assert not bound("GET", "/v1/everything").HasField("maybe")


def test_rule_5_well_known_types_are_written_as_in_json() -> None:
    query = "startTime=2024-05-01T10:00:00.5Z&period=1.5s&mask=someField,other.subField&wrapped=7"
    request = bound("GET", "/v1/everything", query)
    assert request.start_time.ToJsonString() == "2024-05-01T10:00:00.500Z"
    assert request.period.ToNanoseconds() == 1_500_000_000
    assert list(request.mask.paths) == ["some_field", "other.sub_field"]
    assert request.wrapped.value == 7


def test_rule_5_a_mask_may_use_the_names_of_the_proto() -> None:
    assert list(bound("GET", "/v1/everything", "mask=some_field,x").mask.paths) == ["some_field", "x"]


def test_rule_5_the_plus_of_a_zone_need_not_be_escaped() -> None:
    request = bound("GET", "/v1/everything", "startTime=2024-05-01T10:00:00+02:00")
    assert request.start_time.ToJsonString() == "2024-05-01T08:00:00Z"


def test_rule_5_dotted_names_lead_into_messages_in_both_spellings() -> None:
    request = bound("GET", "/v1/everything", "author.given_name=A&author.familyName=B")
    assert (request.author.given_name, request.author.family_name) == ("A", "B")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("authors=x", "list of messages"),
        ("author=x", "is a message"),
        ("labels=x", "list of messages"),
        ("author.name=x", "is not a parameter"),
        ("word.length=1", "is not a parameter"),
        ("one_number=1&oneNumber=2", "more than once"),
        ("one_number=many", "whole number"),
        ("one_number=2147483648", "between"),
        ("one_number=1_0", "whole number"),
        ("one_number=", "whole number"),
        ("big_number=-1", "between"),
        ("ratio=inf", "must be a number"),
        ("flag=maybe", "true or false"),
        ("colour=BLUE", "RED"),
        ("blob=a", "base64"),
        ("startTime=yesterday", "RFC 3339"),
        ("period=1", "seconds"),
        ("left=x&right=1", "together with"),
        ("word=%ff", "UTF-8"),
    ],
)
def test_rule_5_a_wrong_parameter_is_refused_with_what_it_must_be(query: str, words: str) -> None:
    assert words in _refusal("GET", "/v1/everything", query)


def test_rule_5_a_refusal_names_the_field_as_the_proto_does() -> None:
    with pytest.raises(InvalidArgument) as caught:
        bound("GET", "/v1/everything", "oneNumber=x")
    assert [violation.field for violation in caught.value.violations] == ["one_number"]


def test_a_query_of_a_thousand_and_one_parameters_is_refused() -> None:
    assert "parameters" in _refusal("GET", "/v1/everything", "&".join(["manyWords=x"] * 1001))


# 6. Path and body, unknown parameters.


@pytest.mark.parametrize("name", ["name", "note"])
def test_rule_6_a_field_in_path_and_body_is_refused(name: str) -> None:
    request = ("POST", "/v1/shelves/a/books/b:archive", "", {name: "x"})
    if name == "name":
        assert "path" in _refusal(*request)
    else:
        assert bound(*request).note == "x"


def test_rule_6_a_nested_field_in_path_and_body_is_refused() -> None:
    assert "book.name" in _refusal("PATCH", "/v1/shelves/a/books/b", "", {"name": "shelves/a/books/b"})


def test_rule_6_a_field_in_path_and_query_is_refused() -> None:
    assert "path" in _refusal("GET", "/v1/shelves/a/books/b", "name=x")


def test_rule_6_a_field_of_the_body_is_no_parameter() -> None:
    assert "body" in _refusal("POST", "/v1/shelves/a/books", "book.title=x")


def test_rule_6_an_unknown_parameter_is_refused() -> None:
    assert "colour is not a parameter" in _refusal("GET", "/v1/shelves/a/books", "colour=red")


def test_a_variable_that_is_a_number_is_converted() -> None:
    assert bound("GET", "/v1/everything/42").one_number == 42
    assert "whole number" in _refusal("GET", "/v1/everything/many")


# 7. response_body, additional_bindings, HttpBody.


def test_rule_7_a_response_body_is_the_answer() -> None:
    wire = message("ListBooksResponse", books=[message("Book", title="T")]).SerializeToString()
    found = router().find("GET", "/v1/shelves/a/titles")
    assert found.route is not None
    assert found.route.rpc.path.endswith("/ListBooks")
    assert found.route.rpc.decode(wire).startswith(b'[{"title":"T"')
    whole = router().find("GET", "/v1/shelves/a/books").route
    assert whole is not None
    assert whole.rpc.decode(wire).startswith(b'{"books":[{"title":"T"')


def test_rule_7_additional_bindings_are_routes_of_the_same_method() -> None:
    assert _route("GET", "/v1/books/x") == _route("GET", "/v1/shelves/a/books/x") == "GetBook"


def test_rule_7_an_http_body_is_passed_on_as_it_is() -> None:
    answer = router().find("GET", "/v1/files/x").route
    assert answer is not None
    assert answer.rpc.raw
    request = router().find("PUT", "/v1/files/x").route
    assert request is not None
    assert (request.raw_body, request.json_body) == ("content", None)


# 8. PATCH.


def test_rule_8_a_patch_takes_its_mask_from_the_names_that_are_there() -> None:
    document = {"title": "T", "author": {"givenName": "A"}, "tags": ["x"], "print_time": None, "edition": 2}
    request = bound("PATCH", "/v1/shelves/a/books/b", "", document)
    assert list(request.update_mask.paths) == ["title", "author.given_name", "tags", "print_time", "edition"]
    assert request.book.name == "shelves/a/books/b"
    assert request.book.title == "T"


def test_rule_8_a_message_that_is_empty_is_named_itself() -> None:
    assert list(bound("PATCH", "/v1/shelves/a/books/b", "", {"author": {}}).update_mask.paths) == ["author"]


def test_rule_8_a_mask_that_was_given_is_kept() -> None:
    request = bound("PATCH", "/v1/shelves/a/books/b", "updateMask=title", {"title": "T", "pages": "3"})
    assert list(request.update_mask.paths) == ["title"]


# 9. No X-HTTP-Method-Override: tests/integration/gateway/test_unary.py has the test.


def test_the_most_particular_template_wins_whatever_the_order() -> None:
    router: Router[str] = Router()
    for text in ("/v1/**", "/v1/*/b", "/v1/a/*", "/v1/a/b"):
        router.add("GET", parse(text), text)
    found = {path: router.find("GET", path).route for path in ("/v1/a/b", "/v1/a/c", "/v1/x/b", "/v1/x/c", "/v1")}
    assert list(found.values()) == ["/v1/a/b", "/v1/a/*", "/v1/*/b", "/v1/**", "/v1/**"]


def test_a_template_that_matches_with_another_method_does_not_hide_a_wider_one() -> None:
    router: Router[str] = Router()
    router.add("POST", parse("/v1/books"), "post")
    router.add("GET", parse("/v1/{name=*}"), "get")
    assert router.find("GET", "/v1/books").route == "get"
    assert set(router.find("DELETE", "/v1/books").allowed) == {"POST", "GET"}


def test_nothing_is_found_under_an_unknown_path() -> None:
    for path in ("/", "/v1", "/v2/shelves/a/books", "/v1/shelves/a/books/", "*", ""):
        found = router().find("GET", path)
        assert (found.route, found.allowed) == (None, ())

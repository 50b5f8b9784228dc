"""Times, levels and records of lines."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from loganalyzer.search.v1 import query_pb2
from services.importer.parsing import NO_TIME, LineParser
from services.search.index import NO_TIME as NO_TIME_OF_THE_INDEX

# When the source was last changed: 2024-06-15.
MODIFIED = datetime(2024, 6, 15, tzinfo=UTC).timestamp()
TRACE, DEBUG, INFO, NOTICE, WARN, ERROR, CRITICAL, FATAL = (
    query_pb2.Level.Value(name) for name in ("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "CRITICAL", "FATAL")
)


def shown(time: int) -> str:
    return "" if time == NO_TIME else datetime.fromtimestamp(time / 1e6, UTC).isoformat().removesuffix("+00:00")


def first_time(*lines: str) -> str:
    return shown(LineParser(MODIFIED).parse([line.encode() for line in lines]).times[-1])


def levels(*lines: str) -> list[int]:
    return list(LineParser(MODIFIED).parse([line.encode() for line in lines]).levels)


def test_no_time_is_the_one_of_the_index() -> None:
    assert NO_TIME == NO_TIME_OF_THE_INDEX


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("2016-12-19 16:00:01 x", "2016-12-19T16:00:01"),
        ("2016-12-19T16:00:01Z x", "2016-12-19T16:00:01"),
        ("[2016-12-19 16:00:01,234] INFO x", "2016-12-19T16:00:01.234000"),
        ("2015-04-24T21:08:10.313913+00:00 err", "2015-04-24T21:08:10.313913"),
        ("2016-12-19T16:31:46.725+0100: 1.595: [GC pause", "2016-12-19T15:31:46.725000"),
        ("2025-04-12 00:14:12.837 CEST [1] ERROR: x", "2025-04-11T22:14:12.837000"),
        ("2015-04-24T21:08:10.313913FOO err", "2015-04-24T21:08:10.313913"),
        ("2025-01-01 00:00:00.123456789:INFO:nano", "2025-01-01T00:00:00.123456"),
        ("2022-06-22T10:20:33 \x1b[0;31mExample", "2022-06-22T10:20:33"),
        ("<34>1 2003-10-11T22:14:15.003Z host app", "2003-10-11T22:14:15.003000"),
        ("2023/05/09 10:11:12 [error] 1#1: x", "2023-05-09T10:11:12"),
        ("17/06/09 20:10:40 INFO executor", "2017-06-09T20:10:40"),
        ("12/19/2016 16:00:01 x", "2016-12-19T16:00:01"),
        ("20120702.102240,672:DEBUG:foo", "2012-07-02T10:22:40.672000"),
        ("2012-025T10:22:40,672:DEBUG:foo", "2012-01-25T10:22:40.672000"),
        ('1.2.3.4 - - [17/May/2015:10:05:03 +0330] "GET / HTTP/1.1" 200 1', "2015-05-17T06:35:03"),
        ("Wed May 19 08:00:01 EST 2021 line", "2021-05-19T13:00:01"),
        ("[pid: 1|app: 0] 127.0.0.1 () [Sun Mar 13 22:49:12 2016] POST", "2016-03-13T22:49:12"),
        ("Mon, 01 Jan 2024 10:00:00 +0100 x", "2024-01-01T09:00:00"),
        ("1428634687123 Hello", "2015-04-10T02:58:07.123000"),
        ("1320279554.496300\tCg9xqq\t1", "2011-11-03T00:19:14.496300"),
        ("10000 1697048351.000541 brk(NULL)", "2023-10-11T18:19:11.000541"),
        ("#+1162490366", "2006-11-02T17:59:26"),
        ("@40000000433225833b6e1a8c tcpserver: x", "2005-09-22T03:31:05.997071"),
        ('{"ts":1588205199.82437,"uid":"C"}', "2020-04-30T00:06:39.824370"),
        ('{"@timestamp":"2023-08-15T09:53:59.757Z","x":1}', "2023-08-15T09:53:59.757000"),
        ('{"level":30,"time":1745532517537,"pid":17}', "2025-04-24T22:08:37.537000"),
        ('{"t":{"$date":"2026-03-10T20:58:09.401+00:00"},"s":"I"}', "2026-03-10T20:58:09.401000"),
        ('{ "__REALTIME_TIMESTAMP" : "1534860261221373" }', "2018-08-21T14:04:21.221373"),
        ('{"EdgeStartTimestamp":1712790000100000000}', "2024-04-10T23:00:00.100000"),
        ('{"instant":{"epochSecond": 1663977609,"nanoOfSecond": 484000000}}', "2022-09-24T00:00:09.484000"),
        ('time="2021-09-15T21:17:10.220731Z" level=error', "2021-09-15T21:17:10.220731"),
        ("MainThread::INFO::2011-12-05 07:04:56,101::vdsm", "2011-12-05T07:04:56.101000"),
        ("web-1  | 2024-04-25T05:32:35.584725130Z * x", "2024-04-25T05:32:35.584725"),
        ("64.103.37.2   DMS.user   2001-10-31     00:00:18   GET", "2001-10-31T00:00:18"),
        ("E0517 15:04:22.619632 1952452992 x.cc:253] y", "2024-05-17T15:04:22.619632"),
        ("Mar 27 13:06:56 host sshd[1]: x", "2024-03-27T13:06:56"),
        ("Mar  7 13:06:56 host sshd[1]: x", "2024-03-07T13:06:56"),
        ("Dec 31 23:59:59 host x", "2023-12-31T23:59:59"),
        ("08:09:33.814936 execve", "2024-06-14T08:09:33.814936"),
        ("\x1b[32mSep 19 \x1b[0m\x1b[33m09:24:04\x1b[0m host x", "2023-09-19T09:24:04"),
        ("redis-1  | 1:C 25 Apr 2024 05:32:35.018 * x", "2024-04-25T05:32:35.018000"),
        ("04-25 05:32:35.018  1234  1235 I Tag: x", "2024-04-25T05:32:35.018000"),
        ("type=SYSCALL msg=audit(1364481363.243:24287): x", "2013-03-28T14:36:03.243000"),
        ("Hello, World!", ""),
        ("2016-13-45 16:00:01 no such day", ""),
        ("12345 67890 numbers", ""),
    ],
)
def test_the_time_of_a_line_is_found(line: str, time: str) -> None:
    assert first_time(line) == time


def test_a_line_without_a_time_has_the_time_of_the_line_before() -> None:
    columns = LineParser(MODIFIED).parse([b"header", b"2024-01-01 10:00:00 a", b"  at b", b"c"])
    assert [shown(time) for time in columns.times] == ["", *["2024-01-01T10:00:00"] * 3]


def test_a_turn_of_the_year_is_followed_both_ways() -> None:
    lines = [b"Dec 31 23:59:58 a", b"Jan  1 00:00:01 b", b"Dec 31 23:59:59 late", b"Jan  1 00:00:02 c"]
    times = LineParser(datetime(2024, 1, 1, 1, tzinfo=UTC).timestamp()).parse(lines).times
    assert [shown(time)[:4] for time in times] == ["2023", "2024", "2023", "2024"]


def test_midnight_is_followed_where_only_the_clock_is_told() -> None:
    times = LineParser(MODIFIED + 7200).parse([b"23:59:59.5 a", b"00:00:01 b"]).times
    assert [shown(time) for time in times] == ["2024-06-14T23:59:59.500000", "2024-06-15T00:00:01"]


def test_the_day_of_w3c_times_is_in_the_directive() -> None:
    lines = [b"#Date: 2000-10-09 16:44:49", b"#Fields: time c-ip", *[b"16:44:49 1.1.1.1 x"] * 5]
    assert shown(LineParser(MODIFIED).parse(lines).times[-1]) == "2000-10-09T16:44:49"


def test_a_leap_day_without_a_year_finds_its_year() -> None:
    assert first_time("Feb 29 10:00:00 host x") == "2024-02-29T10:00:00"


def test_lines_of_a_second_kind_keep_their_own_time() -> None:
    lines = ['{"ts": "2013-09-06T20:00:48Z"}'] * 10 + ["2013-09-06 22:00:50 INFO x"] * 5
    assert first_time(*lines) == "2013-09-06T22:00:50"


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("2024-01-01 10:00:00 INFO a", INFO),
        ("2024-01-01 10:00:00 [main] WARN a", WARN),
        ("[2023-05-15 18:19:32] local.ERROR: a", ERROR),
        ("2015-04-24T21:08:10.313913+00:00 err rbd", ERROR),
        ("2024-01-01 10:00:00 Information: a", INFO),
        ("2024-01-01 10:00:00 the terror of warnings", 0),
        ("[2025-01-02 11:19:06] laravel.EMERGENCY: a", FATAL),
        ('{"level":"warning","ts":1588205199.8}', WARN),
        ('{"level":50,"time":"2023-03-24T14:26:16Z"}', ERROR),
        ('{"Level":"2","@timestamp":"2023-08-15T09:53:59Z"}', ERROR),
        ('{"PRIORITY" : "1", "__REALTIME_TIMESTAMP" : "1534860261221373"}', CRITICAL),
        ('{"t":{"$date":"2026-03-10T20:58:09+00:00"},"s":"W"}', WARN),
        ('{"@timestamp":"2025-01-13T09:58:13Z","log.level":"debug"}', DEBUG),
        ("time=2021-09-15T21:17:10Z level=error msg=x", ERROR),
        ("W0517 15:04:22.619632 1952452992 x.cc:253] y", WARN),
        ("2016-06-30 12:00:03 debug2 x", DEBUG),
        ("2016-06-30 12:00:03 TRACE x", TRACE),
        ("2020-08-06T14:25:02.835618Z 0 [Note] x", NOTICE),
        ("2020-08-06T14:25:02.835618Z 0 Note x", 0),
        ("2020-08-06T14:25:02.835618Z 0 [NOTICE] x", NOTICE),
        ('1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /error HTTP/1.1" 200 1', 0),
        ("no time but ERROR", ERROR),
        ("<34>1 2003-10-11T22:14:15.003Z host app", CRITICAL),
        ("<13>Oct 11 22:14:15 host app: x", NOTICE),
        ("04-25 05:32:35.018  1234  1235 W Tag: x", WARN),
        ("2024-01-01 10:00:00 I am no level", 0),
    ],
)
def test_the_level_of_a_line_is_found(line: str, level: int) -> None:
    assert levels(line) == [level]


def test_a_stack_trace_belongs_to_the_record_before_it() -> None:
    lines = [
        b"2024-01-01 10:00:00 ERROR a",
        b"java.lang.X: b",
        b"\tat c",
        b"Caused by: d",
        b"2024-01-01 10:00:01 INFO e",
    ]
    columns = LineParser(MODIFIED).parse(lines)
    assert list(columns.records) == [1, 0, 0, 0, 1]
    assert list(columns.levels) == [ERROR, 0, 0, 0, INFO]


def test_without_times_indented_lines_continue_a_record() -> None:
    assert list(LineParser(MODIFIED).parse([b"  first", b"a", b"  b", b"at c", b"d", b""]).records) == [
        1,
        1,
        0,
        0,
        1,
        1,
    ]


def test_a_parser_goes_on_from_the_state_of_another() -> None:
    lines = [b"Dec 31 23:00:00 a", b"Jan  1 00:00:01 b", b"  c", b"Jan  2 00:00:00 d"] * 3
    modified = datetime(2024, 1, 5, tzinfo=UTC).timestamp()
    whole = LineParser(modified).parse(lines)
    for cut in range(1, len(lines)):
        first = LineParser(modified)
        head = first.parse(lines[:cut])
        tail = LineParser(modified, first.state).parse(lines[cut:])
        assert head.times + tail.times == whole.times
        assert head.levels + tail.levels == whole.levels
        assert head.records + tail.records == whole.records


def test_a_clock_that_goes_back_by_hours_has_come_to_the_next_day() -> None:
    lines = [b"03:00:00 a", b"01:30:00 daylight saving time", b"00:00:00 b", b"21:00:00 c", b"00:30:00 d"]
    times = LineParser(MODIFIED).parse(lines).times
    assert [shown(time)[8:13] for time in times] == ["14T03", "14T01", "14T00", "14T21", "15T00"]
    times = LineParser(MODIFIED).parse([b"03:00:00 a", b"00:00:00 b"]).times
    assert [shown(time)[8:13] for time in times] == ["14T03", "15T00"]


def test_a_year_later_the_same_text_means_the_next_year() -> None:
    months = ["Mar", "Jun", "Sep", "Dec"]
    lines = [f"{month} 27 13:06:56 host x".encode() for month in [*months, *months, "Mar"]]
    times = LineParser(MODIFIED).parse(lines).times
    assert [shown(time)[:7] for time in times] == [
        "2024-03", "2024-06", "2024-09", "2024-12", "2025-03", "2025-06", "2025-09", "2025-12", "2026-03"
    ]  # fmt: skip


def test_lines_of_a_container_that_tells_no_times_are_records_of_their_own() -> None:
    lines = [b"db-1  | 25 Apr 2024 05:32:35.018 a", b"web-1  | WARNING: b", b"web-1  |   goes on", b"other"]
    columns = LineParser(MODIFIED).parse(lines)
    assert list(columns.records) == [1, 1, 0, 0]
    assert list(columns.levels) == [0, WARN, 0, 0]


def test_the_end_of_pretty_json_and_xml_belongs_to_the_record() -> None:
    lines = [b"{", b'  "a": 1', b"}", b"{", b"}", b"<a>", b" <b/>", b"</a>"]
    assert list(LineParser(MODIFIED).parse(lines).records) == [1, 0, 0, 1, 0, 1, 0, 0]

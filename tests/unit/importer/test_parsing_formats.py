"""What is found in every file of the collection of formats. Checked by eye, once; a change must be looked at."""

# ruff: noqa: E501 - one file, one line

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.importer.parsing import NO_TIME, LineParser
from services.importer.reading import Limits, LineBlocks, Member, Meter, open_members
from tests.datafiles import require_shared_data

# When each file was last changed, for years and days that are not told: 2024-06-15.
MODIFIED = datetime(2024, 6, 15, tzinfo=UTC).timestamp()

#: Kind of time, rule for levels, lines, records, lines before the first time, first time, lines by level.
Row = tuple[str, str, int, int, int, str, dict[int, int]]
EXPECTED: dict[str, Row] = {
    "access_log.0": ("clf", "none", 3, 3, 0, "2009-07-20T22:59:26", {0: 3}),
    "access_log.1": ("clf", "none", 1, 1, 0, "2013-02-15T06:00:31", {0: 1}),
    "access_log_dupe.0": ("clf", "none", 3, 3, 0, "2009-07-20T22:59:26", {0: 3}),
    "ansi.0": ("iso", "near", 1, 1, 0, "2022-06-22T10:20:33", {0: 1}),
    "ansi.1": ("syslog-coloured", "near", 10, 10, 0, "2023-09-19T09:24:04", {0: 10}),
    "bad_access_log.0": ("clf", "none", 3, 3, 0, "2009-07-20T22:59:26", {0: 3}),
    "bad_syslog.0": ("syslog", "near", 4, 4, 0, "2023-11-03T09:23:38", {0: 4}),
    "block.1": ("ctime", "near", 4, 2, 0, "2021-05-19T13:00:01", {0: 4}),
    "block.2": ("ctime", "near", 2, 2, 0, "2021-05-19T12:00:02", {0: 2}),
    "blued.0": ("syslog", "near", 6, 6, 0, "2024-04-04T20:02:32", {0: 6}),
    "bro_conn.log.0": ("epoch", "near", 101, 93, 8, "2011-11-03T00:19:14.496300", {0: 101}),
    "bro_http.log.0": ("epoch", "near", 206, 198, 8, "2011-11-03T00:19:26.452687", {0: 206}),
    "bunyan.0": ("json:time", "json:level", 10, 10, 0, "2023-03-24T14:26:16.243000", {2: 9, 3: 1}),
    "caddy_log.0": ("json-epoch:ts", "json:level", 39, 39, 0, "2025-10-21T04:10:22.315275", {3: 30, 5: 9}),
    "caddy_log.1": ("json-epoch:ts", "json:level", 4, 4, 0, "2024-05-26T11:42:52.601480", {3: 4}),
    "cloudflare.1": ("json-epoch:EdgeStartTimestamp", "none", 15, 15, 0, "2024-04-10T23:00:00.100000", {0: 15}),
    "cloudflare.json": ("json:EdgeStartTimestamp", "none", 1, 1, 0, "2022-10-30T00:00:02", {0: 1}),
    "crlf.0": ("iso", "near", 2, 2, 0, "2012-07-02T10:22:40.672000", {2: 1, 5: 1}),
    "cxx.0": ("syslog", "letter", 1, 1, 0, "2024-03-24T15:17:38.999000", {3: 1}),
    "docker_compose.0": ("rfc2822-inside", "near", 22, 15, 10, "2024-04-25T05:32:35.018000", {0: 21, 5: 1}),
    "docker_compose_with_noise.0": ("rfc2822-inside", "near", 25, 16, 10, "2024-04-25T05:32:35.018000", {0: 23, 5: 2}),
    "docker_compose_with_ts.0": ("iso-inside", "near", 22, 22, 0, "2024-04-25T05:32:35.584725", {0: 20, 2: 1, 5: 1}),
    "dst.0": ("syslog", "near", 10, 10, 0, "2023-11-03T01:01:03", {0: 10}),
    "ecs_log.json": ("json:@timestamp", "json:log.level", 5, 5, 0, "2025-01-13T09:58:13.631000", {2: 1, 3: 1, 5: 1, 6: 1, 7: 1}),
    "epoch.0": ("epoch", "near", 2, 2, 0, "2015-04-10T02:58:07.123000", {0: 2}),
    "epoch.1": ("iso", "near", 2, 2, 0, "2015-04-09T19:58:07.123000", {0: 2}),
    "filter.0": ("syslog", "near", 13, 13, 0, "2023-12-06T13:01:34", {0: 13}),
    "filter.1": ("syslog", "near", 5, 2, 3, "2024-03-22T13:41:18", {0: 5}),
    "for_join.0": ("syslog", "near", 10, 10, 0, "2024-04-28T06:53:55", {0: 10}),
    "generic.0": ("iso", "near", 2, 2, 0, "2012-07-02T10:22:40.672000", {2: 1, 5: 1}),
    "generic.1": ("iso", "near", 2, 2, 0, "2015-04-24T21:09:29.296000", {3: 1, 6: 1}),
    "generic.2": ("iso", "near", 2, 2, 0, "2015-04-24T21:08:10.313913", {6: 2}),
    "generic.3": ("compact", "near", 2, 2, 0, "2012-07-02T10:22:40.672000", {2: 1, 5: 1}),
    "generic_nanos.0": ("iso", "near", 2, 2, 0, "2025-01-01T00:00:00.123456", {3: 1, 5: 1}),
    "generic_with_header.0": ("iso", "near", 4, 3, 2, "2012-07-02T10:22:40.672000", {0: 2, 2: 1, 5: 1}),
    "glog.0": ("glog", "glog", 7, 7, 0, "2024-05-17T15:04:22.619632", {3: 4, 5: 1, 6: 2}),
    "grafana.0": ("iso-inside", "level=", 5, 5, 0, "2025-04-24T19:51:48.520963", {3: 5}),
    "haproxy.0": ("syslog", "near", 17, 17, 0, "2024-02-25T16:19:38", {0: 17}),
    "invalid_json.json": ("json:ts", "json:lvl", 5, 5, 0, "2013-09-06T20:00:48.124817", {1: 1, 2: 2, 3: 2}),
    "invalid_json2.json": ("json:ts", "json:lvl", 3, 3, 0, "2013-09-06T20:00:48.124817", {1: 1, 3: 2}),
    "invalid_tz.0": ("iso", "near", 2, 2, 0, "2015-04-24T21:08:10.313913", {6: 2}),
    "invalid_utf8.0": ("iso", "near", 6, 1, 0, "2015-03-12T23:16:52.071000", {0: 5, 3: 1}),
    "java.0": ("iso", "near", 20, 20, 0, "2025-01-24T07:00:30.139000", {3: 20}),
    "java.1": ("iso", "near", 20, 20, 0, "2025-01-24T07:00:31.139000", {3: 20}),
    "journald.json": ("json-epoch:__REALTIME_TIMESTAMP", "json:PRIORITY", 2, 2, 0, "2018-08-21T14:04:21.221373", {3: 1, 7: 1}),
    "json.json": ("json:ts", "json:lvl", 14, 13, 0, "2013-09-06T20:00:48.124817", {0: 2, 1: 1, 2: 5, 3: 2, 5: 1, 6: 1, 7: 1, 8: 1}),
    "json2.json": ("json:ts", "none", 3, 3, 0, "2013-09-06T20:00:49.124817", {0: 3}),
    "json3.json": ("json-epoch:started_at", "none", 3, 3, 0, "2017-03-24T20:06:26.240000", {0: 3}),
    "json_invalid.json": ("json:ts", "json:lvl", 13, 13, 0, "2013-09-06T20:00:48.124817", {0: 1, 1: 1, 2: 5, 3: 2, 5: 1, 6: 1, 7: 1, 8: 1}),
    "json_subsec.json": ("json:instant", "none", 2, 2, 0, "2022-09-24T00:00:09.484000", {0: 2}),
    "jsonid.json": ("json:ts", "json:level", 2, 2, 0, "2013-09-06T20:00:48.124817", {3: 2}),
    "laravel.0": ("iso", "near", 1416, 82, 0, "2023-05-15T18:19:32", {0: 1334, 6: 82}),
    "laravel.1": ("iso", "near", 64, 4, 0, "2025-01-02T11:19:06", {0: 60, 3: 2, 8: 2}),
    "leveltest.0": ("iso", "near", 8, 8, 0, "2016-06-30T12:00:01", {0: 1, 1: 1, 2: 3, 3: 1, 5: 1, 8: 1}),
    "logfmt.0": ("iso-inside", "level=", 5, 5, 0, "2021-09-15T21:17:10.220731", {3: 2, 5: 1, 6: 2}),
    "mixed_json2.json": ("json:ts", "json:lvl", 18, 13, 0, "2013-09-06T20:00:48.124817", {0: 6, 1: 1, 2: 5, 3: 2, 5: 1, 6: 1, 7: 1, 8: 1}),
    "mongodb.0": ("json:$date", "json:s", 3, 3, 0, "2026-03-10T20:58:09.401000", {3: 2, 5: 1}),
    "multiline.0": ("iso", "near", 3, 2, 0, "2009-07-20T22:59:27.672000", {0: 1, 2: 1, 6: 1}),
    "mux_zookeeper.0": ("iso", "upper", 1, 1, 0, "2024-04-04T18:30:55.424000", {3: 1}),
    "muxed_syslog.0": ("json:timestamp", "none", 14, 14, 0, "2007-11-03T06:24:38", {0: 14}),
    "mysql_error.0": ("iso", "bracketed", 4, 4, 0, "2020-08-06T14:25:02.835618", {4: 3, 5: 1}),
    "mysql_gen.0": ("iso", "near", 17, 15, 3, "2025-08-15T14:03:50.259438", {0: 17}),
    "mysql_slow.0": ("iso-inside", "near", 43, 6, 0, "2021-01-26T23:45:57.678222", {0: 43}),
    "nested_json.json": ("json:ts", "json:lvl", 13, 13, 0, "2013-09-06T20:00:48.124817", {0: 1, 1: 1, 2: 5, 3: 2, 5: 1, 6: 1, 7: 1, 8: 1}),
    "nextcloud.0": ("json:time", "json:level", 5, 5, 0, "2023-10-01T02:39:09", {3: 5}),
    "openam.0": ("iso", "near", 2, 2, 0, "2014-06-15T01:04:52", {0: 2}),
    "otel_collector.jsonl": ("json-epoch:timeUnixNano", "json:severityText", 6, 6, 0, "2023-11-14T22:13:20", {0: 1, 1: 1, 3: 3, 6: 1}),
    "partitions.0": ("syslog", "near", 82, 82, 0, "2024-04-28T04:02:03", {0: 82}),
    "pino.0": ("json-epoch:time", "json:level", 1, 1, 0, "2025-04-24T22:08:37.537000", {3: 1}),
    "plain.0": ("", "near", 3, 3, 3, "", {0: 3}),
    "postgres.0": ("iso", "upper", 28, 21, 0, "2025-08-13T08:45:01.123000", {0: 8, 3: 19, 6: 1}),
    "postgres.1": ("iso", "near", 45, 7, 0, "2025-04-11T22:14:12.837000", {0: 40, 4: 1, 5: 2, 6: 2}),
    "postgres.2": ("iso", "near", 8, 8, 0, "2025-08-16T11:02:58.095000", {0: 6, 6: 2}),
    "pretty.0": ("syslog", "upper", 23, 6, 0, "2024-04-07T00:49:42", {0: 22, 5: 1}),
    "procstate.0": ("ctime-inside", "near", 43, 3, 0, "2022-06-02T00:01:01", {0: 43}),
    "regexp_access_log.0": ("clf", "none", 2, 2, 0, "2023-07-26T07:01:26", {0: 2}),
    "rollover.0": ("clock", "near", 6, 6, 0, "2024-06-15T00:00:00", {2: 6}),
    "rollover.1": ("syslog", "near", 5, 5, 0, "2023-11-03T09:23:38", {0: 5}),
    "rollover.2": ("syslog", "near", 375, 375, 0, "2023-11-03T09:23:38", {0: 375}),
    "rust_tracing.0": ("json:timestamp", "json:level", 5, 5, 0, "2025-10-28T19:15:10.821315", {1: 1, 3: 2, 5: 1, 6: 1}),
    "shop_access_log.0": ("clf", "none", 1000, 1000, 0, "2019-01-22T00:26:14", {0: 1000}),
    "spark.0": ("short-year", "near", 399, 399, 0, "2017-06-09T20:10:40", {3: 399}),
    "spark_dupe.0": ("short-year", "near", 399, 399, 0, "2017-06-09T20:10:40", {3: 399}),
    "strace_log.0": ("clock", "near", 9, 9, 0, "2024-06-14T08:09:33.814936", {0: 9}),
    "strace_log.1": ("strace", "near", 66, 66, 0, "2023-10-11T18:19:11.000001", {0: 66}),
    "strace_log.2": ("clock", "near", 117, 117, 0, "2024-06-14T12:21:46.284771", {0: 117}),
    "syslog.0": ("syslog", "near", 4, 4, 0, "2023-11-03T09:23:38", {0: 4}),
    "syslog.1": ("syslog", "near", 4, 4, 0, "2023-12-03T09:23:38", {0: 4}),
    "syslog.2": ("syslog", "near", 3, 3, 0, "2023-11-03T09:23:38", {0: 3}),
    "syslog.3": ("syslog", "near", 17, 7, 0, "2023-08-16T00:10:45", {0: 12, 4: 5}),
    "syslog_fr.0": ("syslog-inside", "near", 1, 1, 0, "2023-08-19T11:08:37", {0: 1}),
    "syslog_with_access_log.0": ("syslog", "near", 5, 5, 0, "2024-01-03T09:47:02", {0: 5}),
    "syslog_with_header.0": ("syslog", "near", 6, 5, 2, "2023-11-03T09:23:38", {0: 6}),
    "syslog_with_mixed_times.0": ("syslog", "near", 13, 13, 0, "2023-09-13T00:58:45", {0: 13}),
    "tai64n.0": ("tai64n", "near", 10, 10, 0, "2005-09-22T03:31:05.997071", {0: 10}),
    "tcf.0": ("", "near", 30, 30, 30, "", {0: 30}),
    "tcf.1": ("", "near", 3, 3, 3, "", {0: 3}),
    "tcsh_history.0": ("history", "near", 4, 2, 0, "2006-11-02T17:59:26", {0: 4}),
    "ts_value.0": ("iso", "near", 2, 2, 0, "2024-01-01T15:00:00", {3: 1, 5: 1}),
    "uwsgi.0": ("ctime-inside", "near", 19, 19, 0, "2016-03-13T22:49:12", {0: 19}),
    "vami.0": ("iso", "near", 4, 1, 0, "2015-03-12T23:16:52.071000", {0: 3, 3: 1}),
    "vdsm.0": ("iso-inside", "upper", 16, 5, 0, "2011-12-05T07:04:56.101000", {0: 11, 2: 2, 3: 2, 6: 1}),
    "vmw_log.0": ("iso", "near", 4, 3, 0, "2022-06-02T11:58:12.193000", {0: 1, 3: 2, 5: 1}),
    "vpxd.0": ("iso", "near", 12, 12, 0, "2022-06-02T11:58:12.193000", {3: 12}),
    "w3c.0": ("iso-inside", "near", 5, 3, 2, "2002-05-02T17:42:15", {0: 5}),
    "w3c.1": ("iso-inside", "near", 7, 4, 3, "2001-10-31T00:00:18", {0: 7}),
    "w3c.2": ("clock", "near", 22, 15, 4, "2000-10-09T16:44:49", {0: 22}),
    "w3c.3": ("iso", "near", 10, 4, 7, "2012-08-15T17:00:00.363000", {0: 10}),
    "w3c.4": ("iso", "near", 6, 3, 4, "2017-06-28T07:26:35", {0: 6}),
    "w3c.5": ("iso", "near", 2, 2, 1, "2015-01-13T00:32:17", {0: 2}),
    "w3c.6": ("iso-inside", "near", 5, 3, 2, "2015-01-13T00:32:17", {0: 5}),
    "w3c_big.0": ("iso", "near", 254, 211, 4, "2015-01-13T00:32:17", {0: 253, 3: 1}),
    "with_a_really_long_name_to_test_a_bug_with_long_names.0": ("", "near", 1, 1, 1, "", {0: 1}),
    "with_zones.0": ("iso", "level=", 3, 3, 0, "2022-08-27T14:22:01.613000", {0: 1, 3: 2}),
    "xml_msg.0": ("iso", "near", 36, 3, 0, "2020-12-10T06:56:41.061000", {0: 33, 2: 2, 3: 1}),
    "yday.0": ("day-of-year", "near", 2, 2, 0, "2012-01-25T10:22:40.672000", {2: 1, 5: 1}),
    "zap_console.0": ("iso", "near", 9, 3, 0, "2025-04-24T22:09:20.854000", {0: 6, 3: 2, 6: 1}),
}  # fmt: skip


def found_in(name: str) -> Row:
    path = require_shared_data() / "formats" / f"logfile_{name}"
    lines: list[bytes] = []
    for member in open_members(str(path), path.name, Meter(Limits())):
        assert isinstance(member, Member)
        lines += [line for block in LineBlocks(member.stream, 1 << 20) for line in block]
    parser = LineParser(MODIFIED)
    columns = parser.parse(lines)
    dated = [time for time in columns.times if time != NO_TIME]
    first = datetime.fromtimestamp(dated[0] / 1e6, UTC).isoformat().removesuffix("+00:00") if dated else ""
    levels = {level: columns.levels.count(level) for level in sorted(set(columns.levels))}
    state = parser.state
    return (
        state["profile"], state["rule"], len(lines), sum(columns.records), len(lines) - len(dated), first, levels
    )  # fmt: skip


@pytest.mark.data
@pytest.mark.parametrize("name", EXPECTED)
def test_a_format_is_read_as_a_person_would_read_it(name: str) -> None:
    assert found_in(name) == EXPECTED[name]


@pytest.mark.data
def test_every_file_of_the_collection_is_in_the_table() -> None:
    files = (require_shared_data() / "formats").iterdir()
    assert {path.name.removeprefix("logfile_") for path in files if path.stat().st_size} == EXPECTED.keys()

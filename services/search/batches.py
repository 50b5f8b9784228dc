"""BatchSearch: many searches of one workspace, understood together, searched in one thread, answered in one message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.rpc import status_pb2

from kit.errors import InvalidArgument, StatusError
from loganalyzer.search.v1 import search_pb2
from services.search import requests
from services.search.job import Job, Jobs
from services.search.pages import plan_of, response_of, stats_of
from services.search.query import QuerySyntaxError, key_of
from services.search.seam import Answer, Plan, Snapshot

__all__ = ["Batches"]

LARGEST_BATCH = 1000
#: Searches that are made before it is looked whether their answers fill the message.
SLICE = 100
#: Bytes of results in one answer before it is full; one result has 1 MiB of hits at most.
ANSWER_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class _Asked:
    job: Job
    plan: Plan


class Batches:
    """Answers BatchSearch."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def search(self, request: search_pb2.BatchSearchRequest) -> search_pb2.BatchSearchResponse:
        """A result for each request, or for as many of the first as fit into one answer."""
        workspace = requests.workspace_of(request.parent)
        wanted = request.requests
        if len(wanted) > LARGEST_BATCH:
            raise requests.invalid("requests", f"must be at most {LARGEST_BATCH}")
        snapshot = await self._jobs.snapshot(workspace)
        answer = search_pb2.BatchSearchResponse()
        size = 0
        step = LARGEST_BATCH if request.count_only else SLICE
        for at in range(0, len(wanted), step):
            part = wanted[at : at + step]
            asked = await self._jobs.blocking(lambda: _understood(part, snapshot, request))  # noqa: B023 - waited for
            plans = [each.plan for each in asked if isinstance(each, _Asked)]
            found = await self._jobs.index.answers(snapshot, plans)
            results = await self._jobs.blocking(lambda: _results(asked, found))  # noqa: B023 - waited for
            for result in results:
                size += result.ByteSize()
                if size > ANSWER_BYTES and answer.results:
                    return answer
                answer.results.append(result)
        return answer


def _understood(
    wanted: Sequence[search_pb2.SearchRequest], snapshot: Snapshot, batch: search_pb2.BatchSearchRequest
) -> list[_Asked | StatusError]:
    asked: list[_Asked | StatusError] = []
    for request in wanted:
        try:
            if request.parent and request.parent != batch.parent:
                raise requests.invalid("parent", "must be empty or that of the batch")
            query = requests.query_of(
                request.query,
                request.start_time if request.HasField("start_time") else None,
                request.end_time if request.HasField("end_time") else None,
            )
            if batch.count_only:
                asked.append(_Asked(Job(snapshot.workspace, snapshot, query, b""), Plan(query=query, limit=0)))
                continue
            job = Job(snapshot.workspace, snapshot, query, key_of(query))
            asked.append(_Asked(job, plan_of(request, job)))
        except QuerySyntaxError as error:
            asked.append(requests.unreadable_query(error))
        except InvalidArgument as error:
            asked.append(error)
    return asked


def _results(
    asked: Sequence[_Asked | StatusError], found: Sequence[Answer | StatusError]
) -> list[search_pb2.BatchSearchResult]:
    answers = iter(found)
    results: list[search_pb2.BatchSearchResult] = []
    for each in asked:
        answer = next(answers) if isinstance(each, _Asked) else each
        if isinstance(answer, StatusError):
            results.append(search_pb2.BatchSearchResult(error=_status(answer)))
            continue
        assert isinstance(each, _Asked)
        if not answer.lines:
            cost, done = answer.done.cost, answer.done
            response = search_pb2.SearchResponse(total_size=done.total, stats=stats_of(cost, "index"))
        else:
            response = response_of(answer, each.job, each.plan)
        response.stats.cost.nanos = round(answer.done.cost.seconds * 1e9) % 1_000_000_000
        response.stats.cost.seconds = int(answer.done.cost.seconds)
        results.append(search_pb2.BatchSearchResult(response=response))
    return results


def _status(error: StatusError) -> status_pb2.Status:
    return error.to_status()

"""BatchSearch: many searches of one workspace, understood together, searched in one thread, answered in one message."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from kit.errors import Internal, StatusError
from kit.observe import errors as error_log
from loganalyzer.search.v1 import search_pb2
from services.search import requests
from services.search.job import Job, Jobs
from services.search.pages import fill, plan_of
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
            asked = await self._jobs.blocking(lambda: _understood(self._jobs, part, snapshot, request))  # noqa: B023 - waited for
            plans = [each.plan for each in asked if isinstance(each, _Asked)]
            found = await self._answers(snapshot, plans)
            grown = await self._jobs.blocking(lambda: _add(asked, found, answer, size))  # noqa: B023 - waited for
            if grown is None:
                return answer
            size = grown
        return answer

    async def _answers(self, snapshot: Snapshot, plans: Sequence[Plan]) -> Sequence[Answer | StatusError]:
        """One for each plan, also where one of them meets a defect."""
        try:
            return await self._jobs.index.answers(snapshot, plans)
        except StatusError:
            raise
        except Exception as error:  # noqa: BLE001 - of one of them: which, each by itself will show
            if len(plans) == 1:
                return [_defect(error)]
        return [each for plan in plans for each in await self._answers(snapshot, [plan])]


def _understood(
    jobs: Jobs, wanted: Sequence[search_pb2.SearchRequest], snapshot: Snapshot, batch: search_pb2.BatchSearchRequest
) -> list[_Asked | StatusError]:
    asked: list[_Asked | StatusError] = []
    for request in wanted:
        try:
            _check_parent(request, batch)
            query, now = jobs.query_of(request)
            if batch.count_only:
                asked.append(_Asked(Job(snapshot.workspace, snapshot, query, b""), Plan(query=query, limit=0)))
                continue
            job = Job(snapshot.workspace, snapshot, query, key_of(query), now)
            asked.append(_Asked(job, plan_of(request, job)))
        except QuerySyntaxError as error:
            asked.append(requests.unreadable_query(error))
        except StatusError as error:
            asked.append(error)
        except Exception as error:  # noqa: BLE001 - it is of this request only
            asked.append(_defect(error))
    return asked


def _check_parent(request: search_pb2.SearchRequest, batch: search_pb2.BatchSearchRequest) -> None:
    if request.parent and request.parent != batch.parent:
        raise requests.invalid("parent", "must be empty or that of the batch")


def _defect(error: Exception) -> Internal:
    """What a caller hears of a defect, whose id the log has too: as for a call that fails."""
    error_id = secrets.token_hex(8)
    error_log.error("a search of a batch failed", error_id=error_id, exc_info=error)
    return Internal(f"internal error, id {error_id}")


def _add(
    asked: Sequence[_Asked | StatusError],
    found: Sequence[Answer | StatusError],
    answer: search_pb2.BatchSearchResponse,
    size: int,
) -> int | None:
    """Adds results to an answer of `size` bytes, and gives its size then; None once it is full."""
    answers = iter(found)
    for each in asked:
        one = next(answers) if isinstance(each, _Asked) else each
        # Made where they belong: to copy a message costs more than to make it.
        result = answer.results.add()
        if isinstance(one, StatusError):
            result.error.CopyFrom(one.to_status())
        else:
            assert isinstance(each, _Asked)
            try:
                fill(result.response, one, each.job, each.plan)
                seconds = one.done.cost.seconds
                result.response.stats.cost.nanos = round(seconds * 1e9) % 1_000_000_000
                result.response.stats.cost.seconds = int(seconds)
            except Exception as error:  # noqa: BLE001 - as above
                # Takes what was written of the answer away.
                result.error.CopyFrom(_defect(error).to_status())
        size += result.ByteSize()
        if size > ANSWER_BYTES and len(answer.results) > 1:
            del answer.results[-1]
            return None
    return size

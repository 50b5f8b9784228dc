"""From a path to blocks of lines: folders, compressed files and archives, and what is wrong with them.

Archives are streamed; nothing is ever extracted, and names inside them are only shown. No grpc, no asyncio here: this
runs in the worker processes (and the folder walk in a thread of the service).
"""

from services.importer.reading.limits import Limits, Meter
from services.importer.reading.lines import LineBlocks
from services.importer.reading.members import Member, open_members
from services.importer.reading.problems import Problem, ReadProblem, Reason
from services.importer.reading.walk import Found, Walk, check_path

__all__ = [
    "Found",
    "Limits",
    "LineBlocks",
    "Member",
    "Meter",
    "Problem",
    "ReadProblem",
    "Reason",
    "Walk",
    "check_path",
    "open_members",
]

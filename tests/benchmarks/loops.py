"""The loops in which a client that fetches one URL is made to fetch many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice

from .readings import Answer, Answers, Work

Get = Callable[[str], Awaitable[Answer]]
Loop = Callable[[Get, Work], Awaitable[Answers]]


async def drawn(get: Get, work: Work) -> Answers:
    """As many workers, drawing from one iterator: faster than a semaphore and one gather of all."""
    answers: list[Answer] = [(0, "")] * work.rows
    waiting = iter(enumerate(work.urls))

    async def worker() -> None:
        for row, url in waiting:
            answers[row] = await get(url)

    await asyncio.gather(*(worker() for _ in range(work.concurrency)))
    return lambda: answers


async def batched(get: Get, work: Work) -> Answers:
    """The other loop that people write: one gather a batch, and the next batch when all of it is there."""
    answers: list[Answer] = []
    waiting = iter(work.urls)
    while batch := list(islice(waiting, work.concurrency)):
        answers += await asyncio.gather(*map(get, batch))
    return lambda: answers

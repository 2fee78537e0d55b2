"""harvest and its peers, side by side, on the same work, in one run.

    python -m tests.benchmarks                                  # every scene, every contender there is
    python -m tests.benchmarks json --concurrency 64            # one scene, one window
    python -m tests.benchmarks json latency --rows 5000 --repeats 3 --only harvest,aiohttp
    python -m tests.benchmarks --json all.json --picture all.png
    python -m tests.benchmarks --from all.json --picture all.png    # the same again, nothing is run
    python -m tests.benchmarks limits --picture limits.png          # the four scenes with a limit
    python -m tests.benchmarks archive million --picture memory.png # the memory over a million rows

What is measured. nginx serves one body from a port of its own. Each contender is given the same list of
distinct URLs and the same number of requests in flight, and keeps the status and the body of every answer.
harvest's figure is the whole `fetch_frame`, with the frame, headers, retries and dedupe; a peer's is the bare
loop that suits it best. Imports and one warm-up request come before the clock starts; reading the answers back,
to check them, comes after it has stopped. Two scenes serve nothing: `scheduler` runs harvest's bookkeeping on a
virtual clock, `import` clocks an import in a fresh interpreter.

What makes the figures fair. Every run is a fresh process. Server and client each keep a core, where there are
two. The runs are interleaved, A B C, A B C, and so a noisy minute hits all alike. A ratio is taken within a
round; the table shows the median of the rounds, with the least and the most. With TLS everybody verifies the
server's certificate. A run counts only if every status was 200, every body was the one served and the server
counted as many requests: else the contender is refused, the table says why, and the exit code is 1. A program
that keeps no bodies is held to their statuses and sizes.

Three scenes write to the disk, into fresh folders in the machine's temporary one, which are removed after each run:
`store` and `archive` end when everything is sealed, and the folder is read back after the clock has stopped; `again`
fills the folder beforehand and is refused if it asks for a single row. Memory is what is resident: the process's own
pages and those of files mapped into it, mostly libraries. The system's cache of files that were written is not among
it. `peak` is what the system noted as the most (VmHWM); the curve has up to 200 points, for fetch_to the most of what
was seen ten times a second.

The `limits` are about quota, not speed. Each run gets a server of its own that refuses what comes too fast. harvest
runs with its defaults and is told nothing, aiometer is told the rate, the others have five attempts a row. The
server's log says what share of the quota was used from the first request to the last (of what the limiter would have
accepted meanwhile, burst included), and what share of the requests was refused; only the rows that failed in the end
are the client's word. Whoever gives up soon may well have used the quota: the columns belong together. A round takes
about 13 minutes, so there is one.

What is to be reached stands below each table, with what was; "the fastest of" is found anew in each round. A
target that was missed leaves the exit code at 0.

What it needs: nginx with the echo module (for delays), openssl 3 for the TLS scenes. wrk, if there, adds the
server's own limit, curl what libcurl does without Python. Nothing is installed from here
(`pip install -e '.[bench]'` brings the peers); what is missing is named below the table.

One more contender is an entry of `contenders.CONTENDERS`; one more scene is an entry of `scenes.SCENES`.
"""

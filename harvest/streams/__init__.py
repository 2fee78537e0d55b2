"""Websockets, server-sent events and newline-delimited JSON as rows.

::

    methods, works, runs      the verbs of a `Harvester`; what they set to work; who waits for it
    orders, options           what was asked for, checked
    listener, rows, lookups   all streams on one event loop, in the worker thread
    stream, judge, silence    one of them: its connections, what is made of a message, when it is dead
    reconnects                connect once more? pure
    speaking                  what a connection is told, beside what it says
    connections               what the two kinds of connections have in common
    sockets, signing          websockets
    responses, events, lines, unpacking    answers of HTTP that go on; the last three are pure
    sinks                     where messages end up; those for a folder are in `harvest.store.recorder`
"""

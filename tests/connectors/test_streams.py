"""A stream's life, and that no connector can do harm to what started it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable

import pytest

from forkproxy.connectors import streams
from forkproxy.connectors.api import Connector, Frame, Settings, Stream, StreamTransport
from forkproxy.connectors.events import StreamCreated, StreamEnded, StreamWarning
from forkproxy.connectors.streams import BATCH, StreamRunner, abandoned
from forkproxy.connectors.testing import CALL, HOST, frames, make, run_connector, running
from forkproxy.errors import (
    StreamBroken,
    StreamConnectTimeout,
    StreamError,
    StreamHandshakeError,
    StreamRefused,
    StreamRemoteClosed,
    StreamUrlError,
)
from forkproxy.model import StreamSpec, Track, Tracks

Behaviour = Callable[[Stream], Awaitable[None]]


class Scripted(Connector[Settings]):
    """Does what a test says."""

    behaviour: Behaviour

    async def stream(self, stream: Stream) -> None:
        await self.behaviour(stream)


def scripted(behaviour: Behaviour) -> Scripted:
    connector = make(Scripted)
    connector.behaviour = behaviour
    return connector


class Sink(Connector[Settings]):
    """Takes everything."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.batches: list[list[Frame]] = []
        self.streams: list[Stream] = []

    @property
    def frames(self) -> list[Frame]:
        return [frame for batch in self.batches for frame in batch]

    async def stream(self, stream: Stream) -> None:
        self.streams.append(stream)
        stream.created()
        async for batch in stream:
            self.batches.append(batch)


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(10):
        await asyncio.sleep(0)


# The ordinary life.


async def test_from_the_first_frame_to_the_last() -> None:
    sink = make(Sink)
    async with running(sink) as run:
        assert run.runner.state == "starting"
        run.feed(frames(3))
        assert await run.created()
        assert run.runner.state == "running"
        run.feed(frames(2, start=3))
        await run.stop()
        assert run.runner.state == "stopped"
    assert sink.frames == frames(5)
    assert [type(event) for event in run.events] == [StreamCreated, StreamEnded]
    assert {event.sid for event in run.events} == {run.runner.sid}
    assert run.error is None
    assert (run.figures.fed, run.figures.handed_over, run.figures.waiting) == (10, 10, 0)
    assert run.figures.created_after is not None


async def test_what_the_connector_sees() -> None:
    sink = make(Sink)
    await run_connector(
        sink,
        [],
        tracks=Tracks.OUTBOUND,
        name="mine",
        url="wss://a.example/b",
        parameters={"language": "de"},
    )
    (stream,) = sink.streams
    assert (stream.name, stream.url, dict(stream.parameters)) == (
        "mine",
        "wss://a.example/b",
        {"language": "de"},
    )
    assert stream.tracks == (Track.OUTBOUND,)
    assert stream.call == CALL
    assert stream.sid.startswith("MZ")
    assert len(stream.sid) == 34


async def test_a_siprec_stream_has_another_sid_and_an_unnamed_one_is_called_by_it() -> None:
    run = await run_connector(make(Sink), [], transport=StreamTransport.SIPREC)
    assert run.runner.sid.startswith("SR")
    assert run.runner.name == run.runner.sid


@pytest.mark.parametrize("tracks", list(Tracks))
async def test_only_the_chosen_tracks_come(tracks: Tracks) -> None:
    sink = make(Sink)
    await run_connector(sink, frames(4), tracks=tracks)
    assert sink.frames == frames(4, tracks)


async def test_no_first_word_is_lost_while_the_connection_takes_its_time() -> None:
    connected = asyncio.Event()
    taken: list[Frame] = []

    async def slow(stream: Stream) -> None:
        await connected.wait()
        stream.created()
        async for batch in stream:
            taken.extend(batch)

    async with running(scripted(slow)) as run:
        for number in range(100):
            run.feed(frames(1, start=number))
            await asyncio.sleep(0)
        assert not run.is_created
        connected.set()
        await run.created()
    assert taken == frames(100)
    assert run.warnings == []


async def test_frames_may_come_before_the_start() -> None:
    sink = make(Sink)
    runner = StreamRunner(
        sink, StreamSpec(StreamTransport.WEBSOCKET, Tracks.BOTH), CALL, HOST, on_event=print
    )
    runner.feed(frames(2))
    runner.start()
    runner.stop("enough")
    await runner.closed()
    assert sink.frames == frames(2)


async def test_what_comes_after_the_stop_is_ignored() -> None:
    sink = make(Sink)
    async with running(sink) as run:
        run.feed(frames(1))
        run.runner.stop("now")
        run.feed(frames(1, start=1))
        await run.closed()
        run.feed(frames(1, start=2))
    assert sink.frames == frames(1)
    assert run.figures.fed == 2


async def test_a_stream_that_is_stopped_before_its_start_never_reaches_the_connector() -> None:
    events: list[object] = []
    sink = make(Sink)
    spec = StreamSpec(StreamTransport.WEBSOCKET, Tracks.BOTH)
    runner = StreamRunner(sink, spec, CALL, HOST, on_event=events.append)
    runner.stop("never mind")
    runner.start()
    await runner.closed()
    assert [type(event) for event in events] == [StreamEnded]
    assert sink.streams == []


async def test_a_stream_starts_once() -> None:
    async with running(make(Sink)) as run:
        with pytest.raises(RuntimeError, match="started before"):
            run.runner.start()


async def test_a_stream_can_be_iterated_over_once() -> None:
    async def twice(stream: Stream) -> None:
        stream.created()
        async for _ in stream:
            pass
        async for _ in stream:
            pass

    run = await run_connector(scripted(twice), frames(1))
    assert "only once" in str(run.error)


async def test_a_long_backlog_comes_in_pieces_and_others_get_their_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    sink = make(Sink)
    async with running(sink) as run:
        run.feed(frames(BATCH * 5))
        other = asyncio.ensure_future(others())
        await run.stop()
        other.cancel()
        await asyncio.wait([other])
    assert [len(batch) for batch in sink.batches] == [BATCH] * 10
    assert turns >= 9


async def test_events_are_delivered_from_the_loop_and_their_receiver_may_call_anything() -> None:
    events: list[object] = []

    def on_event(event: object) -> None:
        events.append(event)
        runner.feed(frames(1))
        runner.stop("from the receiver")

    sink = make(Sink)
    spec = StreamSpec(StreamTransport.WEBSOCKET, Tracks.BOTH)
    runner = StreamRunner(sink, spec, CALL, HOST, on_event=on_event)
    runner.start()
    assert events == []
    await runner.closed()
    assert [type(event) for event in events] == [StreamCreated, StreamEnded]


async def test_a_receiver_that_fails_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def on_event(event: object) -> None:
        raise ValueError("the receiver's own mistake")

    spec = StreamSpec(StreamTransport.WEBSOCKET, Tracks.BOTH)
    runner = StreamRunner(make(Sink), spec, CALL, HOST, on_event=on_event)
    runner.start()
    await settle()
    runner.stop("done")
    await runner.closed()
    assert runner.state == "stopped"
    assert "the receiver's own mistake" in caplog.text


# Slow connectors.


async def test_a_slow_connector_loses_its_oldest_frames_and_is_told() -> None:
    go = asyncio.Event()
    taken: list[Frame] = []

    async def slow(stream: Stream) -> None:
        stream.created()
        await go.wait()
        async for batch in stream:
            taken.extend(batch)
            assert stream.dropped == 50

    async with running(scripted(slow), queue_seconds=0.5) as run:
        await run.created()
        for number in range(50):
            run.feed(frames(1, start=number))
        await settle()
        assert run.warnings == [31930], "once for the whole episode"
        assert run.figures.waiting == 50
        assert run.runner.dropped == 50
        go.set()
        await run.stop()
    assert taken == frames(25, start=25)
    assert (run.figures.fed, run.figures.dropped, run.figures.handed_over) == (100, 50, 50)
    assert run.error is None


async def test_each_episode_of_loss_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    tickets: asyncio.Queue[None] = asyncio.Queue()

    async def by_ticket(stream: Stream) -> None:
        stream.created()
        await tickets.get()
        async for _ in stream:
            await tickets.get()

    async with running(scripted(by_ticket), queue_seconds=0.1, drain_timeout=0.01) as run:
        await run.created()
        for _ in range(3):
            run.feed(frames(20))
            run.feed(frames(20))
            tickets.put_nowait(None)
            await settle()
    assert run.warnings == [31930] * 3
    assert run.figures.warnings == {31930: 3}
    assert "caught up" in caplog.text


async def test_what_a_connector_warns_of_is_reported_once_for_each_code_and_counted_always() -> None:
    async def warner(stream: Stream) -> None:
        stream.created()
        for _ in range(1000):
            stream.warn(31951, "what is this?")
        stream.warn(31950, "and this?")

    async with running(scripted(warner)) as run:
        await run.closed()
    assert [event for event in run.events if isinstance(event, StreamWarning)] == [
        StreamWarning(run.runner.sid, 31951, "what is this?"),
        StreamWarning(run.runner.sid, 31950, "and this?"),
    ]
    assert run.figures.warnings == {31951: 1000, 31950: 1}


# Streams that do not come about.


async def test_a_connector_that_does_not_create_the_stream_in_time_is_cancelled() -> None:
    cancelled = False

    async def mute(stream: Stream) -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled = True
            raise

    async with running(scripted(mute), connect_timeout=0.02) as run:
        assert not await run.created()
    assert isinstance(run.error, StreamConnectTimeout)
    assert cancelled
    assert run.runner.state == "failed"


async def test_a_connector_that_answers_too_late_has_not_created_the_stream() -> None:
    async def late(stream: Stream) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            stream.created()

    async with running(scripted(late), connect_timeout=0.02) as run:
        assert not await run.created()
    assert isinstance(run.error, StreamConnectTimeout)


async def test_a_created_stream_has_no_connect_timeout_any_more() -> None:
    async with running(make(Sink), connect_timeout=0.01) as run:
        await run.created()
        await asyncio.sleep(0.03)
        assert not run.ended
    assert run.error is None


async def test_returning_without_having_created_the_stream_is_an_error() -> None:
    async def absent(stream: Stream) -> None:
        return

    run = await run_connector(scripted(absent), frames(1))
    assert run.error is not None
    assert run.error.twilio_code == 31900
    assert "without having created" in str(run.error)
    assert run.figures.waiting == 2, "what was never taken is told"


async def test_a_connector_that_needs_a_url_is_not_started_without() -> None:
    sink = make(Sink)
    sink.needs_url = True
    run = await run_connector(sink, [])
    assert isinstance(run.error, StreamUrlError)
    assert sink.streams == []
    run = await run_connector(sink, [], url="x:")
    assert run.error is None


async def test_a_stream_that_is_stopped_while_it_connects_still_gets_its_words() -> None:
    connected = asyncio.Event()
    taken: list[Frame] = []

    async def slow(stream: Stream) -> None:
        await connected.wait()
        stream.created()
        async for batch in stream:
            taken.extend(batch)

    async with running(scripted(slow), connect_timeout=0.01, drain_timeout=5) as run:
        run.feed(frames(3))
        run.runner.stop("the caller hung up")
        await asyncio.sleep(0.03)
        connected.set()
        await run.closed()
    assert taken == frames(3)
    assert run.error is None
    assert run.is_created


async def test_a_stream_that_is_stopped_while_it_connects_does_not_wait_for_ever() -> None:
    async with running(scripted(lambda stream: asyncio.sleep(3600)), drain_timeout=0.01) as run:
        run.feed(frames(3))
    assert isinstance(run.error, StreamConnectTimeout)
    assert run.figures.waiting == 6


# Connectors that fail.


@pytest.mark.parametrize(
    ("exception", "kind"),
    [
        (StreamRemoteClosed("closed with 1011"), StreamRemoteClosed),
        (StreamHandshakeError("404"), StreamHandshakeError),
        (ConnectionRefusedError(111, "x"), StreamRefused),
        (ConnectionResetError(104, "x"), StreamBroken),
        (TimeoutError(), StreamBroken),  # it was created: the connection broke
        (ValueError("a mistake"), StreamError),
        (SystemExit(3), StreamError),
        (asyncio.CancelledError(), StreamError),
        (StopAsyncIteration(), StreamError),
        (ExceptionGroup("g", [ValueError("in a group")]), StreamError),
        (type("Own", (BaseException,), {})("own"), StreamError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_an_exception_ends_the_stream_with_a_code(
    exception: BaseException, kind: type[StreamError], caplog: pytest.LogCaptureFixture
) -> None:
    async def failing(stream: Stream) -> None:
        stream.created()
        async for _ in stream:
            raise exception

    run = await run_connector(scripted(failing), frames(1))
    assert type(run.error) is kind
    assert isinstance(run.events[-1], StreamEnded)
    assert sum(isinstance(event, StreamEnded) for event in run.events) == 1
    unknown = kind is StreamError and not isinstance(exception, asyncio.CancelledError)
    assert caplog.text.count("Traceback") == (1 if unknown else 0) or isinstance(exception, ExceptionGroup)
    if unknown:
        assert type(exception).__name__ in str(run.error)


async def test_an_exception_before_the_stream_is_created() -> None:
    async def failing(stream: Stream) -> None:
        raise TimeoutError

    run = await run_connector(scripted(failing), frames(1))
    assert isinstance(run.error, StreamConnectTimeout)
    assert not run.is_created


async def test_a_connector_that_returns_early_ends_its_stream_without_an_error() -> None:
    async def first_batch_only(stream: Stream) -> None:
        stream.created()
        async for _ in stream:
            return

    async with running(scripted(first_batch_only)) as run:
        run.feed(frames(1))
        await run.closed()
        run.feed(frames(1, start=1))
    assert run.error is None
    assert run.runner.state == "stopped"


async def test_failing_from_a_callback() -> None:
    async def lost(stream: Stream) -> None:
        stream.created()
        asyncio.get_running_loop().call_soon(stream.fail, StreamBroken("cut"))
        asyncio.get_running_loop().call_soon(stream.fail, StreamRefused("too late"))
        async for _ in stream:
            raise AssertionError("no frame was fed")

    async with running(scripted(lost)) as run:
        await run.closed()
    assert str(run.error) == "cut"


async def test_failing_while_the_connector_does_something_else() -> None:
    async def lost(stream: Stream) -> None:
        stream.created()
        stream.fail(StreamBroken("cut"))
        async for _ in stream:
            raise AssertionError("the error comes before any frame")

    run = await run_connector(scripted(lost), frames(1))
    assert isinstance(run.error, StreamBroken)


# Connectors that do not end.


async def test_a_connector_that_does_not_end_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    async def endless(stream: Stream) -> None:
        stream.created()
        await asyncio.sleep(3600)

    async with running(scripted(endless), drain_timeout=0.02) as run:
        run.feed(frames(10))
        await run.created()
    assert run.error is None, "it was stopped, as the flow wanted"
    assert run.warnings == [31930], "the frames that it never took"
    assert run.figures.waiting == 20
    assert "did not end in time" in caplog.text


async def test_stopping_at_once() -> None:
    async def endless(stream: Stream) -> None:
        stream.created()
        await asyncio.sleep(3600)

    async with running(scripted(endless), drain_timeout=3600) as run:
        await run.created()
        run.runner.stop("an orderly end")
        await settle()
        assert run.runner.state == "stopping"
        await run.stop(drain=0)
    assert run.error is None


async def test_cleaning_up_takes_the_time_it_is_granted() -> None:
    cleaned = False

    async def careful(stream: Stream) -> None:
        nonlocal cleaned
        stream.created()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            cleaned = True

    async with running(scripted(careful), drain_timeout=0) as run:
        await run.created()
    assert cleaned
    assert run.error is None


async def test_a_connector_that_ignores_its_cancellation_is_abandoned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "CANCEL_GRACE", 0.02)
    release = asyncio.Event()
    before = abandoned()

    async def stubborn(stream: Stream) -> None:
        stream.created()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async with running(scripted(stubborn), drain_timeout=0.01) as run:
        await run.created()
    assert abandoned() == before + 1
    assert "abandoned" in str(run.error)
    assert not any(task.get_name() == f"stream {run.runner.sid}" for task in asyncio.all_tasks())
    release.set()
    await settle()
    assert "has ended" in caplog.text
    assert sum(isinstance(event, StreamEnded) for event in run.events) == 1


async def test_a_stubborn_connector_that_never_connected_fails_with_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "CANCEL_GRACE", 0.02)
    release = asyncio.Event()

    async def stubborn(stream: Stream) -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async with running(scripted(stubborn), connect_timeout=0.01) as run:
        await run.closed()
    assert isinstance(run.error, StreamConnectTimeout)
    release.set()
    await settle()


def test_a_stubborn_connector_does_not_keep_the_process() -> None:
    """asyncio.run() waits for every task that it knows; it must not know this one."""
    program = """
        import asyncio
        from forkproxy.connectors import streams
        from forkproxy.connectors.api import Connector, Settings
        from forkproxy.connectors.testing import make, running

        streams.CANCEL_GRACE = 0.02

        class Stubborn(Connector[Settings]):
            async def stream(self, stream):
                stream.created()
                while True:
                    try:
                        await asyncio.sleep(3600)
                    except asyncio.CancelledError:
                        pass

        async def main():
            async with running(make(Stubborn), drain_timeout=0) as run:
                await run.created()
            print(run.error)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert "abandoned" in done.stdout
    assert done.returncode == 0, done.stderr
    assert "was destroyed but it is pending" not in done.stderr


async def test_a_task_that_somebody_else_cancels() -> None:
    async with running(make(Sink)) as run:
        await run.created()
        (task,) = (t for t in asyncio.all_tasks() if t.get_name() == f"stream {run.runner.sid}")
        task.cancel()
        await run.closed()
    assert "was cancelled" in str(run.error)


async def test_the_end_of_the_loop_takes_a_connector_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """What `asyncio.run` does at its end: cancel every task, wait for them, go."""
    caplog.set_level(logging.DEBUG)
    async with running(make(Sink)) as run:
        await run.created()
        mine = [task for task in asyncio.all_tasks() if task.get_name().startswith("stream ")]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        await run.closed()


def test_ctrl_c_goes_through() -> None:
    """Without the command's own handler, as in a plugin author's script."""

    async def interrupted(stream: Stream) -> None:
        stream.created()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)

    async def main() -> None:
        await run_connector(scripted(interrupted), [])

    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where a shell runs us behind "&"
    try:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
    finally:
        signal.signal(signal.SIGINT, before)


async def test_keys_reach_the_connectors_that_ask_for_them() -> None:
    pressed: list[tuple[str, float]] = []

    async def listen(stream: Stream) -> None:
        stream.on_digit(lambda key, duration_ms: pressed.append((key, duration_ms)))
        stream.created()
        async for _ in stream:
            pass

    async with running(scripted(listen)) as run:
        run.press("7")  # nobody listens yet
        await run.created()
        run.press("1#", 80.0)
        await run.stop()
        run.press("2")
    assert pressed == [("1", 80.0), ("#", 80.0)]
    assert run.error is None

    async with running(scripted(listen), tracks=Tracks.OUTBOUND) as run:
        await run.created()
        run.press("3")
    assert len(pressed) == 2


async def test_a_connector_that_does_not_ask_for_keys_is_left_alone() -> None:
    async with running(make(Sink)) as run:
        await run.created()
        run.press("123")
    assert run.error is None


@pytest.mark.parametrize("error", [KeyError("5"), StreamBroken("cut")])
async def test_a_callback_for_keys_that_fails_ends_its_stream_and_tells_no_key(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: str, duration_ms: float) -> None:
        raise error

    async def listen(stream: Stream) -> None:
        stream.on_digit(fail)
        stream.created()
        async for _ in stream:
            pass

    async with running(scripted(listen)) as run:
        await run.created()
        run.press("5")
        await run.closed()
    expected = "cut" if isinstance(error, StreamBroken) else "on_digit failed: KeyError"
    assert str(run.error) == expected
    assert "'5'" not in caplog.text

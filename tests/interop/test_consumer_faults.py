"""Whatever the consumer does, the people on the phone do not notice."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from tests.support.consumer import Consumer, Fault
from tests.support.flows import fork_and_bridge
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.talk import conversation

CODES = {
    Fault.MISSING: "31902",
    Fault.NOT_FOUND: "31920",
    Fault.FORBIDDEN: "31920",
    Fault.WRONG_CERTIFICATE: "31910",
    Fault.MUTE: "31901",
    Fault.HANGS: "31901",
    Fault.CLOSES: "31921",
    Fault.CUTS: "31903",
}
"""The code that Twilio gives for each (twilio.com/docs/api/errors); the others end without an error."""


async def test_no_fault_of_a_consumer_is_heard_on_the_phone(tmp_path: Path) -> None:
    """Calls side by side, each with a consumer that fails in its own way, and one with a good consumer."""
    async with AsyncExitStack() as stack:
        consumers = {
            fault: await stack.enter_async_context(Consumer(tmp_path / fault.name, fault)) for fault in Fault
        }
        bobs = {fault: await stack.enter_async_context(Phone(fault.name)) for fault in Fault}
        alice = await stack.enter_async_context(Phone("alice"))
        authorities = tmp_path / "authorities.pem"
        authorities.write_text("".join(consumer.ca_file.read_text() for consumer in consumers.values()))
        flows = {fault.name: fork_and_bridge(consumers[fault].url, bobs[fault].uri) for fault in Fault}
        config = {"streams": {"ca_file": str(authorities)}}
        proxy = await stack.enter_async_context(
            Proxy(tmp_path / "proxy", flows["NONE"], flows=flows, config=config, legs=60)
        )
        before = await proxy.held()

        async def call(fault: Fault) -> str:
            """One call of 13 seconds; what was wrong with it, as text."""
            async with conversation(proxy, alice, bobs[fault], dial=fault.name, answer_within=20) as talking:
                await asyncio.sleep(13)  # longer than any time-out of the connection to the consumer
                if talking.alice.over or talking.bob.over:
                    return "the call was ended"
                await talking.hush()
                wrong = talking.interruptions()
                await talking.alice.hang_up()
                await talking.bob.request("BYE")
                return ", ".join(wrong)

        results = await asyncio.gather(*(call(fault) for fault in Fault))
        wrong = {fault.value: text for fault, text in zip(Fault, results, strict=True) if text}
        assert not wrong

        good = await consumers[Fault.NONE].ended()
        assert good.mistakes() == []
        assert len(good.media("inbound")) > 600

        # every end was logged under Twilio's code
        await proxy.idle(timeout=15)
        logged = Counter(re.findall(r"stream failed: (\d{5})", proxy.log))
        expected = Counter(CODES.values())
        assert {code: logged[code] for code in expected} == expected
        assert await proxy.held() == before, "something is left of the streams"


async def test_a_consumer_that_talks_back_is_warned_of(tmp_path: Path) -> None:
    """Binary frames, and text that is no message, are reported by Twilio's codes; the call goes on."""
    async with (
        Consumer(tmp_path, Fault.TALKS_BACK, fault_after=10) as consumer,
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(
            tmp_path / "proxy",
            fork_and_bridge(consumer.url, bob.uri),
            config={"streams": {"ca_file": str(consumer.ca_file)}},
        ) as proxy,
        conversation(proxy, alice, bob) as talking,
    ):
        await proxy.logged("31950|31951|31924")
        await talking.hush()
        assert talking.interruptions() == []
        await talking.alice.hang_up()
        await talking.bob.request("BYE")
        await proxy.idle()

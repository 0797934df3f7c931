#!/usr/bin/env python3
"""The openai client against the daemon. The weights are random, so what is checked is structure, that
a stream says what the whole answer says with the same seed, and that what must have a form has it.
"""

import asyncio
import json

from daemon import TESTS, Daemon
from report import Report, need

need("openai", "jsonschema")
import jsonschema  # noqa: E402
import openai  # noqa: E402

USER = [{"role": "user", "content": "Name three rivers."}]
PERSON = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "age", "tags"],
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "maxItems": 3, "items": {"enum": ["red", "green", "blue"]}},
    },
}
WEATHER = {
    "type": "object",
    "required": ["city", "unit"],
    "properties": {
        "city": {"type": "string", "enum": ["Oslo", "Tromsø"]},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer"},
    },
}
TIME = {
    "type": "object",
    "required": ["zone"],
    "properties": {"zone": {"type": "string", "maxLength": 6}},
}
TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "description": "A tool.", "parameters": parameters},
    }
    for name, parameters in (("get_weather", WEATHER), ("get_time", TIME))
]
CALL_SCHEMAS = {"get_weather": WEATHER, "get_time": TIME}


class Joined:
    """The choices of a stream of chat chunks, put together as a client does."""

    def __init__(self, stream):
        self.content, self.reasoning, self.calls, self.finish, self.usage = {}, {}, {}, {}, None
        self.chunks = list(stream)
        for chunk in self.chunks:
            self.usage = chunk.usage or self.usage
            for choice in chunk.choices:
                self._take(choice)

    def _take(self, choice):
        i, delta = choice.index, choice.delta
        if choice.finish_reason:
            assert i not in self.finish
            self.finish[i] = choice.finish_reason
        self.content[i] = self.content.get(i, "") + (delta.content or "")
        self.reasoning[i] = self.reasoning.get(i, "") + (
            getattr(delta, "reasoning_content", None) or ""
        )
        for part in delta.tool_calls or []:
            made = self.calls.setdefault((i, part.index), {"id": "", "name": "", "arguments": ""})
            made["id"] += part.id or ""
            made["name"] += part.function.name or ""
            made["arguments"] += part.function.arguments or ""

    def said(self):
        """What is the same in the answer that is not streamed: ids of calls are made up anew."""
        return [
            (
                self.content[i] or None,
                self.reasoning[i] or None,
                [(c["name"], c["arguments"]) for k, c in sorted(self.calls.items()) if k[0] == i],
                self.finish[i],
            )
            for i in sorted(self.finish)
        ]


def said(answer):
    return [
        (
            c.message.content or None,
            getattr(c.message, "reasoning_content", None) or None,
            [(t.function.name, t.function.arguments) for t in c.message.tool_calls or []],
            c.finish_reason,
        )
        for c in sorted(answer.choices, key=lambda c: c.index)
    ]


class Client:
    """The openai client with what every request here has in common."""

    def __init__(self, daemon, report):
        self.report = report
        self.openai = openai.OpenAI(
            base_url=daemon.url + "/v1", api_key="none", max_retries=0, timeout=300
        )
        self.model = self.openai.models.list().data[0].id

    def chat(self, messages=USER, **options):
        return self.openai.chat.completions.create(
            **{"model": self.model, "messages": messages, "max_tokens": 40, "seed": 7, **options}
        )

    def both(self, name, **options):
        """The answer, after a check that its stream says the same."""
        whole = self.chat(**options)
        stream = Joined(self.chat(**options, stream=True, stream_options={"include_usage": True}))
        self.report.check(
            f"{name}: the stream says the same",
            said(whole) == stream.said(),
            (said(whole), stream.said()),
        )
        self.report.check(
            f"{name}: and costs the same", whole.usage == stream.usage, (whole.usage, stream.usage)
        )
        return whole

    def token_id(self, text):
        answer = self.openai.post(
            "/../tokenize", cast_to=object, body={"prompt": text, "add_special_tokens": False}
        )
        assert len(answer["tokens"]) == 1, (text, answer)
        return answer["tokens"][0]

    def refused(self, name, status, word, **options):
        try:
            self.chat(**options)
            self.report.check(name, False, "was not refused")
        except openai.APIStatusError as error:
            shown = (error.status_code, str(error.body))
            self.report.check(name, error.status_code == status and word in str(error.body), shown)


def models(client, report):
    listed = client.openai.models.list().data
    report.check("one model", len(listed) == 1 and listed[0].object == "model", listed)
    client.refused("another model does not answer", 404, "no-such-model", model="no-such-model")


def chat(client, report):
    answer = client.both("chat")
    report.check(
        "an answer",
        answer.object == "chat.completion"
        and answer.model == client.model
        and answer.choices[0].message.role == "assistant"
        and answer.id.startswith("chatcmpl-"),
        answer,
    )
    report.check(
        "usage adds up",
        answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        and 0 < answer.usage.completion_tokens <= 40,
        answer.usage,
    )
    report.check("the same seed, the same answer", said(client.chat()) == said(answer))
    report.check("another seed, another answer", said(client.chat(seed=8)) != said(answer))
    chunks = Joined(client.chat(stream=True)).chunks
    report.check("no usage unless asked for", all(c.usage is None for c in chunks))
    report.check(
        "the role comes first, and once",
        [c.choices[0].delta.role for c in chunks if c.choices and c.choices[0].delta.role]
        == ["assistant"]
        and chunks[0].choices[0].delta.role == "assistant",
    )
    report.check(
        "one id, and one kind of object",
        len({c.id for c in chunks}) == 1
        and {c.object for c in chunks} == {"chat.completion.chunk"},
    )
    parts = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Name three rivers."}]},
    ]
    whole = [parts[0], USER[0]]
    report.check(
        "content in parts", said(client.chat(messages=parts)) == said(client.chat(messages=whole))
    )
    report.check(
        "max_completion_tokens",
        client.chat(max_tokens=openai.omit, max_completion_tokens=3).usage.completion_tokens <= 3,
    )


def several(client, report):
    answer = client.both("n", n=3)
    report.check("three choices", [c.index for c in answer.choices] == [0, 1, 2], answer)
    alone = [said(client.chat(seed=7 + i))[0] for i in range(3)]
    report.check(
        "choice i is what seed + i gives alone", said(answer) == alone, (said(answer), alone)
    )

    async def crowd():
        asynchronous = openai.AsyncOpenAI(
            base_url=client.openai.base_url, api_key="none", max_retries=0, timeout=300
        )

        async def one(seed):
            stream = await asynchronous.chat.completions.create(
                model=client.model, messages=USER, max_tokens=40, seed=seed, stream=True
            )
            return Joined([chunk async for chunk in stream]).said()

        answers = await asyncio.gather(*[one(seed) for seed in [7, 8, 9] * 8])
        await asynchronous.close()
        return answers

    report.check(
        "24 at once say what each says alone", asyncio.run(crowd()) == [[a] for a in alone] * 8
    )


def stops(client, report):
    whole = (
        client.chat(max_tokens=60, logit_bias={client.token_id("a"): 6}).choices[0].message.content
    )
    at = whole.find("a")
    answer = client.both("stop", max_tokens=60, logit_bias={client.token_id("a"): 6}, stop="a")
    report.check(
        "cut before the stop string",
        at >= 0
        and (answer.choices[0].message.content or "") == whole[:at]
        and answer.choices[0].finish_reason == "stop",
        (whole, answer.choices[0]),
    )
    report.check(
        "several stop strings",
        client.chat(stop=["zq", "a"], max_tokens=60, logit_bias={client.token_id("a"): 6})
        .choices[0]
        .message.content
        == answer.choices[0].message.content,
    )


def logprobs(client, report):
    answer = client.both("logprobs", logprobs=True, top_logprobs=5, temperature=0.5)
    entries = answer.choices[0].logprobs.content
    report.check(
        "one for each visible token", entries and len(entries) <= answer.usage.completion_tokens
    )
    report.check("logprobs are at most 0", all(-9999 <= e.logprob <= 0 for e in entries))
    report.check(
        "the five best, in order",
        all(
            5 <= len(e.top_logprobs) <= 6
            and e.top_logprobs == sorted(e.top_logprobs, key=lambda t: -t.logprob)
            for e in entries
        ),
        entries[0],
    )
    report.check(
        "top_logprobs hold the sampled token",
        all(e.logprob in [t.logprob for t in e.top_logprobs] for e in entries),
    )
    stream = Joined(client.chat(logprobs=True, top_logprobs=5, temperature=0.5, stream=True))
    streamed = [
        e
        for c in stream.chunks
        for choice in c.choices
        if choice.logprobs
        for e in choice.logprobs.content or []
    ]
    report.check("the stream has the same", streamed == entries, (len(streamed), len(entries)))
    client.refused("top_logprobs without logprobs", 400, "top_logprobs", top_logprobs=3)
    client.refused("more than 20 top_logprobs", 400, "top_logprobs", logprobs=True, top_logprobs=21)


def calls_are_whole(answer):
    calls = answer.choices[0].message.tool_calls or []
    for call in calls:
        jsonschema.validate(json.loads(call.function.arguments), CALL_SCHEMAS[call.function.name])
        assert call.id.startswith("call_") and call.type == "function"
    return len(calls)


def tools(client, report):
    for seed in range(6):
        answer = client.both(
            "required", tools=TOOLS, tool_choice="required", seed=seed, max_tokens=400
        )
        choice = answer.choices[0]
        if choice.finish_reason != "length":
            report.check(
                "a required call is made",
                calls_are_whole(answer) >= 1 and choice.finish_reason == "tool_calls",
                choice,
            )
        named = client.chat(
            tools=TOOLS,
            tool_choice={"type": "function", "function": {"name": "get_time"}},
            parallel_tool_calls=False,
            seed=seed,
            max_tokens=400,
        )
        report.check(
            "a named call, and no other",
            calls_are_whole(named) == 1
            and named.choices[0].message.tool_calls[0].function.name == "get_time",
            named.choices[0],
        )
    none = client.both("none", tools=TOOLS, tool_choice="none")
    report.check("no call with none", not none.choices[0].message.tool_calls, none)
    client.both("auto", tools=TOOLS, logit_bias={client.token_id("<|tool_call>"): 7})
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_time", "arguments": '{"zone": "UTC"}'},
    }
    history = USER + [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
    ]
    client.both("results of calls", messages=history, tools=TOOLS)
    client.refused(
        "a choice that is not a tool",
        400,
        "no_such_tool",
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "no_such_tool"}},
    )
    client.refused("a choice without tools", 400, "tool_choice", tool_choice="required")


def formats(client, report):
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "person", "schema": PERSON, "strict": True},
    }
    for seed in range(6):
        answer = client.both("json_schema", response_format=schema, seed=seed, max_tokens=200)
        text = answer.choices[0].message.content
        jsonschema.validate(json.loads(text), PERSON)
        report.check(
            "an answer of the schema ends by itself",
            answer.choices[0].finish_reason == "stop",
            answer.choices[0],
        )
    soon = {client.token_id('"'): 100, client.token_id("}"): 100}
    for seed in range(6):
        text = (
            client.both(
                "json_object",
                response_format={"type": "json_object"},
                logit_bias=soon,
                seed=seed,
                max_tokens=200,
            )
            .choices[0]
            .message.content
        )
        report.check("a JSON object", isinstance(json.loads(text), dict), text)
    report.check(
        "text is no format",
        said(client.chat(response_format={"type": "text"})) == said(client.chat()),
    )
    report.check(
        "a regex",
        client.chat(extra_body={"structured_outputs": {"regex": "[ab]{3}c"}})
        .choices[0]
        .message.content
        in {a + b + c + "c" for a in "ab" for b in "ab" for c in "ab"},
    )
    report.check(
        "a choice",
        client.chat(extra_body={"structured_outputs": {"choice": ["yes", "no"]}})
        .choices[0]
        .message.content
        in ("yes", "no"),
    )
    for name, schema in (
        ("a schema that is none", {"type": "nothing"}),
        ("a broken pattern", {"type": "string", "pattern": "("}),
    ):
        client.refused(
            name,
            400,
            "schema",
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": schema, "strict": True},
            },
        )
    client.refused(
        "two formats at once",
        400,
        "structured_outputs",
        response_format={"type": "json_object"},
        extra_body={"structured_outputs": {"regex": "a"}},
    )


def thinking(client, report):
    """A bias makes the channel's markers likely; what is between them comes apart from the content."""
    bias = {client.token_id("<|channel>"): 14, client.token_id("<channel|>"): 13}
    on = {"chat_template_kwargs": {"enable_thinking": True}}
    spans = 0
    for seed in range(8):
        answer = client.both("thinking", logit_bias=bias, extra_body=on, seed=seed)
        message = answer.choices[0].message
        spans += bool(getattr(message, "reasoning_content", None))
        report.check("no marker is shown", "channel" not in (message.content or ""), message)
        report.check(
            "thoughts are counted",
            0
            <= answer.usage.completion_tokens_details.reasoning_tokens
            <= answer.usage.completion_tokens,
            answer.usage,
        )
        hidden = client.chat(
            logit_bias=bias, extra_body={**on, "include_reasoning": False}, seed=seed
        )
        report.check(
            "include_reasoning false drops the text alone",
            not getattr(hidden.choices[0].message, "reasoning_content", None)
            and hidden.choices[0].message.content == message.content
            and hidden.usage == answer.usage,
            hidden,
        )
        short = client.chat(
            logit_bias={client.token_id("<|channel>"): 14},
            extra_body={**on, "thinking_budget": 5},
            seed=seed,
            max_tokens=60,
        )
        report.check(
            "the budget of thinking",
            short.usage.completion_tokens_details.reasoning_tokens <= 5,
            short.usage,
        )
    report.check("some answers have thoughts", spans > 0)


def errors(client, report):
    for field, value in (
        ("temperature", 3),
        ("top_p", 2),
        ("max_tokens", 0),
        ("n", 1000),
        ("presence_penalty", 9),
        ("stop", ["x"] * 99),
        ("logit_bias", {"99999999": 1}),
        ("messages", []),
    ):
        client.refused(f"{field} out of range", 400, field, **{field: value})
    client.refused("a message that is none", 400, "messages[0]", messages=["hi"])
    client.refused("an unknown field", 400, "colour", extra_body={"colour": "red"})
    client.refused(
        "a picture that is none",
        400,
        "image_url",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
                ],
            }
        ],
    )
    client.refused(
        "a prompt longer than the context",
        400,
        "8192 is the most",
        messages=[{"role": "user", "content": "word " * 20000}],
    )
    client.refused("a wrong type", 400, "temperature", extra_body={"temperature": "hot"})
    try:
        client.openai.embeddings.create(model=client.model, input="x")
        report.check("embeddings are not served yet", False)
    except openai.APIStatusError as error:
        report.check("embeddings are not served yet", error.status_code == 501, error)


def completions(client, report):
    def complete(prompt="The sky", **options):
        return client.openai.completions.create(
            **{"model": client.model, "prompt": prompt, "max_tokens": 20, "seed": 3, **options}
        )

    whole = complete()
    stream = list(complete(stream=True, stream_options={"include_usage": True}))
    report.check(
        "completions: the stream says the same",
        whole.choices[0].text == "".join(c.choices[0].text for c in stream if c.choices)
        and stream[-1].usage == whole.usage,
    )
    report.check(
        "a completion",
        whole.object == "text_completion" and whole.choices[0].finish_reason in ("length", "stop"),
        whole,
    )
    ids = client.openai.post("/../tokenize", cast_to=object, body={"prompt": "The sky"})["tokens"]
    report.check("a prompt of ids", complete(prompt=ids).choices[0].text == whole.choices[0].text)
    echoed = complete(echo=True, logprobs=2)
    choice = echoed.choices[0]
    report.check("echo", choice.text == "The sky" + whole.choices[0].text, choice.text)
    lp = choice.logprobs
    report.check(
        "echo has the prompt's logprobs, the first null",
        lp.token_logprobs[0] is None
        and all(x <= 0 for x in lp.token_logprobs[1:])
        and len(lp.tokens) == len(lp.token_logprobs) == len(lp.top_logprobs) == len(lp.text_offset),
        lp,
    )
    two = complete(prompt=["The sky", "A river"], n=2)
    report.check(
        "two prompts, two answers each",
        [c.index for c in two.choices] == [0, 1, 2, 3]
        and two.choices[0].text == whole.choices[0].text,
        two,
    )


def responses(client, report):
    def respond(**options):
        return client.openai.responses.create(
            **{
                "model": client.model,
                "input": "Name three rivers.",
                "max_output_tokens": 30,
                "temperature": 0,
                **options,
            }
        )

    whole = respond()
    report.check(
        "a response",
        whole.object == "response"
        and whole.status in ("completed", "incomplete")
        and whole.usage.output_tokens > 0,
        whole,
    )
    events = list(respond(stream=True))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    report.check(
        "responses: the stream says the same", text == whole.output_text, (text, whole.output_text)
    )
    report.check(
        "the stream begins and ends",
        events[0].type == "response.created"
        and events[-1].type == "response." + whole.status
        and events[-1].response.output_text == text,
        [e.type for e in events],
    )
    report.check(
        "events are numbered", [e.sequence_number for e in events] == list(range(len(events)))
    )
    report.check(
        "instructions and messages",
        respond(
            instructions="Be brief.", input=[{"role": "user", "content": "Name three rivers."}]
        ).usage.input_tokens
        > whole.usage.input_tokens,
    )


def main():
    report = Report()
    with Daemon(TESTS / "data/goldens/dense/checkpoint", "--tp", "2") as daemon:
        client = Client(daemon, report)
        for part in (
            models,
            chat,
            several,
            stops,
            logprobs,
            tools,
            formats,
            thinking,
            errors,
            completions,
            responses,
        ):
            try:
                part(client, report)
            except Exception as error:  # one part that breaks must not hide the others
                report.check(part.__name__, False, repr(error)[:2000])
    report.close()


if __name__ == "__main__":
    main()

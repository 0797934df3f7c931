/* gateway/openai_fields.h - the members of a body of the OpenAI API, each checked to be of its
 * type. An absent or null member leaves its default; one that is not known is refused by name, as
 * is one that the API has and this server does not.
 *
 * Pointers go into the parsed body. Thread: plain values. */
#ifndef GEMMAD_GATEWAY_OPENAI_FIELDS_H
#define GEMMAD_GATEWAY_OPENAI_FIELDS_H

#include "base/json.h"

enum openai_api { OPENAI_CHAT = 1, OPENAI_COMPLETION = 2, OPENAI_RESPONSES = 4 };

struct openai_number {
    bool present;
    double value;
};

struct openai_integer {
    bool present;
    int64_t value;
};

struct openai_fields {
    const struct json_value *model, *cache_salt, *request_id; /* texts */
    bool stream, ignore_eos, include_stop, skip_special_tokens;
    const struct json_value *stream_options;
    struct openai_number temperature, top_p, min_p, repetition_penalty, frequency_penalty,
        presence_penalty;
    struct openai_integer top_k, seed, n, max_tokens, max_completion_tokens, min_tokens, priority,
        thinking_budget, top_logprobs, best_of;
    const struct json_value *logit_bias, *stop, *stop_token_ids;
    const struct json_value *logprobs; /* a boolean in a chat, else an integer */
    /* Structured output: at most one says anything. */
    const struct json_value *response_format, *structured_outputs, *guided_json, *guided_regex,
        *guided_choice, *guided_grammar, *json_schema, *grammar;
    /* OPENAI_CHAT */
    const struct json_value *messages, *tools, *tool_choice, *chat_template_kwargs,
        *mm_processor_kwargs, *reasoning_effort, *add_generation_prompt;
    bool parallel_tool_calls, include_reasoning;
    /* OPENAI_COMPLETION */
    const struct json_value *prompt, *suffix;
    bool echo;
    /* OPENAI_RESPONSES; openai_responses.h makes a chat of them */
    const struct json_value *input, *instructions, *text, *reasoning, *truncation;
    bool background;
};

/* INVALID_ARGUMENT: "temperature: must be a number" and the like. */
NODISCARD enum status openai_fields_read(struct openai_fields *out, const struct json_value *body,
                                         enum openai_api api, struct error *err);

/* For members of members. What is absent (NULL) or null leaves *out. Errors name the field. */
NODISCARD enum status openai_read_bool(const char *field, const struct json_value *value, bool *out,
                                       struct error *err);
NODISCARD enum status openai_read_integer(const char *field, const struct json_value *value,
                                          int64_t low, int64_t high, int64_t *out,
                                          struct error *err);

/* Refuses a member of the object (NULL: none) that is not among these names (NULL ends them). */
NODISCARD enum status openai_check_members(const char *field, const struct json_value *object,
                                           const char *const *names, struct error *err);

#endif

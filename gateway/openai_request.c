/* gateway/openai_request.c - one message is filled in for all prompts of a body; only its prompt
 * and its id differ between them. */
#include "gateway/openai_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/number.h"
#include "gateway/generation.h"
#include "gateway/openai_messages.h"
#include "gateway/openai_output.h"
#include "gateway/openai_prompts.h"
#include "gateway/openai_responses.h"
#include "gateway/openai_tools.h"
#include "gateway/structured_output.h"

#define MAX_BODY_DEPTH 256
#define MAX_COMPLETION_LOGPROBS 5

struct openai_sources {
    struct json_document *body;
    struct json_document *chat; /* what a response's body was made into */
    struct openai_fields fields;
    struct openai_tools tools;
    struct openai_output output;
    struct openai_prompts prompts;
    Gemmad__V1__GenerateRequest message;
    Gemmad__V1__Sampling sampling;
    Gemmad__V1__Stopping stopping;
    Gemmad__V1__ResponseOptions response;
    Gemmad__V1__Reasoning reasoning;
    Gemmad__V1__Sampling__LogitBiasEntry *biases, **bias_list;
    ProtobufCBinaryData stop[STOP_STRINGS_MAX];
    uint32_t *stop_ids;
    char id[GENERATE_MAX_ID_BYTES + 1];
    char part_id[GENERATE_MAX_ID_BYTES + 32];
};

static enum status check_model(const struct openai_fields *f, const struct gateway_model *model,
                               struct error *err)
{
    if (!f->model || json_string_is(f->model, model->name))
        return STATUS_OK;
    return error_set(err, STATUS_NOT_FOUND, "model: `%s` does not exist; `%s` is served here",
                     f->model->text, model->name);
}

// Every integer of a message is one of 32 bits; what does not fit is out of its range anyway.
static enum status take_integer(const char *field, struct openai_integer from, int64_t low,
                                int64_t high, int64_t *out, struct error *err)
{
    if (!from.present)
        return STATUS_OK;
    *out = from.value;
    if (from.value < low || from.value > high)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s=%" PRId64 ": must be from %" PRId64 " to %" PRId64, field, from.value,
                         low, high);
    return STATUS_OK;
}

static void take_numbers(struct openai_sources *s)
{
    const struct openai_fields *f = &s->fields;
    Gemmad__V1__Sampling *m = &s->sampling;
    const struct {
        const struct openai_number *from;
        protobuf_c_boolean *has;
        float *value;
    } numbers[] = {
        {&f->temperature, &m->has_temperature, &m->temperature},
        {&f->top_p, &m->has_top_p, &m->top_p},
        {&f->min_p, &m->has_min_p, &m->min_p},
        {&f->repetition_penalty, &m->has_repetition_penalty, &m->repetition_penalty},
        {&f->frequency_penalty, &m->has_frequency_penalty, &m->frequency_penalty},
        {&f->presence_penalty, &m->has_presence_penalty, &m->presence_penalty},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        *numbers[i].has = numbers[i].from->present;
        *numbers[i].value = (float)numbers[i].from->value;
    }
}

static enum status take_biases(struct openai_sources *s, struct error *err)
{
    const struct json_value *biases = s->fields.logit_bias;
    if (!biases)
        return STATUS_OK;
    s->biases = mem_zeroed(biases->n, sizeof *s->biases);
    s->bias_list = mem_zeroed(biases->n, sizeof(Gemmad__V1__Sampling__LogitBiasEntry *));
    for (uint32_t i = 0; i < biases->n; i++) {
        const struct json_member *member = &biases->members[i];
        Gemmad__V1__Sampling__LogitBiasEntry *entry = &s->biases[i];
        gemmad__v1__sampling__logit_bias_entry__init(entry);
        uint64_t id;
        const char *end;
        double bias;
        if (!number_read_digits(member->key, &id, &end) ||
            end != member->key + member->key_length || id > UINT32_MAX)
            return error_set(err, STATUS_INVALID_ARGUMENT, "logit_bias: \"%s\" is no token id",
                             member->key);
        if (!json_double(&member->value, &bias))
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "logit_bias: the bias of token %" PRIu64 " must be a number", id);
        entry->has_key = entry->has_value = true;
        entry->key = (uint32_t)id;
        entry->value = (float)bias;
        s->bias_list[i] = entry;
    }
    s->sampling.n_logit_bias = biases->n;
    s->sampling.logit_bias = s->bias_list;
    return STATUS_OK;
}

static enum status take_sampling(struct openai_sources *s, struct error *err)
{
    const struct openai_fields *f = &s->fields;
    Gemmad__V1__Sampling *m = &s->sampling;
    int64_t top_k = 0;
    int64_t n = 1;
    take_numbers(s);
    enum status st = take_integer("top_k", f->top_k, -1, INT32_MAX, &top_k, err);
    if (st == STATUS_OK)
        st = take_integer("n", f->n, 1, 128, &n, err);
    if (st == STATUS_OK && f->best_of.present && f->best_of.value != n)
        st = error_set(err, STATUS_INVALID_ARGUMENT, "best_of: must be n, or absent");
    if (st == STATUS_OK)
        st = take_biases(s, err);
    m->has_top_k = f->top_k.present;
    m->top_k = (int32_t)top_k;
    m->has_n = true;
    m->n = (uint32_t)n;
    m->has_seed = f->seed.present;
    m->seed = (uint64_t)f->seed.value;
    return st;
}

static enum status take_max_tokens(struct openai_sources *s, struct error *err)
{
    const struct openai_fields *f = &s->fields;
    bool completion = f->max_completion_tokens.present;
    int64_t max_tokens = 0;
    if (completion && f->max_tokens.present &&
        f->max_tokens.value != f->max_completion_tokens.value)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "max_tokens: differs from max_completion_tokens, which is its new name");
    enum status st = take_integer(completion ? "max_completion_tokens" : "max_tokens",
                                  completion ? f->max_completion_tokens : f->max_tokens, 1,
                                  UINT32_MAX, &max_tokens, err);
    s->stopping.has_max_tokens = completion || f->max_tokens.present;
    s->stopping.max_tokens = (uint32_t)max_tokens;
    return st;
}

static enum status take_stop(struct openai_sources *s, struct error *err)
{
    const struct json_value *stop = s->fields.stop;
    if (!stop)
        return STATUS_OK;
    const struct json_value *items = stop->type == JSON_ARRAY ? stop->items : stop;
    uint32_t n = stop->type == JSON_ARRAY ? stop->n : 1;
    if (n > STOP_STRINGS_MAX)
        return error_set(err, STATUS_INVALID_ARGUMENT, "stop: %u strings, at most %d", n,
                         STOP_STRINGS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        if (items[i].type != JSON_STRING)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "stop: must be a string or an array of strings");
        s->stop[i] = (ProtobufCBinaryData){items[i].length, (uint8_t *)items[i].text};
    }
    s->stopping.n_stop = n;
    s->stopping.stop = s->stop;
    return STATUS_OK;
}

static enum status take_stop_ids(struct openai_sources *s, struct error *err)
{
    const struct json_value *ids = s->fields.stop_token_ids;
    if (!ids)
        return STATUS_OK;
    if (ids->n > GENERATE_MAX_STOP_TOKEN_IDS)
        return error_set(err, STATUS_INVALID_ARGUMENT, "stop_token_ids: %u ids, at most %d", ids->n,
                         GENERATE_MAX_STOP_TOKEN_IDS);
    s->stop_ids = mem_zeroed(ids->n, sizeof *s->stop_ids);
    for (uint32_t i = 0; i < ids->n; i++) {
        int64_t id = -1;
        enum status st = openai_read_integer("stop_token_ids", &ids->items[i], 0, UINT32_MAX, &id,
                                             err);
        if (st == STATUS_OK && id < 0)
            st = error_set(err, STATUS_INVALID_ARGUMENT, "stop_token_ids: must be integers");
        if (st != STATUS_OK)
            return st;
        s->stop_ids[i] = (uint32_t)id;
    }
    s->stopping.n_stop_token_ids = ids->n;
    s->stopping.stop_token_ids = s->stop_ids;
    return STATUS_OK;
}

static enum status take_stopping(struct openai_sources *s, struct error *err)
{
    const struct openai_fields *f = &s->fields;
    int64_t min_tokens = 0;
    enum status st = take_max_tokens(s, err);
    if (st == STATUS_OK)
        st = take_integer("min_tokens", f->min_tokens, 0, UINT32_MAX, &min_tokens, err);
    if (st == STATUS_OK)
        st = take_stop(s, err);
    if (st == STATUS_OK)
        st = take_stop_ids(s, err);
    s->stopping.has_min_tokens = true;
    s->stopping.min_tokens = (uint32_t)min_tokens;
    s->stopping.has_ignore_eos = s->stopping.has_include_stop = true;
    s->stopping.ignore_eos = f->ignore_eos;
    s->stopping.include_stop = f->include_stop;
    return st;
}

// logprobs is a switch in a chat and a number in a completion; -1 is none.
static enum status take_logprobs(struct openai_sources *s, enum openai_api api, int64_t *out,
                                 struct error *err)
{
    const struct openai_fields *f = &s->fields;
    *out = -1;
    if (api == OPENAI_COMPLETION)
        return openai_read_integer("logprobs", f->logprobs, 0, MAX_COMPLETION_LOGPROBS, out, err);
    bool wanted = false;
    int64_t n_top = 0;
    enum status st = openai_read_bool("logprobs", f->logprobs, &wanted, err);
    if (st == STATUS_OK)
        st = take_integer("top_logprobs", f->top_logprobs, 0, SAMPLING_MAX_TOP_LOGPROBS, &n_top,
                          err);
    if (st == STATUS_OK && f->top_logprobs.present && n_top > 0 && !wanted)
        st = error_set(err, STATUS_INVALID_ARGUMENT, "top_logprobs: needs logprobs to be true");
    if (wanted)
        *out = n_top;
    return st;
}

static enum status take_response(struct openai_sources *s, struct answer_config *answer,
                                 struct error *err)
{
    const struct openai_fields *f = &s->fields;
    Gemmad__V1__ResponseOptions *m = &s->response;
    int64_t n_logprobs;
    enum status st = take_logprobs(s, answer->api, &n_logprobs, err);
    if (st != STATUS_OK)
        return st;
    answer->n_logprobs = (int32_t)n_logprobs;
    m->has_logprobs = n_logprobs >= 0;
    m->logprobs = (uint32_t)n_logprobs;
    m->has_skip_special_tokens = true;
    m->skip_special_tokens = f->skip_special_tokens;
    answer->echo = f->echo;
    if (f->echo) {
        m->has_prompt_token_ids = m->prompt_token_ids = true;
        m->has_prompt_logprobs = n_logprobs >= 0;
        m->prompt_logprobs = (int32_t)n_logprobs;
    }
    return STATUS_OK;
}

static enum status take_stream(struct openai_sources *s, struct answer_config *answer,
                               struct error *err)
{
    const struct openai_fields *f = &s->fields;
    answer->stream = f->stream;
    if (!f->stream_options)
        return STATUS_OK;
    if (!f->stream)
        return error_set(err, STATUS_INVALID_ARGUMENT, "stream_options: needs stream to be true");
    static const char *const known[] = {"include_usage", "include_obfuscation", NULL};
    enum status st = openai_check_members("stream_options", f->stream_options, known, err);
    if (st != STATUS_OK)
        return st;
    return openai_read_bool("stream_options.include_usage",
                            json_get(f->stream_options, "include_usage"), &answer->include_usage,
                            err);
}

static enum status take_reasoning(struct openai_sources *s, struct answer_config *answer,
                                  struct error *err)
{
    int64_t budget = 0;
    enum status st = take_integer("thinking_budget", s->fields.thinking_budget, 0, INT32_MAX,
                                  &budget, err);
    s->reasoning.has_split = s->reasoning.split = answer->api != OPENAI_COMPLETION;
    s->reasoning.has_thinking_budget = s->fields.thinking_budget.present;
    s->reasoning.thinking_budget = (uint32_t)budget;
    answer->include_reasoning = s->fields.include_reasoning;
    return st;
}

// The names; the message's own check of the id comes with the rest of it.
static enum status take_names(struct openai_sources *s, struct answer_config *answer,
                              struct error *err)
{
    const struct openai_fields *f = &s->fields;
    struct generate_random random = generation_draw_random();
    snprintf(s->id, sizeof s->id, "%016" PRIx64, random.id);
    if (f->request_id && f->request_id->length >= sizeof s->id - 16)
        return error_set(err, STATUS_INVALID_ARGUMENT, "request_id: %zu bytes, at most %zu",
                         f->request_id->length, sizeof s->id - 17);
    if (f->request_id && memchr(f->request_id->text, 0, f->request_id->length))
        return error_set(err, STATUS_INVALID_ARGUMENT, "request_id: control character");
    if (f->request_id && f->request_id->length > 0)
        snprintf(s->id, sizeof s->id, "%s", f->request_id->text);
    static const char *const prefixes[] = {
        [OPENAI_CHAT] = "chatcmpl-", [OPENAI_COMPLETION] = "cmpl-", [OPENAI_RESPONSES] = "resp_"};
    snprintf(answer->id, sizeof answer->id, "%s%s", prefixes[answer->api], s->id);
    answer->created = (int64_t)(clock_unix_ns() / NS_PER_S);
    if (f->cache_salt)
        s->message.cache_salt = (ProtobufCBinaryData){f->cache_salt->length,
                                                      (uint8_t *)f->cache_salt->text};
    int64_t priority = 0;
    enum status st = take_integer("priority", f->priority, INT32_MIN, INT32_MAX, &priority, err);
    s->message.priority = (int32_t)priority;
    return st;
}

static void init_message(struct openai_sources *s)
{
    gemmad__v1__generate_request__init(&s->message);
    gemmad__v1__sampling__init(&s->sampling);
    gemmad__v1__stopping__init(&s->stopping);
    gemmad__v1__response_options__init(&s->response);
    gemmad__v1__reasoning__init(&s->reasoning);
    s->message.sampling = &s->sampling;
    s->message.stopping = &s->stopping;
    s->message.response = &s->response;
    s->message.reasoning = &s->reasoning;
}

// All but the prompt.
static enum status take_options(struct openai_sources *s, struct answer_config *answer,
                                struct error *err)
{
    init_message(s);
    enum status st = check_model(&s->fields, answer->model, err);
    if (st == STATUS_OK)
        st = take_names(s, answer, err);
    if (st == STATUS_OK)
        st = take_stream(s, answer, err);
    if (st == STATUS_OK)
        st = take_sampling(s, err);
    if (st == STATUS_OK)
        st = take_stopping(s, err);
    if (st == STATUS_OK)
        st = take_response(s, answer, err);
    if (st == STATUS_OK)
        st = take_reasoning(s, answer, err);
    if (st == STATUS_OK)
        st = openai_output_read(&s->output, &s->fields, err);
    if (s->output.present)
        s->message.structured_output = &s->output.message;
    answer->n = s->sampling.n;
    return st;
}

static void set_part_id(struct openai_sources *s, size_t i, size_t n_parts)
{
    if (n_parts > 1)
        snprintf(s->part_id, sizeof s->part_id, "%s-%zu", s->id, i);
    else
        snprintf(s->part_id, sizeof s->part_id, "%s", s->id);
    s->message.request_id = (ProtobufCBinaryData){strlen(s->part_id), (uint8_t *)s->part_id};
}

// Calls that are asked for follow a grammar, and so do calls beside which something else is bound.
static bool tools_are_bound(const struct openai_sources *s)
{
    switch (s->tools.choice) {
    case OPENAI_TOOLS_NONE:
        return false;
    case OPENAI_TOOLS_REQUIRED:
    case OPENAI_TOOLS_NAMED:
        return true;
    case OPENAI_TOOLS_AUTO:
        break;
    }
    return s->tools.strict || s->output.present || !s->fields.parallel_tool_calls;
}

static enum status bind_tools(struct openai_request *out, struct error *err)
{
    struct openai_sources *s = out->sources;
    struct text_buffer tools = {0};
    struct text_buffer choice = {0};
    json_write(&tools, s->tools.tools);
    if (s->fields.tool_choice)
        json_write(&choice, s->fields.tool_choice);
    const struct grammar_request request = {
        .tools = {tools.data, tools.length},
        .tool_choice = {choice.data, choice.length},
        .parallel_tool_calls = s->fields.parallel_tool_calls,
    };
    enum status st = structured_output_compile(s->output.present ? &s->output.message : NULL,
                                               &request, out->answer.model->grammars,
                                               &out->parts[0].request.grammar, err);
    text_buffer_finish(&tools);
    text_buffer_finish(&choice);
    if (st != STATUS_OK && strncmp(err->message, "tool", 4) != 0)
        error_prefix(err, "%s", s->output.present ? s->output.field : "tools");
    return st;
}

static enum status init_chat(struct openai_request *out, struct tokenizer_encoder *encoder,
                             struct error *err)
{
    struct openai_sources *s = out->sources;
    struct generate_random random = generation_draw_random();
    enum status st = openai_tools_read(&s->tools, s->fields.tools, s->fields.tool_choice, err);
    if (st == STATUS_OK)
        st = openai_messages_check(s->fields.messages, true, err);
    if (st != STATUS_OK)
        return st;
    out->answer.parse_tools = s->tools.choice != OPENAI_TOOLS_NONE;
    struct openai_chat chat;
    openai_chat_init(&chat, &s->fields, openai_tools_for_template(&s->tools));
    set_part_id(s, 0, 1);
    out->parts = mem_zeroed(1, sizeof *out->parts);
    bool bound = tools_are_bound(s);
    if (bound) // the form of an answer without calls is part of the calls' grammar
        s->message.structured_output = NULL;
    st = generate_request_init_chat(&out->parts[0], &s->message, &chat.root, out->answer.model,
                                    encoder, &random, err);
    if (st != STATUS_OK)
        return st;
    out->n_parts = 1;
    return bound ? bind_tools(out, err) : STATUS_OK;
}

static enum status init_completion(struct openai_request *out, struct tokenizer_encoder *encoder,
                                   struct error *err)
{
    struct openai_sources *s = out->sources;
    if (s->fields.suffix && s->fields.suffix->length > 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "suffix: not supported");
    enum status st = openai_prompts_read(&s->prompts, s->fields.prompt, err);
    if (st != STATUS_OK)
        return st;
    size_t n = s->prompts.n;
    out->parts = mem_zeroed(n, sizeof *out->parts);
    for (size_t i = 0; i < n; i++) {
        struct generate_random random = generation_draw_random();
        set_part_id(s, i, n);
        openai_prompts_set(&s->prompts, i, &s->message);
        st = generate_request_init(&out->parts[i], &s->message, out->answer.model, encoder, &random,
                                   err);
        if (st != STATUS_OK)
            return st;
        out->n_parts = i + 1;
    }
    out->answer.n_prompts = (uint32_t)n;
    return STATUS_OK;
}

// A message names its fields by their place in it; in a body they stand in another one.
static void rename_field(const struct openai_sources *s, struct error *err)
{
    const char *field = s->output.field ? s->output.field : "";
    const struct {
        const char *from, *to;
    } names[] = {
        {"sampling.", ""},
        {"stopping.", ""},
        {"response.", ""},
        {"reasoning.", ""},
        {"token_ids", "prompt"},
        {"text:", "prompt:"},
        {"structured_output", field},
        {"max_tokens", s->chat ? "max_output_tokens" : "max_tokens"},
        {"response_format", s->chat ? "text.format" : "response_format"},
        {"messages", s->chat ? "input" : "messages"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t n = strlen(names[i].from);
        bool part = names[i].from[n - 1] == '.' || names[i].from[n - 1] == ':';
        if (strncmp(err->message, names[i].from, n) != 0 ||
            (!part && !strchr(":=.[", err->message[n])))
            continue;
        struct error renamed;
        error_set(&renamed, err->status, "%s%s", names[i].to, err->message + n);
        *err = renamed;
    }
}

// The parts, once the members are read. Its errors name the members as the body does.
static enum status init_parts(struct openai_request *out, struct tokenizer_encoder *encoder,
                              struct error *err)
{
    enum status st = take_options(out->sources, &out->answer, err);
    if (st == STATUS_OK)
        st = out->answer.api == OPENAI_COMPLETION ? init_completion(out, encoder, err)
                                                  : init_chat(out, encoder, err);
    if (st != STATUS_OK)
        rename_field(out->sources, err);
    return st;
}

enum status openai_request_init(struct openai_request *out, enum openai_api api, const char *body,
                                size_t n, const struct gateway_model *model,
                                struct tokenizer_encoder *encoder, struct error *err)
{
    static const struct json_limits limits = {.max_depth = MAX_BODY_DEPTH};
    *out = (struct openai_request){.answer = {.api = api, .model = model, .n_prompts = 1}};
    struct openai_sources *s = mem_zeroed(1, sizeof *s);
    out->sources = s;
    enum status st = json_parse(body, n, &limits, &s->body, err);
    if (st != STATUS_OK)
        error_prefix(err, "the body is no JSON");
    else
        st = openai_fields_read(&s->fields, json_root(s->body), api, err);
    if (st == STATUS_OK && api == OPENAI_RESPONSES)
        st = openai_responses_convert(&s->fields, &s->chat, err);
    if (st == STATUS_OK)
        st = init_parts(out, encoder, err);
    if (st != STATUS_OK)
        openai_request_finish(out);
    return st;
}

void openai_request_finish(struct openai_request *request)
{
    for (size_t i = 0; i < request->n_parts; i++)
        generate_request_finish(&request->parts[i]);
    free(request->parts);
    struct openai_sources *s = request->sources;
    openai_tools_finish(&s->tools);
    openai_output_finish(&s->output);
    openai_prompts_finish(&s->prompts);
    free(s->biases);
    free(s->bias_list);
    free(s->stop_ids);
    json_document_destroy(s->chat);
    json_document_destroy(s->body);
    free(s);
    *request = (struct openai_request){0};
}

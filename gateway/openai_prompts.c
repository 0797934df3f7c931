/* gateway/openai_prompts.c - the ids of all prompts stand in one array, one prompt behind the
 * other. */
#include "gateway/openai_prompts.h"

#include <stdlib.h>

#include "base/mem.h"

static enum status wrong_type(struct error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "prompt: must be a string, an array of strings, of token ids, or of arrays of "
                     "token ids");
}

static enum status read_ids(const struct json_value *array, uint32_t *out, struct error *err)
{
    for (uint32_t i = 0; i < array->n; i++) {
        int64_t id;
        if (!json_int64(&array->items[i], &id))
            return wrong_type(err);
        if (id < 0 || id > UINT32_MAX)
            return error_set(err, STATUS_INVALID_ARGUMENT, "prompt: %lld is no token id",
                             (long long)id);
        out[i] = (uint32_t)id;
    }
    return STATUS_OK;
}

static enum status read_id_prompts(struct openai_prompts *out, const struct json_value *prompts,
                                   uint32_t n, struct error *err)
{
    size_t n_all = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (prompts[i].type != JSON_ARRAY)
            return wrong_type(err);
        n_all += prompts[i].n;
    }
    out->ids = mem_zeroed(n, sizeof *out->ids);
    out->all_ids = mem_zeroed(n_all, sizeof *out->all_ids);
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        enum status st = read_ids(&prompts[i], out->all_ids + at, err);
        if (st != STATUS_OK)
            return st;
        gemmad__v1__token_ids__init(&out->ids[i]);
        out->ids[i].n_ids = prompts[i].n;
        out->ids[i].ids = out->all_ids + at;
        at += prompts[i].n;
    }
    out->n = n;
    return STATUS_OK;
}

enum status openai_prompts_read(struct openai_prompts *out, const struct json_value *prompt,
                                struct error *err)
{
    *out = (struct openai_prompts){0};
    if (!prompt)
        return error_set(err, STATUS_INVALID_ARGUMENT, "prompt: missing");
    if (prompt->type == JSON_STRING) {
        *out = (struct openai_prompts){.texts = prompt, .n = 1};
        return STATUS_OK;
    }
    if (prompt->type != JSON_ARRAY || prompt->n == 0)
        return wrong_type(err);
    if (prompt->items[0].type == JSON_NUMBER)
        return read_id_prompts(out, prompt, 1, err);
    if (prompt->n > OPENAI_MAX_PROMPTS)
        return error_set(err, STATUS_INVALID_ARGUMENT, "prompt: %u of them, at most %d", prompt->n,
                         OPENAI_MAX_PROMPTS);
    if (prompt->items[0].type != JSON_STRING)
        return read_id_prompts(out, prompt->items, prompt->n, err);
    for (uint32_t i = 0; i < prompt->n; i++)
        if (prompt->items[i].type != JSON_STRING)
            return wrong_type(err);
    *out = (struct openai_prompts){.texts = prompt->items, .n = prompt->n};
    return STATUS_OK;
}

void openai_prompts_finish(struct openai_prompts *prompts)
{
    free(prompts->ids);
    free(prompts->all_ids);
}

void openai_prompts_set(struct openai_prompts *prompts, size_t i,
                        Gemmad__V1__GenerateRequest *message)
{
    if (prompts->texts) {
        const struct json_value *text = &prompts->texts[i];
        message->prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TEXT;
        message->text = (ProtobufCBinaryData){text->length, (uint8_t *)text->text};
        return;
    }
    message->prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TOKEN_IDS;
    message->token_ids = &prompts->ids[i];
}

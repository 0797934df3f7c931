/* gateway/vllm_request.c - every sampling field is set: what the protocol leaves out is neutral
 * there, and not the checkpoint's default. */
#include "gateway/vllm_request.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

#define CONSTRAINT(name) VLLM__GRPC__ENGINE__SAMPLING_PARAMS__CONSTRAINT_##name
#define KIND(name) GEMMAD__V1__STRUCTURED_OUTPUT__KIND_##name

static enum status check_unsupported(const Vllm__Grpc__Engine__GenerateRequest *request,
                                     struct error *err)
{
    const struct {
        const char *field;
        bool present;
    } fields[] = {
        {"kv_transfer_params", request->kv_transfer_params != NULL},
        {"kv_transfer_params_json",
         request->has_kv_transfer_params_json && request->kv_transfer_params_json.len > 0},
        {"mm_inputs", request->mm_inputs != NULL},
        {"extra_mm_inputs", request->n_extra_mm_inputs > 0},
        {"media_refs", request->media_refs != NULL},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].present)
            return error_set(err, STATUS_INVALID_ARGUMENT, "%s: not supported", fields[i].field);
    if (request->has_data_parallel_rank && request->data_parallel_rank != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "data_parallel_rank=%d: there is one rank, 0",
                         request->data_parallel_rank);
    return STATUS_OK;
}

// The last ids of the prompt, where it is to be cut.
static enum status truncate_prompt(Gemmad__V1__TokenIds *ids, int32_t wanted,
                                   uint32_t max_prompt_tokens, struct error *err)
{
    if (wanted == 0 || wanted < -1)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "sampling_params.truncate_prompt_tokens=%d: must be -1 or above 0",
                         wanted);
    size_t n = wanted == -1 ? max_prompt_tokens : (size_t)wanted;
    if (ids->n_ids > n) {
        ids->ids += ids->n_ids - n;
        ids->n_ids = n;
    }
    return STATUS_OK;
}

static enum status take_input(struct vllm_request *out,
                              const Vllm__Grpc__Engine__GenerateRequest *request,
                              uint32_t max_prompt_tokens, struct error *err)
{
    const Vllm__Grpc__Engine__SamplingParams *params = request->sampling_params;
    bool truncate = params && params->has_truncate_prompt_tokens;
    switch (request->input_case) {
    case VLLM__GRPC__ENGINE__GENERATE_REQUEST__INPUT_TOKENIZED:
        gemmad__v1__token_ids__init(&out->ids);
        out->ids.ids = request->tokenized->input_ids;
        out->ids.n_ids = request->tokenized->n_input_ids;
        out->message.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TOKEN_IDS;
        out->message.token_ids = &out->ids;
        return truncate ? truncate_prompt(&out->ids, params->truncate_prompt_tokens,
                                          max_prompt_tokens, err)
                        : STATUS_OK;
    case VLLM__GRPC__ENGINE__GENERATE_REQUEST__INPUT_TEXT:
        if (truncate)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "sampling_params.truncate_prompt_tokens: needs tokenized input");
        out->message.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TEXT;
        out->message.text = request->text;
        return STATUS_OK;
    default:
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "input: one of tokenized and text is needed");
    }
}

static enum status take_biases(struct vllm_request *out,
                               const Vllm__Grpc__Engine__SamplingParams *params, struct error *err)
{
    size_t n = params->n_logit_bias;
    out->biases = mem_zeroed(n, sizeof *out->biases);
    out->bias_list = mem_zeroed(n, sizeof(Gemmad__V1__Sampling__LogitBiasEntry *));
    for (size_t i = 0; i < n; i++) {
        if (params->logit_bias[i]->key < 0)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "sampling_params.logit_bias: unknown token %d",
                             params->logit_bias[i]->key);
        gemmad__v1__sampling__logit_bias_entry__init(&out->biases[i]);
        out->biases[i].has_key = out->biases[i].has_value = true;
        out->biases[i].key = (uint32_t)params->logit_bias[i]->key;
        out->biases[i].value = params->logit_bias[i]->value;
        out->bias_list[i] = &out->biases[i];
    }
    out->sampling.n_logit_bias = n;
    out->sampling.logit_bias = out->bias_list;
    return STATUS_OK;
}

static void take_sampling(struct vllm_request *out,
                          const Vllm__Grpc__Engine__SamplingParams *params)
{
    Gemmad__V1__Sampling *s = &out->sampling;
    s->has_temperature = s->has_top_p = s->has_min_p = s->has_top_k = true;
    s->has_repetition_penalty = s->has_frequency_penalty = s->has_presence_penalty = true;
    s->temperature = params->has_temperature ? params->temperature : 1;
    s->top_p = params->top_p != 0 ? params->top_p : 1;
    s->top_k = params->top_k < INT32_MAX ? (int32_t)params->top_k : INT32_MAX;
    s->min_p = params->min_p;
    s->repetition_penalty = params->repetition_penalty != 0 ? params->repetition_penalty : 1;
    s->frequency_penalty = params->frequency_penalty;
    s->presence_penalty = params->presence_penalty;
    s->has_seed = params->has_seed;
    s->seed = (uint64_t)params->seed;
    s->has_n = params->n > 0;
    s->n = params->n;
}

static void take_stopping(struct vllm_request *out,
                          const Vllm__Grpc__Engine__SamplingParams *params)
{
    Gemmad__V1__Stopping *s = &out->stopping;
    s->has_max_tokens = params->has_max_tokens;
    s->max_tokens = params->max_tokens;
    s->has_min_tokens = true;
    s->min_tokens = params->min_tokens;
    s->n_stop = params->n_stop;
    s->stop = params->stop;
    s->n_stop_token_ids = params->n_stop_token_ids;
    s->stop_token_ids = params->stop_token_ids;
    s->has_ignore_eos = true;
    s->ignore_eos = params->ignore_eos;
}

static enum status take_logprobs(struct vllm_request *out,
                                 const Vllm__Grpc__Engine__SamplingParams *params,
                                 struct error *err)
{
    Gemmad__V1__ResponseOptions *r = &out->response;
    if (params->has_logprobs && params->logprobs < 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "sampling_params.logprobs=%d: must be from 0 to 20", params->logprobs);
    if (params->has_prompt_logprobs && params->prompt_logprobs < 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "sampling_params.prompt_logprobs=%d: must be from 0 to 20",
                         params->prompt_logprobs);
    r->has_logprobs = params->has_logprobs;
    r->logprobs = (uint32_t)params->logprobs;
    r->has_prompt_logprobs = params->has_prompt_logprobs;
    r->prompt_logprobs = params->prompt_logprobs;
    r->has_prompt_token_ids = true;
    r->prompt_token_ids = params->has_prompt_logprobs;
    r->has_skip_special_tokens = true;
    r->skip_special_tokens = params->skip_special_tokens;
    return STATUS_OK;
}

static enum status take_constraint(struct vllm_request *out,
                                   const Vllm__Grpc__Engine__SamplingParams *params,
                                   struct error *err)
{
    static const char any_object[] = "{\"type\":\"object\"}";
    Gemmad__V1__StructuredOutput *s = &out->structured;
    switch (params->constraint_case) {
    case CONSTRAINT(JSON_SCHEMA):
        s->kind_case = KIND(JSON_SCHEMA);
        s->json_schema = params->json_schema;
        break;
    case CONSTRAINT(REGEX):
        s->kind_case = KIND(REGEX);
        s->regex = params->regex;
        break;
    case CONSTRAINT(GRAMMAR):
        s->kind_case = KIND(GRAMMAR);
        s->grammar = params->grammar;
        break;
    case CONSTRAINT(CHOICE):
        s->kind_case = KIND(CHOICE);
        s->choice = &out->choices;
        out->choices.n_choices = params->choice->n_choices;
        out->choices.choices = params->choice->choices;
        break;
    case CONSTRAINT(JSON_OBJECT):
        if (!params->json_object)
            return STATUS_OK;
        s->kind_case = KIND(JSON_SCHEMA);
        s->json_schema = (ProtobufCBinaryData){sizeof any_object - 1, (uint8_t *)any_object};
        break;
    case CONSTRAINT(STRUCTURAL_TAG):
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "sampling_params.structural_tag: not supported; a grammar can say it");
    default:
        return STATUS_OK;
    }
    if (params->grammar_from_first_token)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "sampling_params.grammar_from_first_token: not supported, a constraint "
                         "starts behind thinking");
    out->message.structured_output = s;
    return STATUS_OK;
}

static void init_messages(struct vllm_request *out)
{
    *out = (struct vllm_request){0};
    gemmad__v1__generate_request__init(&out->message);
    gemmad__v1__sampling__init(&out->sampling);
    gemmad__v1__stopping__init(&out->stopping);
    gemmad__v1__response_options__init(&out->response);
    gemmad__v1__structured_output__init(&out->structured);
    gemmad__v1__choices__init(&out->choices);
    out->message.sampling = &out->sampling;
    out->message.stopping = &out->stopping;
    out->message.response = &out->response;
    out->stopping.has_include_stop = out->stopping.include_stop = true;
    out->response.has_text = true; // and it is false
    out->response.has_token_ids = out->response.token_ids = true;
}

enum status vllm_request_init(struct vllm_request *out,
                              const Vllm__Grpc__Engine__GenerateRequest *request,
                              uint32_t max_prompt_tokens, struct error *err)
{
    static const Vllm__Grpc__Engine__SamplingParams neutral =
        VLLM__GRPC__ENGINE__SAMPLING_PARAMS__INIT;
    const Vllm__Grpc__Engine__SamplingParams *params = request->sampling_params
                                                           ? request->sampling_params
                                                           : &neutral;
    init_messages(out);
    out->message.has_request_id = true;
    out->message.request_id = request->request_id;
    enum status st = check_unsupported(request, err);
    if (st == STATUS_OK)
        st = take_input(out, request, max_prompt_tokens, err);
    if (st == STATUS_OK)
        st = take_biases(out, params, err);
    if (st == STATUS_OK)
        st = take_logprobs(out, params, err);
    if (st == STATUS_OK)
        st = take_constraint(out, params, err);
    take_sampling(out, params);
    take_stopping(out, params);
    if (st != STATUS_OK)
        vllm_request_finish(out);
    return st;
}

void vllm_request_finish(struct vllm_request *request)
{
    free(request->biases);
    free(request->bias_list);
    *request = (struct vllm_request){0};
}

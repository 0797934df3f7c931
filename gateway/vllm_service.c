/* gateway/vllm_service.c - vllm.grpc.engine.VllmEngine without Generate: who is there, how busy it
 * is, and the tokenizer for a gateway in front. Requests without fields are not read. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway/message.h"
#include "gateway/services.h"
#include "gateway/tokenizer_archive.h"
#include "proto/vllm_engine.pb-c.h"

#define CHUNK_BYTES ((size_t)64 << 10) /* of the archive: what smg's own servers send */
#define MAX_ABORTS 1024                /* ids of a request */

static void on_health_check(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    struct gateway_state *state = rpc_call_service(call);
    Vllm__Grpc__Engine__HealthCheckResponse r = VLLM__GRPC__ENGINE__HEALTH_CHECK_RESPONSE__INIT;
    r.has_healthy = r.has_message = true;
    r.healthy = gateway_state_takes_requests(state);
    r.message = service_text(gateway_state_name(state));
    service_answer(call, &r.base);
}

static enum status abort_all(struct engine *engine, const Vllm__Grpc__Engine__AbortRequest *request,
                             struct error *err)
{
    if (request->n_request_ids > MAX_ABORTS)
        return error_set(err, STATUS_INVALID_ARGUMENT, "request_ids: %zu, at most %d",
                         request->n_request_ids, MAX_ABORTS);
    for (size_t i = 0; i < request->n_request_ids; i++) {
        const ProtobufCBinaryData *id = &request->request_ids[i];
        char *text = mem_copy(id->data, id->len);
        if (strlen(text) == id->len)
            engine_abort(engine, text, NULL); // one that is over already is fine
        free(text);
    }
    return STATUS_OK;
}

static void on_abort(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    struct gateway_state *state = rpc_call_service(call);
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    enum status st = gateway_state_loaded(state, &err);
    if (st == STATUS_OK)
        st = message_unpack(&vllm__grpc__engine__abort_request__descriptor, bytes, n, &message,
                            &err);
    if (st == STATUS_OK)
        st = abort_all(state->engine, (const Vllm__Grpc__Engine__AbortRequest *)message, &err);
    message_free(message);
    Vllm__Grpc__Engine__AbortResponse r = VLLM__GRPC__ENGINE__ABORT_RESPONSE__INIT;
    if (st == STATUS_OK)
        service_answer(call, &r.base);
    else
        rpc_call_end(call, st, err.message);
}

// The checkpoint's sampling defaults, which a gateway fills into requests; empty: it has none.
static void write_defaults(const struct generation_config *c, struct text_buffer *out)
{
    const char *before = "{";
    if (c->has_temperature) {
        text_buffer_append_format(out, "%s\"temperature\":%.9g", before, (double)c->temperature);
        before = ",";
    }
    if (c->has_top_p) {
        text_buffer_append_format(out, "%s\"top_p\":%.9g", before, (double)c->top_p);
        before = ",";
    }
    if (c->has_top_k) {
        text_buffer_append_format(out, "%s\"top_k\":%u", before, c->top_k);
        before = ",";
    }
    if (c->has_repetition_penalty)
        text_buffer_append_format(out, "%s\"repetition_penalty\":%.9g", before,
                                  (double)c->repetition_penalty);
    if (out->length > 0)
        text_buffer_append_text(out, "}");
}

static void answer_model_info(struct rpc_call *call, const struct gateway_model *model)
{
    Vllm__Grpc__Engine__GetModelInfoResponse r = VLLM__GRPC__ENGINE__GET_MODEL_INFO_RESPONSE__INIT;
    struct text_buffer defaults = {0};
    write_defaults(&model->generation, &defaults);
    int32_t *eos_ids = mem_zeroed(model->n_stop_ids, sizeof *eos_ids);
    for (size_t i = 0; i < model->n_stop_ids; i++)
        eos_ids[i] = (int32_t)model->stop_ids[i];
    r.has_model_path = r.has_is_generation = r.has_max_context_length = r.has_vocab_size = true;
    r.has_served_model_name = r.has_tokenizer_path = r.has_model_type = true;
    r.has_bos_token_id = r.has_max_req_input_len = r.has_default_sampling_params_json = true;
    r.model_path = r.tokenizer_path = service_text(model->folder);
    r.is_generation = true;
    r.max_context_length = model->max_positions;
    r.vocab_size = model->vocab_size;
    r.served_model_name = service_text(model->name);
    r.model_type = service_text(model->model_type);
    r.n_eos_token_ids = model->n_stop_ids;
    r.eos_token_ids = eos_ids;
    r.bos_token_id = model->bos_id != TOKEN_NONE ? (int32_t)model->bos_id : 0;
    r.max_req_input_len = (int32_t)model->max_positions - 1;
    r.default_sampling_params_json = (ProtobufCBinaryData){defaults.length,
                                                           (uint8_t *)defaults.data};
    service_answer(call, &r.base);
    text_buffer_finish(&defaults);
    free(eos_ids);
}

static void on_get_model_info(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    struct gateway_state *state = rpc_call_service(call);
    struct error err = {0};
    if (gateway_state_loaded(state, &err) == STATUS_OK)
        answer_model_info(call, &state->model);
    else
        rpc_call_end(call, err.status, err.message);
}

static void on_get_server_info(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    struct gateway_state *state = rpc_call_service(call);
    Vllm__Grpc__Engine__GetServerInfoResponse r =
        VLLM__GRPC__ENGINE__GET_SERVER_INFO_RESPONSE__INIT;
    r.has_is_paused = r.has_uptime_seconds = r.has_server_type = r.has_data_parallel_size = true;
    r.is_paused = !gateway_state_takes_requests(state);
    r.uptime_seconds = (double)(clock_now_ns() - state->started_ns) / (double)NS_PER_S;
    r.server_type = service_text("vllm-grpc");
    r.data_parallel_size = 1;
    struct error err;
    if (gateway_state_loaded(state, &err) == STATUS_OK) {
        struct engine_stats stats;
        engine_get_stats(state->engine, &stats);
        r.has_active_requests = r.has_block_size = r.has_model_dtype = r.has_max_num_seqs = true;
        r.has_constrained_decoding_start = true;
        r.active_requests = stats.n_running + stats.n_waiting;
        r.block_size = (int32_t)state->model.page_tokens;
        r.model_dtype = service_text(strcmp(state->model.compute, "bf16") == 0 ? "torch.bfloat16"
                                                                               : "torch.float32");
        r.max_num_seqs = (int32_t)state->model.max_seqs;
        r.constrained_decoding_start = service_text("after_reasoning");
    }
    service_answer(call, &r.base);
}

// Of the group that is fullest: it is the one that ends first.
static void fill_load(Vllm__Grpc__Engine__SchedulerLoad *load, const struct engine_stats *stats,
                      const struct gateway_model *model)
{
    uint32_t fullest = 0;
    double usage = -1;
    for (uint32_t g = 0; g < stats->n_groups; g++) {
        double used = 1 - (double)stats->n_free_pages[g] / (double)stats->n_pages[g];
        if (used > usage) {
            usage = used;
            fullest = g;
        }
    }
    load->has_dp_rank = load->has_num_running_reqs = load->has_num_waiting_reqs = true;
    load->has_num_total_reqs = load->has_num_used_tokens = true;
    load->has_max_total_num_tokens = load->has_token_usage = true;
    load->has_max_running_requests = true;
    load->num_running_reqs = (int32_t)stats->n_running;
    load->num_waiting_reqs = (int32_t)stats->n_waiting;
    load->num_total_reqs = (int32_t)(stats->n_running + stats->n_waiting);
    uint32_t n_used = stats->n_pages[fullest] - stats->n_free_pages[fullest];
    load->num_used_tokens = (int32_t)(n_used * model->page_tokens);
    load->max_total_num_tokens = (int32_t)(stats->n_pages[fullest] * model->page_tokens);
    load->token_usage = usage > 0 ? usage : 0;
    load->max_running_requests = (int32_t)model->max_seqs;
}

static void on_get_loads(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    struct gateway_state *state = rpc_call_service(call);
    struct error err = {0};
    if (gateway_state_loaded(state, &err) != STATUS_OK) {
        rpc_call_end(call, err.status, err.message);
        return;
    }
    struct engine_stats stats;
    engine_get_stats(state->engine, &stats);
    Vllm__Grpc__Engine__SchedulerLoad load = VLLM__GRPC__ENGINE__SCHEDULER_LOAD__INIT;
    Vllm__Grpc__Engine__SchedulerLoad *loads = &load;
    fill_load(&load, &stats, &state->model);
    char timestamp[32];
    time_t seconds = (time_t)(clock_unix_ns() / NS_PER_S);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(timestamp, sizeof timestamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
    Vllm__Grpc__Engine__GetLoadsResponse r = VLLM__GRPC__ENGINE__GET_LOADS_RESPONSE__INIT;
    r.has_timestamp = r.has_version = r.has_dp_rank_count = true;
    r.timestamp = service_text(timestamp);
    r.version = service_text(state->version);
    r.dp_rank_count = 1;
    r.n_loads = 1;
    r.loads = &loads;
    service_answer(call, &r.base);
}

struct tokenizer_download {
    const struct tokenizer_archive *archive;
    size_t n_sent_bytes;
};

static void on_get_tokenizer(struct rpc_call *call, const uint8_t *bytes, size_t n)
{
    (void)bytes, (void)n;
    struct gateway_state *state = rpc_call_service(call);
    struct error err = {0};
    const struct tokenizer_archive *archive;
    enum status st = gateway_state_loaded(state, &err);
    if (st == STATUS_OK)
        st = gateway_state_archive(state, &archive, &err);
    if (st != STATUS_OK) {
        rpc_call_end(call, st, err.message);
        return;
    }
    struct tokenizer_download *download = mem_zeroed(1, sizeof *download);
    download->archive = archive;
    rpc_call_set_state(call, download);
}

static void next_of_tokenizer(struct rpc_call *call)
{
    struct tokenizer_download *download = rpc_call_state(call);
    const struct text_buffer *archive = &download->archive->bytes;
    size_t n = archive->length - download->n_sent_bytes;
    bool last = n <= CHUNK_BYTES;
    if (!last)
        n = CHUNK_BYTES;
    Smg__Grpc__Common__GetTokenizerChunk chunk = SMG__GRPC__COMMON__GET_TOKENIZER_CHUNK__INIT;
    chunk.has_data = true;
    chunk.data = (ProtobufCBinaryData){n, (uint8_t *)archive->data + download->n_sent_bytes};
    chunk.has_sha256 = last;
    chunk.sha256 = service_text(download->archive->sha256);
    struct text_buffer message = {0};
    message_pack(&chunk.base, &message);
    rpc_call_reply(call, &message);
    download->n_sent_bytes += n;
    if (last)
        rpc_call_end(call, STATUS_OK, "");
}

size_t vllm_service_methods(struct gateway_state *state, struct rpc_method *out)
{
    const struct rpc_method methods[] = {
        vllm_generate_method(state),
        {.path = "/vllm.grpc.engine.VllmEngine/HealthCheck", .on_request = on_health_check},
        {.path = "/vllm.grpc.engine.VllmEngine/Abort", .on_request = on_abort},
        {.path = "/vllm.grpc.engine.VllmEngine/GetModelInfo", .on_request = on_get_model_info},
        {.path = "/vllm.grpc.engine.VllmEngine/GetServerInfo", .on_request = on_get_server_info},
        {.path = "/vllm.grpc.engine.VllmEngine/GetLoads", .on_request = on_get_loads},
        {
            .path = "/vllm.grpc.engine.VllmEngine/GetTokenizer",
            .heavy = true,
            .on_request = on_get_tokenizer,
            .next = next_of_tokenizer,
            .free_state = free,
        },
    };
    size_t n = sizeof methods / sizeof methods[0];
    for (size_t i = 0; i < n; i++) {
        out[i] = methods[i];
        out[i].service = state;
    }
    return n;
}

/* daemon/coordinator.c - one loop over signals, workers, and news from other threads.
 *
 * Other threads (texts, engine, gateway) never act: they set a flag and write to the event
 * descriptor. So every decision here is made on the main thread, and nothing needs a lock. */
#include "daemon/coordinator.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/backend.h"
#include "daemon/build_id.h"
#include "daemon/notify.h"
#include "daemon/places.h"
#include "daemon/served_media.h"
#include "daemon/served_text.h"
#include "daemon/signals.h"
#include "daemon/supervisor.h"
#include "gateway/gateway.h"
#include "kernels/ops.h"

// For streams whose last words are still on their way to the client.
#define GRACE_NS (2 * NS_PER_S)
// For workers to leave when they were asked to; then they are killed.
#define LEAVE_NS (5 * NS_PER_S)
// How often it looks whether the engine still trusts its workers.
#define LOOK_NS NS_PER_S

enum phase { PHASE_LOADING, PHASE_SERVING, PHASE_DRAINING, PHASE_STOPPING };

static const char *const phase_names[] = {"loading", "serving", "draining", "stopping"};

struct coordinator {
    const struct daemon_config *config;
    struct serving_plan *plan;
    const struct auth *auth; // NULL: everybody may call
    int signals;
    int news; // eventfd
    enum phase phase;
    uint64_t started_ns;
    uint64_t drain_deadline_ns;
    uint64_t progress_told_ns;
    struct error failure; // its status is OK unless something ended it

    struct gateway *gateway;
    struct supervisor *supervisor;
    struct media_decoder *media; // NULL: none are served
    struct backend *backend;     // of the group that is up, or was last
    struct engine *engine;
    bool group_up;
    char kernels[32];

    pthread_t text_thread;
    bool text_joined;
    struct served_text *text; // with the two below: the text thread's until it is joined
    enum status text_status;
    struct error text_error;
    atomic_bool text_done, drained, drain_asked;
};

static void tell_main(struct coordinator *c)
{
    uint64_t one = 1;
    ssize_t written = write(c->news, &one, sizeof one);
    (void)written; // full: it will look anyway
}

static void fail(struct coordinator *c, const struct error *cause)
{
    if (c->failure.status == STATUS_OK)
        c->failure = *cause;
    c->phase = PHASE_STOPPING;
}

static void *load_text(void *argument)
{
    struct coordinator *c = argument;
    c->text_status = served_text_load(c->config, c->plan, &c->text, &c->text_error);
    atomic_store(&c->text_done, true);
    tell_main(c);
    return NULL;
}

static void on_drained(void *context)
{
    struct coordinator *c = context;
    atomic_store(&c->drained, true);
    tell_main(c);
}

static void on_drain_rpc(void *context)
{
    struct coordinator *c = context;
    atomic_store(&c->drain_asked, true);
    tell_main(c);
}

// Placeholders of what the model has no encoder for are none.
static struct media_token_ids media_ids(const struct model_config *model)
{
    bool images = encoder_exists(model, ENCODER_VISION);
    bool audio = encoder_exists(model, ENCODER_AUDIO);
    return (struct media_token_ids){
        .image_token_id = images ? model->image_token_id : TOKEN_NONE,
        .video_token_id = images ? model->video_token_id : TOKEN_NONE,
        .audio_token_id = audio ? model->audio_token_id : TOKEN_NONE,
        .boi_token_id = model->boi_token_id,
        .eoi_token_id = model->eoi_token_id,
        .boa_token_id = model->boa_token_id,
        .eoa_token_id = model->eoa_token_id,
    };
}

static struct gateway_model describe_model(const struct coordinator *c)
{
    const struct model_config *model = checkpoint_config(c->plan->checkpoint);
    const struct worker_load *load = &c->plan->loads[0];
    return (struct gateway_model){
        .name = c->plan->model_name,
        .folder = c->plan->model_dir,
        .model_type = model->model_type,
        .tokenizer = c->text->tokenizer,
        .chat_template = c->text->template,
        .grammars = c->text->grammars,
        .chat_template_source = c->text->template_source,
        .n_chat_template_source = c->text->n_template_source,
        .special_tokens_in_content = c->config->special_tokens_in_content ==
                                     CONFIG_SPECIAL_TOKENS_PARSE,
        .bos_id = c->text->bos_id,
        .bos_text = c->text->bos_token,
        .stop_ids = c->text->stop_ids,
        .n_stop_ids = c->text->n_stop_ids,
        .soft_token_ids = c->text->soft_token_ids,
        .n_soft_token_ids = c->text->n_soft_token_ids,
        .media_decoder = c->media,
        .media_token_ids = media_ids(model),
        .image_max_tokens = c->config->media_tokens ? c->config->media_tokens
                                                    : model->vision_soft_tokens_per_image,
        .media_max_bytes = c->config->media_max_file,
        .generation = *checkpoint_generation_config(c->plan->checkpoint),
        .vocab_size = model->vocab_size,
        .max_positions = load->limits.max_positions,
        .n_layers = model->num_hidden_layers,
        .hidden_size = model->hidden_size,
        .world_size = c->plan->world_size,
        .compute = c->plan->compute == COMPUTE_BF16 ? "bf16" : "f32",
        .kernels = c->kernels,
        .max_seqs = load->limits.max_slots,
        .max_step_tokens = load->limits.max_rows,
        .page_tokens = load->limits.page_tokens,
    };
}

static void announce(const struct coordinator *c)
{
    size_t n = gateway_n_addresses(c->gateway);
    const char *addresses[CONFIG_MAX_LISTENERS + 1];
    char http[300];
    for (size_t i = 0; i < n && i < CONFIG_MAX_LISTENERS; i++)
        addresses[i] = gateway_address(c->gateway, i);
    if (gateway_http_address(c->gateway)) {
        snprintf(http, sizeof http, "http://%s", gateway_http_address(c->gateway));
        addresses[n++] = http;
    }
    for (size_t i = 0; i < n; i++)
        log_info("ready", "address=%s start_ms=%" PRIu64, addresses[i],
                 (clock_now_ns() - c->started_ns) / NS_PER_MS);
    notify_status("serving %s on %s", c->plan->model_name, n ? addresses[0] : "nothing");
    notify_ready();
    notify_ready_fd(c->config->ready_fd, addresses, n);
}

// Once the workers are up and the texts are loaded, in either order.
static void serve_if_complete(struct coordinator *c)
{
    if (c->phase != PHASE_LOADING || !c->text_joined || !c->group_up)
        return;
    const struct model_config *model_config = checkpoint_config(c->plan->checkpoint);
    const struct engine_config config = {
        .limits = c->plan->loads[0].limits,
        .kv = c->plan->memory.layout.params,
        .backend = backend_for_engine(c->backend),
        .tokenizer = c->text->tokenizer,
        .vocabulary = c->text->vocabulary,
        .max_queued = c->config->max_queued,
        .max_chunk_rows = c->config->max_chunk_tokens,
        .encoders = {.model = model_config,
                     .n_tokens = encoder_n_tokens,
                     .count_units = encoder_count_units,
                     .bidirectional_images = model_config->bidirectional_images},
        .max_step_stretch = (float)c->config->max_step_stretch,
    };
    struct error err = {0};
    if (engine_create(&config, &c->engine, &err) != STATUS_OK) {
        fail(c, &err);
        return;
    }
    struct gateway_model model = describe_model(c);
    gateway_set_model(c->gateway, &model, c->engine);
    c->phase = PHASE_SERVING;
    announce(c);
}

static void on_up(void *context, const int *files, const struct worker_ready *ready,
                  uint32_t world_size)
{
    struct coordinator *c = context;
    (void)world_size;
    struct error err = {0};
    struct backend *backend;
    if (backend_create(files, &c->plan->loads[0].limits, c->plan->world_size, &backend, &err) !=
        STATUS_OK) {
        fail(c, &err);
        return;
    }
    backend_destroy(c->backend); // the engine let go of it in engine_backend_lost
    c->backend = backend;
    c->group_up = true;
    memcpy(c->kernels, ready[0].kernels, sizeof c->kernels);
    if (c->engine) {
        struct engine_backend engine_backend = backend_for_engine(backend);
        engine_backend_reset(c->engine, &engine_backend);
        gateway_set_serving(c->gateway, true);
        notify_status("serving %s", c->plan->model_name);
        log_info("recovered", "model=%s", c->plan->model_name);
    }
}

static void on_lost(void *context, const struct error *cause)
{
    struct coordinator *c = context;
    c->group_up = false;
    notify_status("the workers died and are started again: %s", cause->message);
    if (!c->engine)
        return;
    gateway_set_serving(c->gateway, false);
    struct error told;
    error_set(&told, STATUS_UNAVAILABLE, "the workers were lost: %s", cause->message);
    engine_backend_lost(c->engine, &told);
}

static void on_failed(void *context, const struct error *cause)
{
    struct coordinator *c = context;
    fail(c, cause);
}

static void on_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct coordinator *c = context;
    uint64_t now = clock_now_ns();
    if (total_bytes == 0 || now - c->progress_told_ns < NS_PER_S)
        return;
    c->progress_told_ns = now;
    notify_status("loading %s: %" PRIu64 "%%", c->plan->model_name,
                  (uint64_t)((double)done_bytes * 100 / (double)total_bytes));
    log_info("load", "done_bytes=%" PRIu64 " total_bytes=%" PRIu64, done_bytes, total_bytes);
}

static enum status listen_now(struct coordinator *c, struct error *err)
{
    const struct gateway_config config = {
        .listen = (const char *const *)c->config->listen.addresses,
        .n_listen = c->config->listen.n,
        .http_listen = config_has_http(c->config) ? c->config->http_listen : NULL,
        .version = build_version,
        .auth = c->auth,
        .on_drain = on_drain_rpc,
        .context = c,
    };
    enum status st = gateway_create(&config, &c->gateway, err);
    for (size_t i = 0; st == STATUS_OK && i < gateway_n_addresses(c->gateway); i++)
        log_info("listen", "address=%s", gateway_address(c->gateway, i));
    if (st == STATUS_OK && gateway_http_address(c->gateway))
        log_info("listen", "address=http://%s", gateway_http_address(c->gateway));
    return st;
}

static enum status start_workers(struct coordinator *c, struct error *err)
{
    char *worker;
    enum status st = places_worker(&worker, err);
    if (st != STATUS_OK)
        return st;
    struct supervisor_config config = {
        .worker_path = worker,
        .build_id = build_id,
        .loads = c->plan->loads,
        .world_size = c->plan->world_size,
        .load_timeout_ns = c->config->load_timeout_ns,
        .max_restarts = c->config->max_restarts,
        .restart_window_ns = c->config->restart_window_ns,
        .events = {on_up, on_lost, on_failed, on_progress},
        .context = c,
    };
    memcpy(config.file_bytes, c->plan->file_bytes, sizeof config.file_bytes);
    st = supervisor_create(&config, &c->supervisor, err);
    free(worker);
    if (st == STATUS_OK)
        supervisor_start(c->supervisor, clock_now_ns());
    return st;
}

static enum status start(struct coordinator *c, struct error *err)
{
    c->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->news < 0)
        return error_set(err, STATUS_INTERNAL, "eventfd: %s", strerror(errno));
    enum status st = listen_now(c, err);
    if (st == STATUS_OK)
        st = served_media_start(c->config, checkpoint_config(c->plan->checkpoint), &c->media, err);
    if (st == STATUS_OK)
        st = start_workers(c, err);
    if (st != STATUS_OK)
        return st;
    notify_status("loading %s", c->plan->model_name);
    if (pthread_create(&c->text_thread, NULL, load_text, c) != 0)
        return error_set(err, STATUS_INTERNAL, "cannot start a thread");
    return STATUS_OK;
}

static void begin_drain(struct coordinator *c, int signal)
{
    log_info("drain", "signal=%s timeout_ms=%" PRIu64, strsignal(signal),
             c->config->drain_timeout_ns / NS_PER_MS);
    notify_stopping();
    notify_status("draining");
    c->phase = PHASE_DRAINING;
    c->drain_deadline_ns = clock_now_ns() + c->config->drain_timeout_ns;
    gateway_drain(c->gateway, on_drained, c);
}

static void log_state(struct coordinator *c)
{
    struct engine_stats stats = {0};
    if (c->engine)
        engine_get_stats(c->engine, &stats);
    log_info("state",
             "phase=%s workers_up=%d waiting=%u running=%u steps=%" PRIu64 " requests=%" PRIu64
             " generated_tokens=%" PRIu64 " preemptions=%" PRIu64,
             phase_names[c->phase], c->group_up, stats.n_waiting, stats.n_running,
             stats.n_steps_total, stats.n_requests_total, stats.n_generated_tokens_total,
             stats.n_preemptions_total);
    for (uint32_t g = 0; g < stats.n_groups; g++)
        log_info("pages", "group=%u free_pages=%u total_pages=%u", g, stats.n_free_pages[g],
                 stats.n_pages[g]);
    supervisor_report(c->supervisor);
}

static void take_signals(struct coordinator *c)
{
    int signal;
    while ((signal = signals_next(c->signals)) != 0) {
        if (signal == SIGUSR1) {
            log_state(c);
        } else if (c->phase == PHASE_SERVING) {
            begin_drain(c, signal);
        } else {
            log_info("stop", "signal=%s phase=%s", strsignal(signal), phase_names[c->phase]);
            c->phase = PHASE_STOPPING;
        }
    }
}

static void take_news(struct coordinator *c)
{
    uint64_t count;
    ssize_t n = read(c->news, &count, sizeof count);
    (void)n;
    if (atomic_load(&c->text_done) && !c->text_joined) {
        pthread_join(c->text_thread, NULL);
        c->text_joined = true;
        if (c->text_status != STATUS_OK)
            fail(c, &c->text_error);
    }
    if (atomic_exchange(&c->drain_asked, false)) {
        log_info("drain", "asked=rpc");
        notify_status("drained by request; running");
    }
    if (c->phase == PHASE_DRAINING && atomic_load(&c->drained)) {
        log_info("drained", "phase=draining");
        c->phase = PHASE_STOPPING;
    }
}

// What happens because of time alone.
static void take_time(struct coordinator *c, uint64_t now_ns)
{
    if (c->phase == PHASE_DRAINING && now_ns >= c->drain_deadline_ns) {
        log_warn("drain_timeout", "timeout_ms=%" PRIu64, c->config->drain_timeout_ns / NS_PER_MS);
        c->phase = PHASE_STOPPING;
    }
    if (!c->engine || !c->group_up)
        return;
    struct engine_stats stats;
    engine_get_stats(c->engine, &stats);
    if (stats.backend_up)
        return;
    struct error cause = {0};
    error_set(&cause, STATUS_INTERNAL, "the engine cannot use what the workers answer");
    supervisor_distrust(c->supervisor, &cause, now_ns);
}

static void wait_for_something(struct coordinator *c)
{
    uint64_t now = clock_now_ns();
    uint64_t until = supervisor_deadline_ns(c->supervisor);
    if (c->phase == PHASE_DRAINING && c->drain_deadline_ns < until)
        until = c->drain_deadline_ns;
    if (c->engine && now + LOOK_NS < until)
        until = now + LOOK_NS;
    int timeout = -1;
    if (until != UINT64_MAX)
        timeout = until > now ? (int)((until - now) / NS_PER_MS % INT32_MAX) + 1 : 0;
    struct pollfd fds[] = {
        {.fd = c->signals, .events = POLLIN},
        {.fd = c->news, .events = POLLIN},
        {.fd = supervisor_fd(c->supervisor), .events = POLLIN},
    };
    poll(fds, 3, timeout);
}

static void loop(struct coordinator *c)
{
    while (c->phase != PHASE_STOPPING) {
        wait_for_something(c);
        uint64_t now = clock_now_ns();
        take_signals(c);
        take_news(c);
        if (c->phase == PHASE_STOPPING)
            return;
        supervisor_handle(c->supervisor, now);
        serve_if_complete(c);
        take_time(c, now);
    }
}

// Workers are asked to leave, and killed when they do not.
static void end_workers(struct coordinator *c)
{
    if (!c->supervisor)
        return;
    uint64_t deadline = clock_now_ns() + LEAVE_NS;
    supervisor_stop(c->supervisor);
    while (supervisor_n_alive(c->supervisor) > 0 && clock_now_ns() < deadline) {
        struct pollfd ready = {.fd = supervisor_fd(c->supervisor), .events = POLLIN};
        poll(&ready, 1, 100);
        supervisor_handle(c->supervisor, clock_now_ns());
    }
    supervisor_destroy(c->supervisor);
    c->supervisor = NULL;
}

// In an order in which nobody uses what is gone: calls, engine, workers, then what they shared.
static void stop(struct coordinator *c)
{
    notify_stopping();
    bool drained = atomic_load(&c->drained);
    if (c->gateway)
        gateway_shutdown(c->gateway, drained ? GRACE_NS : 0);
    engine_destroy(c->engine);
    end_workers(c);
    if (c->text_thread && !c->text_joined)
        pthread_join(c->text_thread, NULL);
    gateway_destroy(c->gateway);
    backend_destroy(c->backend);
    served_text_destroy(c->text);
    media_decoder_destroy(c->media);
    if (c->news >= 0)
        close(c->news);
}

enum status coordinator_run(const struct daemon_config *config, struct serving_plan *plan,
                            const struct auth *auth, int signals_fd, struct error *err)
{
    struct coordinator *c = mem_zeroed(1, sizeof *c);
    c->config = config;
    c->plan = plan;
    c->auth = auth;
    c->signals = signals_fd;
    c->news = -1;
    c->started_ns = clock_now_ns();
    serving_plan_log(plan);
    struct error start_error = {0};
    if (start(c, &start_error) != STATUS_OK)
        fail(c, &start_error);
    loop(c);
    stop(c);
    struct error failure = c->failure;
    free(c);
    if (failure.status == STATUS_OK) {
        log_info("stopped", "status=OK");
        return STATUS_OK;
    }
    if (err)
        *err = failure;
    return failure.status;
}

/* daemon/supervisor.c - a state machine over control sockets. A worker's death is the end of its
 * socket: the kernel closes it however the process ended, and nobody else holds it. The cause is
 * the worker's own Fault if it sent one, else how the process ended.
 *
 * Invariant: outside of supervisor_handle either no worker has a process (DOWN, FAILED) or, unless
 * stopping, all of them have. */
#include "daemon/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/worker_process.h"

#define FIRST_PAUSE_NS (100 * NS_PER_MS)
#define MAX_PAUSE_NS (10 * NS_PER_S)

enum worker_state {
    WORKER_ABSENT,  /* no process */
    WORKER_STARTED, /* its Hello has not come */
    WORKER_LOADING,
    WORKER_SERVING,
};

static const char *const worker_state_names[] = {"absent", "started", "loading", "serving"};

struct worker {
    enum worker_state state;
    pid_t pid;
    int control;      // our end
    uint64_t news_ns; // when it last said something while it loads
    struct worker_progress progress;
    struct worker_ready ready;
};

enum group_state {
    GROUP_DOWN, /* starts at restart_ns */
    GROUP_LOADING,
    GROUP_UP,
    GROUP_STOPPING,
    GROUP_FAILED,
};

struct supervisor {
    struct supervisor_config c;
    struct worker_load *loads; // [world_size]
    char *worker_path;
    char *build_id;
    int epoll;
    enum group_state state;
    bool was_up; // once: only then are there restarts
    uint64_t restart_ns;
    uint64_t *deaths_ns; // [max_restarts + 1], the latest ones, a ring
    uint64_t n_deaths;
    int files[CONTROL_N_FILES]; // -1: none
    struct worker workers[WORKER_MAX_RANKS];
};

enum status supervisor_create(const struct supervisor_config *config, struct supervisor **out,
                              struct error *err)
{
    CHECK(config->world_size >= 1 && config->world_size <= WORKER_MAX_RANKS);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        return error_set(err, STATUS_INTERNAL, "epoll_create1: %s", strerror(errno));
    struct supervisor *s = mem_zeroed(1, sizeof *s);
    s->c = *config;
    s->epoll = epoll;
    s->worker_path = mem_strdup(config->worker_path);
    s->build_id = mem_strdup(config->build_id);
    s->loads = mem_zeroed(config->world_size, sizeof *s->loads);
    memcpy(s->loads, config->loads, config->world_size * sizeof *s->loads);
    s->deaths_ns = mem_zeroed((size_t)config->max_restarts + 1, sizeof *s->deaths_ns);
    s->restart_ns = UINT64_MAX;
    for (int i = 0; i < CONTROL_N_FILES; i++)
        s->files[i] = -1;
    *out = s;
    return STATUS_OK;
}

static void close_files(struct supervisor *s)
{
    for (int i = 0; i < CONTROL_N_FILES; i++) {
        if (s->files[i] >= 0)
            close(s->files[i]);
        s->files[i] = -1;
    }
}

// Ends the process if there is one; its wait status.
static int end_worker(struct worker *worker)
{
    if (worker->state == WORKER_ABSENT)
        return 0;
    int wait_status = worker_process_kill(worker->pid);
    close(worker->control); // also takes it out of the epoll set
    *worker = (struct worker){0};
    return wait_status;
}

void supervisor_destroy(struct supervisor *s)
{
    if (!s)
        return;
    for (uint32_t rank = 0; rank < s->c.world_size; rank++)
        end_worker(&s->workers[rank]);
    close_files(s);
    close(s->epoll);
    free(s->loads);
    free(s->deaths_ns);
    free(s->worker_path);
    free(s->build_id);
    free(s);
}

static enum status start_worker(struct supervisor *s, uint32_t rank, uint64_t now_ns,
                                struct error *err)
{
    struct worker *worker = &s->workers[rank];
    int ends[2];
    enum status st = control_pair(ends, err);
    if (st != STATUS_OK)
        return st;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = rank};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, ends[0], &event) != 0)
        st = error_set(err, STATUS_INTERNAL, "epoll_ctl: %s", strerror(errno));
    if (st == STATUS_OK)
        st = worker_process_start(s->worker_path, rank, ends[1], &worker->pid, err);
    close(ends[1]);
    if (st != STATUS_OK) {
        close(ends[0]);
        return st;
    }
    worker->control = ends[0];
    worker->state = WORKER_STARTED;
    worker->news_ns = now_ns;
    log_info("worker_start", "worker=%u pid=%d", rank, (int)worker->pid);
    return STATUS_OK;
}

static enum status start_group(struct supervisor *s, uint64_t now_ns, struct error *err)
{
    static const char *const names[CONTROL_N_FILES] = {"gemmad-steps", "gemmad-results",
                                                       "gemmad-collectives", "gemmad-media"};
    for (int i = 0; i < CONTROL_N_FILES; i++) {
        enum status st = control_create_file(names[i], s->c.file_bytes[i], &s->files[i], err);
        if (st != STATUS_OK)
            return st;
    }
    for (uint32_t rank = 0; rank < s->c.world_size; rank++) {
        enum status st = start_worker(s, rank, now_ns, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

// Deaths within the window, this one included; the array keeps just enough of them.
static uint32_t count_death(struct supervisor *s, uint64_t now_ns)
{
    size_t capacity = (size_t)s->c.max_restarts + 1;
    s->deaths_ns[s->n_deaths++ % capacity] = now_ns;
    uint32_t n = 0;
    for (size_t i = 0; i < capacity && i < s->n_deaths; i++)
        n += now_ns - s->deaths_ns[i] <= s->c.restart_window_ns;
    return n;
}

static void give_up(struct supervisor *s, const struct error *cause)
{
    s->state = GROUP_FAILED;
    s->restart_ns = UINT64_MAX;
    s->c.events.on_failed(s->c.context, cause);
}

static void plan_restart(struct supervisor *s, uint64_t now_ns, bool was_up,
                         const struct error *cause)
{
    if (was_up)
        s->c.events.on_lost(s->c.context, cause);
    uint32_t n = count_death(s, now_ns);
    if (n > s->c.max_restarts) {
        struct error last = *cause;
        error_prefix(&last, "the workers died %u times within %" PRIu64 " s, at last", n,
                     s->c.restart_window_ns / NS_PER_S);
        give_up(s, &last);
        return;
    }
    uint64_t pause_ns = FIRST_PAUSE_NS / 2 << (n < 8 ? n : 8); // doubles with each
    if (pause_ns > MAX_PAUSE_NS)
        pause_ns = MAX_PAUSE_NS;
    s->state = GROUP_DOWN;
    s->restart_ns = now_ns + pause_ns;
    log_info("group_restart", "in_ms=%" PRIu64 " deaths=%u max_restarts=%u", pause_ns / NS_PER_MS,
             n, s->c.max_restarts);
}

// Something is wrong with one worker (or with starting it): all of them end. cause->message is
// empty when the end of the process is all that is known. final: a restart would not help.
static void group_fails(struct supervisor *s, uint32_t rank, struct error *cause, bool final,
                        uint64_t now_ns)
{
    pid_t pid = s->workers[rank].pid;
    int wait_status = end_worker(&s->workers[rank]);
    if (!cause->message[0]) {
        char how[128];
        worker_process_describe(wait_status, how, sizeof how);
        error_set(cause, STATUS_UNAVAILABLE, "worker %u (pid %d) %s", rank, (int)pid, how);
    }
    for (uint32_t other = 0; other < s->c.world_size; other++)
        end_worker(&s->workers[other]);
    close_files(s);
    bool was_up = s->state == GROUP_UP;
    log_error("group_lost", "worker=%u status=%s error=\"%s\"", rank, status_name(cause->status),
              cause->message);
    if (s->state == GROUP_STOPPING)
        s->restart_ns = UINT64_MAX;
    else if (final || !s->was_up)
        give_up(s, cause);
    else
        plan_restart(s, now_ns, was_up, cause);
}

static void try_start(struct supervisor *s, uint64_t now_ns)
{
    struct error err = {0};
    s->restart_ns = UINT64_MAX;
    s->state = GROUP_LOADING;
    if (start_group(s, now_ns, &err) != STATUS_OK)
        group_fails(s, 0, &err, false, now_ns);
}

void supervisor_start(struct supervisor *s, uint64_t now_ns)
{
    CHECK(s->state == GROUP_DOWN && !s->was_up);
    try_start(s, now_ns);
}

static enum status take_hello(struct supervisor *s, uint32_t rank, const struct worker_hello *hello,
                              bool *out_final, struct error *err)
{
    struct worker *worker = &s->workers[rank];
    if (strcmp(hello->build_id, s->build_id) != 0) {
        *out_final = true;
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s is of another build: %s, this gemmad is %s", s->worker_path,
                         hello->build_id, s->build_id);
    }
    if (hello->rank != rank)
        return error_set(err, STATUS_INTERNAL, "worker %u says that it is rank %u", rank,
                         hello->rank);
    struct worker_message *message = mem_zeroed(1, sizeof *message);
    message->type = WORKER_LOAD;
    message->load = s->loads[rank];
    enum status st = control_send(worker->control, message, s->files, err);
    free(message);
    worker->state = WORKER_LOADING;
    return st;
}

static void sum_progress(const struct supervisor *s, uint64_t *done, uint64_t *total)
{
    *done = *total = 0;
    for (uint32_t rank = 0; rank < s->c.world_size; rank++) {
        *done += s->workers[rank].progress.done_bytes;
        *total += s->workers[rank].progress.total_bytes;
    }
}

static void take_ready(struct supervisor *s, uint32_t rank, const struct worker_ready *ready)
{
    struct worker *worker = &s->workers[rank];
    worker->ready = *ready;
    worker->state = WORKER_SERVING;
    log_info("worker_ready",
             "worker=%u kernels=%s weights_bytes=%" PRIu64 " kv_bytes=%" PRIu64
             " activation_bytes=%" PRIu64 " load_ms=%" PRIu64,
             rank, ready->kernels, ready->weight_bytes, ready->kv_bytes, ready->activation_bytes,
             ready->load_ns / NS_PER_MS);
    struct worker_ready all[WORKER_MAX_RANKS];
    for (uint32_t i = 0; i < s->c.world_size; i++) {
        if (s->workers[i].state != WORKER_SERVING)
            return;
        all[i] = s->workers[i].ready;
    }
    if (s->state != GROUP_LOADING)
        return; // stopping
    s->state = GROUP_UP;
    s->was_up = true;
    s->c.events.on_up(s->c.context, s->files, all, s->c.world_size);
}

// One message of a worker, which may say only what its state allows.
static enum status take_message(struct supervisor *s, uint32_t rank,
                                const struct worker_message *message, bool *out_final,
                                uint64_t now_ns, struct error *err)
{
    struct worker *worker = &s->workers[rank];
    worker->news_ns = now_ns;
    if (message->type == WORKER_FAULT)
        return error_set(err, message->fault.status, "worker %u: %s", rank, message->fault.message);
    if (message->type == WORKER_HELLO && worker->state == WORKER_STARTED)
        return take_hello(s, rank, &message->hello, out_final, err);
    if (message->type == WORKER_READY && worker->state == WORKER_LOADING) {
        take_ready(s, rank, &message->ready);
        return STATUS_OK;
    }
    if (message->type != WORKER_PROGRESS || worker->state != WORKER_LOADING)
        return error_set(err, STATUS_INTERNAL, "worker %u sent message %d while it was %s", rank,
                         (int)message->type, worker_state_names[worker->state]);
    uint64_t done;
    uint64_t total;
    worker->progress = message->progress;
    sum_progress(s, &done, &total);
    s->c.events.on_progress(s->c.context, done, total);
    return STATUS_OK;
}

// While stopping a worker that leaves is what was asked for.
static void worker_left(struct supervisor *s, uint32_t rank)
{
    char how[128];
    pid_t pid = s->workers[rank].pid;
    worker_process_describe(end_worker(&s->workers[rank]), how, sizeof how);
    log_info("worker_left", "worker=%u pid=%d how=\"%s\"", rank, (int)pid, how);
}

static void read_worker(struct supervisor *s, uint32_t rank, uint64_t now_ns)
{
    struct worker *worker = &s->workers[rank];
    struct worker_message *message = mem_zeroed(1, sizeof *message);
    struct error err = {0};
    enum status st = STATUS_OK;
    bool final = false;
    // a few at a time: a worker that floods its socket must not keep the others' news waiting
    for (int i = 0; i < 16 && st == STATUS_OK && worker->state != WORKER_ABSENT; i++) {
        st = control_receive(worker->control, message, NULL, &err);
        if (st == STATUS_OK) {
            st = take_message(s, rank, message, &final, now_ns, &err);
        } else if (st == STATUS_UNAVAILABLE) {
            err.message[0] = '\0'; // how the process ended says more than how the socket did
        }
    }
    free(message);
    if (st == STATUS_OK || st == STATUS_DEADLINE_EXCEEDED)
        return;
    if (s->state == GROUP_STOPPING && !err.message[0])
        worker_left(s, rank);
    else
        group_fails(s, rank, &err, final, now_ns);
}

// A worker that is loading has to say something now and then.
static void check_silence(struct supervisor *s, uint64_t now_ns)
{
    for (uint32_t rank = 0; rank < s->c.world_size; rank++) {
        const struct worker *worker = &s->workers[rank];
        bool loads = worker->state == WORKER_STARTED || worker->state == WORKER_LOADING;
        if (!loads || now_ns - worker->news_ns < s->c.load_timeout_ns)
            continue;
        struct error err = {0};
        error_set(&err, STATUS_DEADLINE_EXCEEDED,
                  "worker %u made no progress for %" PRIu64 " s while it was %s", rank,
                  s->c.load_timeout_ns / NS_PER_S, worker_state_names[worker->state]);
        group_fails(s, rank, &err, false, now_ns);
        return;
    }
}

void supervisor_handle(struct supervisor *s, uint64_t now_ns)
{
    struct epoll_event events[WORKER_MAX_RANKS];
    int n = epoll_wait(s->epoll, events, WORKER_MAX_RANKS, 0);
    for (int i = 0; i < n; i++) {
        uint32_t rank = events[i].data.u32;
        if (s->workers[rank].state != WORKER_ABSENT) // an earlier event may have ended the group
            read_worker(s, rank, now_ns);
    }
    check_silence(s, now_ns);
    if (s->state == GROUP_DOWN && now_ns >= s->restart_ns)
        try_start(s, now_ns);
}

int supervisor_fd(const struct supervisor *s)
{
    return s->epoll;
}

uint64_t supervisor_deadline_ns(const struct supervisor *s)
{
    uint64_t deadline = s->restart_ns;
    for (uint32_t rank = 0; rank < s->c.world_size; rank++) {
        const struct worker *worker = &s->workers[rank];
        bool loads = worker->state == WORKER_STARTED || worker->state == WORKER_LOADING;
        if (loads && worker->news_ns + s->c.load_timeout_ns < deadline)
            deadline = worker->news_ns + s->c.load_timeout_ns;
    }
    return deadline;
}

void supervisor_distrust(struct supervisor *s, const struct error *cause, uint64_t now_ns)
{
    struct error own = *cause;
    if (s->state == GROUP_UP)
        group_fails(s, 0, &own, false, now_ns);
}

static void send_to_all(struct supervisor *s, enum worker_message_type type)
{
    struct worker_message *message = mem_zeroed(1, sizeof *message);
    message->type = type;
    for (uint32_t rank = 0; rank < s->c.world_size; rank++) {
        struct error err = {0};
        if (s->workers[rank].state != WORKER_ABSENT &&
            control_send(s->workers[rank].control, message, NULL, &err) != STATUS_OK)
            log_debug("send", "worker=%u error=\"%s\"", rank, err.message); // its end is near
    }
    free(message);
}

void supervisor_stop(struct supervisor *s)
{
    s->state = GROUP_STOPPING;
    s->restart_ns = UINT64_MAX;
    send_to_all(s, WORKER_STOP);
}

uint32_t supervisor_n_alive(const struct supervisor *s)
{
    uint32_t n = 0;
    for (uint32_t rank = 0; rank < s->c.world_size; rank++)
        n += s->workers[rank].state != WORKER_ABSENT;
    return n;
}

void supervisor_report(struct supervisor *s)
{
    for (uint32_t rank = 0; rank < s->c.world_size; rank++) {
        const struct worker *worker = &s->workers[rank];
        log_info("worker", "worker=%u pid=%d state=%s done_bytes=%" PRIu64 " total_bytes=%" PRIu64,
                 rank, (int)worker->pid, worker_state_names[worker->state],
                 worker->progress.done_bytes, worker->progress.total_bytes);
    }
    send_to_all(s, WORKER_REPORT);
}

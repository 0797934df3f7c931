/* daemon/worker_link.c - the listening thread calls _exit: other threads may be anywhere, in a
 * collective or a page fault, and there is nothing to clean up that the kernel does not. */
#include "daemon/worker_link.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/build_id.h"
#include "daemon/worker_process.h"

struct worker_link {
    int fd;
    uint32_t rank;
    pthread_mutex_t sending;
    void (*on_report)(void);
};

bool worker_link_guard(pid_t parent)
{
    // The parent may have ended before the request was made: then there is a new one.
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

struct worker_link *worker_link_create(int control_fd, uint32_t rank)
{
    struct worker_link *link = mem_zeroed(1, sizeof *link);
    link->fd = control_fd;
    link->rank = rank;
    pthread_mutex_init(&link->sending, NULL);
    return link;
}

static enum status send_message(struct worker_link *link, const struct worker_message *message,
                                struct error *err)
{
    pthread_mutex_lock(&link->sending);
    enum status st = control_send(link->fd, message, NULL, err);
    pthread_mutex_unlock(&link->sending);
    return st;
}

static void send_news(struct worker_link *link, const struct worker_message *message)
{
    struct error err = {0};
    if (send_message(link, message, &err) != STATUS_OK)
        log_debug("send", "error=\"%s\"", err.message);
}

enum status worker_link_wait_load(struct worker_link *link, struct worker_load *out, int *out_files,
                                  struct error *err)
{
    struct worker_message message = {.type = WORKER_HELLO};
    message.hello.rank = link->rank;
    snprintf(message.hello.build_id, sizeof message.hello.build_id, "%s", build_id);
    enum status st = send_message(link, &message, err);
    if (st == STATUS_OK)
        st = control_receive(link->fd, &message, out_files, err);
    if (st != STATUS_OK)
        return st;
    if (message.type == WORKER_STOP)
        return error_set(err, STATUS_UNAVAILABLE, "the coordinator stops before the load");
    if (message.type != WORKER_LOAD)
        return error_set(err, STATUS_INVALID_ARGUMENT, "message %d came before the load",
                         (int)message.type);
    if (message.load.rank != link->rank) {
        for (int i = 0; i < CONTROL_N_FILES; i++)
            close(out_files[i]);
        return error_set(err, STATUS_INVALID_ARGUMENT, "rank %u got the load of rank %u",
                         link->rank, message.load.rank);
    }
    *out = message.load;
    return STATUS_OK;
}

static void *listen_to_coordinator(void *argument)
{
    struct worker_link *link = argument;
    static struct worker_message message;
    for (;;) {
        struct error err = {0};
        enum status st = control_receive(link->fd, &message, NULL, &err);
        if (st == STATUS_UNAVAILABLE)
            _exit(WORKER_EXIT_ORPHAN);
        if (st == STATUS_OK && message.type == WORKER_STOP)
            _exit(WORKER_EXIT_STOPPED);
        if (st != STATUS_OK || message.type != WORKER_REPORT) {
            log_error("control", "message=%d error=\"%s\"", (int)message.type, err.message);
            _exit(WORKER_EXIT_PROTOCOL);
        }
        link->on_report();
    }
    return NULL;
}

void worker_link_watch(struct worker_link *link, void (*on_report)(void))
{
    link->on_report = on_report;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, listen_to_coordinator, link) == 0);
    pthread_detach(thread);
}

void worker_link_progress(struct worker_link *link, uint64_t done_bytes, uint64_t total_bytes)
{
    struct worker_message message = {.type = WORKER_PROGRESS};
    message.progress.done_bytes = done_bytes < total_bytes ? done_bytes : total_bytes;
    message.progress.total_bytes = total_bytes;
    send_news(link, &message);
}

void worker_link_ready(struct worker_link *link, const struct worker_ready *ready)
{
    struct worker_message message = {.type = WORKER_READY, .ready = *ready};
    send_news(link, &message);
}

void worker_link_fault(struct worker_link *link, const struct error *cause)
{
    struct worker_message message = {.type = WORKER_FAULT, .fault = *cause};
    send_news(link, &message);
}

/* media/child.c - by posix_spawn, not fork: other threads' locks and gRPC's fork handlers stay out
 * of it. The child gets no environment: what stands there (keys, proxies) is none of its business.
 */
#include "media/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child_process.h"
#include "base/clock.h"

#define START_TIMEOUT_NS (30 * NS_PER_S)

// The socket at its number, the standard files nowhere, nothing else.
static void describe_files(posix_spawn_file_actions_t *files, int socket_fd)
{
    posix_spawn_file_actions_init(files);
    posix_spawn_file_actions_adddup2(files, socket_fd, PROTOCOL_CHILD_FD);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        posix_spawn_file_actions_addopen(files, fd, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_addclosefrom_np(files, PROTOCOL_CHILD_FD + 1);
}

static int spawn(const char *program, uint64_t max_bytes, int socket_fd, pid_t *out)
{
    char parent_text[24];
    char bytes_text[24];
    snprintf(parent_text, sizeof parent_text, "%d", (int)getpid());
    snprintf(bytes_text, sizeof bytes_text, "%" PRIu64, max_bytes);
    char *argv[] = {(char *)program,       (char *)"--parent", parent_text,
                    (char *)"--max-bytes", bytes_text,         NULL};
    char *no_environment[] = {NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    describe_files(&files, socket_fd);
    child_process_attributes(&attributes);
    int cause = posix_spawn(out, program, &files, &attributes, argv, no_environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return cause;
}

static enum status wait_readable(int fd, uint64_t timeout_ns, struct error *err)
{
    uint64_t end_ns = clock_now_ns() + timeout_ns;
    for (;;) {
        uint64_t now_ns = clock_now_ns();
        uint64_t left_ms = now_ns < end_ns ? (end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int n = poll(&poll_fd, 1, left_ms < INT32_MAX ? (int)left_ms : INT32_MAX);
        if (n > 0)
            return STATUS_OK;
        if (n == 0 && clock_now_ns() >= end_ns)
            return error_set(err, STATUS_DEADLINE_EXCEEDED, "no answer in time");
        CHECK(n == 0 || errno == EINTR);
    }
}

static enum status await_hello(struct media_child *child, struct error *err)
{
    struct protocol_hello hello;
    struct protocol_hello want = protocol_hello();
    enum status st = wait_readable(child->socket_fd, START_TIMEOUT_NS, err);
    if (st == STATUS_OK)
        st = protocol_receive(child->socket_fd, &hello, sizeof hello, NULL, err);
    if (st == STATUS_OK && memcmp(&hello, &want, sizeof want) != 0)
        st = error_set(err, STATUS_FAILED_PRECONDITION, "it is of another build");
    return st;
}

enum status media_child_start(const char *program, uint64_t max_bytes, struct media_child *out,
                              struct error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "socketpair: %s", strerror(errno));
    struct media_child child = {.socket_fd = pair[0]};
    int cause = spawn(program, max_bytes, pair[1], &child.pid);
    close(pair[1]);
    if (cause != 0) {
        close(pair[0]);
        return error_set(err, STATUS_FAILED_PRECONDITION, "cannot start %s: %s", program,
                         strerror(cause));
    }
    struct error why = {0};
    if (await_hello(&child, &why) != STATUS_OK) {
        media_child_kill(&child);
        return error_set(err, STATUS_FAILED_PRECONDITION, "%s did not start: %s", program,
                         why.message);
    }
    *out = child;
    return STATUS_OK;
}

void media_child_kill(struct media_child *child)
{
    if (child->pid == 0)
        return;
    kill(child->pid, SIGKILL);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    close(child->socket_fd);
    *child = (struct media_child){0};
}

enum status media_child_ask(struct media_child *child, const struct protocol_job *job,
                            int memory_fd, uint64_t timeout_ns, struct protocol_answer *out,
                            struct error *err)
{
    enum status st = protocol_send(child->socket_fd, job, sizeof *job, memory_fd, err);
    if (st == STATUS_OK)
        st = wait_readable(child->socket_fd, timeout_ns, err);
    if (st == STATUS_OK)
        st = protocol_receive(child->socket_fd, out, sizeof *out, NULL, err);
    return st == STATUS_OK ? protocol_check_answer(job, out, err) : st;
}

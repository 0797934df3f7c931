/* daemon/worker_process.c - by posix_spawn, not fork: gRPC's threads and fork handlers stay out of
 * it. */
#include "daemon/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child_process.h"

extern char **environ;

// Standard input from nowhere, the control socket, nothing else.
static void describe_files(posix_spawn_file_actions_t *files, int control_fd)
{
    posix_spawn_file_actions_init(files);
    posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(files, control_fd, WORKER_CONTROL_FD);
    posix_spawn_file_actions_addclosefrom_np(files, WORKER_CONTROL_FD + 1);
}

enum status worker_process_start(const char *path, uint32_t rank, int control_fd, pid_t *out,
                                 struct error *err)
{
    char rank_text[16];
    char parent_text[16];
    char fd_text[16];
    snprintf(rank_text, sizeof rank_text, "%u", rank);
    snprintf(parent_text, sizeof parent_text, "%d", (int)getpid());
    snprintf(fd_text, sizeof fd_text, "%d", WORKER_CONTROL_FD);
    char *argv[] = {(char *)path, (char *)"--control-fd", fd_text,     (char *)"--rank",
                    rank_text,    (char *)"--parent",     parent_text, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    describe_files(&files, control_fd);
    child_process_attributes(&attributes); // the coordinator blocks signals, which it reads
    pid_t pid;
    int cause = posix_spawn(&pid, path, &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (cause != 0)
        return error_set(err, cause == ENOENT ? STATUS_NOT_FOUND : STATUS_INTERNAL,
                         "cannot start %s: %s", path, strerror(cause));
    *out = pid;
    return STATUS_OK;
}

int worker_process_kill(pid_t pid)
{
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL); // its group may not be made yet
    int wait_status = 0;
    while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
        continue;
    return wait_status;
}

static const char *exit_meaning(int code)
{
    switch (code) {
    case WORKER_EXIT_STOPPED:
        return "stopped";
    case WORKER_EXIT_USAGE:
        return "wrong arguments";
    case WORKER_EXIT_PROTOCOL:
        return "it did not understand the coordinator";
    case WORKER_EXIT_LOAD:
        return "loading failed";
    case WORKER_EXIT_STEP:
        return "a step failed";
    case WORKER_EXIT_ORPHAN:
        return "it lost its coordinator";
    default:
        return "unknown";
    }
}

void worker_process_describe(int wait_status, char *out, size_t capacity)
{
    if (WIFSIGNALED(wait_status))
        snprintf(out, capacity, "was killed by signal %d (%s)", WTERMSIG(wait_status),
                 strsignal(WTERMSIG(wait_status)));
    else
        snprintf(out, capacity, "exited with code %d (%s)", WEXITSTATUS(wait_status),
                 exit_meaning(WEXITSTATUS(wait_status)));
}

// tests/media/test_sandbox.c - each test enters the sandbox in a process of its own and tries one
// thing.
#include "media/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "media/protocol.h"
#include "tests/test.h"

#define MAX_MORE_BYTES ((size_t)64 << 20)

static int sockets[2];

// How a process ended that called what after it had entered: a wait status.
static int try_inside(void (*what)(void))
{
    ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sandbox_config config = {.socket_fd = sockets[1], .max_more_bytes = MAX_MORE_BYTES};
        if (sandbox_enter(&config, NULL) != STATUS_OK)
            _exit(99);
        what();
        _exit(0);
    }
    int wait_status;
    ASSERT(waitpid(pid, &wait_status, 0) == pid);
    close(sockets[0]);
    close(sockets[1]);
    return wait_status;
}

static void must_kill(const char *name, void (*what)(void))
{
    int wait_status = try_inside(what);
    if (!WIFSIGNALED(wait_status) || WTERMSIG(wait_status) != SIGSYS)
        test_fail(__FILE__, __LINE__, "%s ends with wait status 0x%x, want SIGSYS", name,
                  wait_status);
}

static void must_live(void (*what)(void))
{
    ASSERT_EQ(try_inside(what), 0);
}

static void open_a_file(void)
{
    (void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void make_a_socket(void)
{
    (void)!socket(AF_INET, SOCK_STREAM, 0);
}

static void fork_again(void)
{
    (void)!fork();
}

static void run_a_program(void)
{
    char *arguments[] = {(char *)"/bin/true", NULL};
    execv(arguments[0], arguments);
}

static void write_to_a_file(void)
{
    (void)!write(STDOUT_FILENO, "x", 1);
}

static void read_a_file(void)
{
    char byte;
    (void)!read(STDIN_FILENO, &byte, 1);
}

static void signal_the_parent(void)
{
    kill(1, 0);
}

static void trace(void)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void raise_a_limit(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
}

static void map_code(void)
{
    (void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void make_data_code(void)
{
    void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(data, 4096, PROT_READ | PROT_EXEC);
}

static void send_elsewhere(void)
{
    if (protocol_send(sockets[0], "x", 1, -1, NULL) != STATUS_OK)
        _exit(1);
}

TEST(what_reaches_beyond_the_process_kills_it)
{
    must_kill("open", open_a_file);
    must_kill("socket", make_a_socket);
    must_kill("fork", fork_again);
    must_kill("exec", run_a_program);
    must_kill("write", write_to_a_file);
    must_kill("read", read_a_file);
    must_kill("kill", signal_the_parent);
    must_kill("ptrace", trace);
    must_kill("setrlimit", raise_a_limit);
    must_kill("sendmsg to another descriptor", send_elsewhere);
}

TEST(memory_never_becomes_code)
{
    must_kill("mmap of code", map_code);
    must_kill("mprotect to code", make_data_code);
}

static void say_something(void)
{
    if (protocol_send(sockets[1], "hello", 5, -1, NULL) != STATUS_OK)
        _exit(1);
}

static void use_memory(void)
{
    for (size_t n = 1; n <= MAX_MORE_BYTES / 4; n *= 2) {
        volatile char *memory = malloc(n);
        if (!memory)
            _exit(1);
        memory[n - 1] = 1;
        free((void *)memory);
    }
}

TEST(messages_and_memory_are_left)
{
    must_live(say_something);
    must_live(use_memory);
}

static void take_too_much(void)
{
    void *memory = mmap(NULL, 2 * MAX_MORE_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    _exit(memory == MAP_FAILED ? 0 : 1);
}

TEST(memory_is_limited)
{
    must_live(take_too_much);
}

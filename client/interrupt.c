/* client/interrupt.c - a thread waits for the signals: gRPC's cancel takes locks, which a signal
 * handler must not. The state is process-wide, as signals are. */
#include "client/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "client/command.h"

static pthread_t thread;
static atomic_bool happened, ending;

static sigset_t signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1); // interrupt_end's, for the thread
    return set;
}

static void *wait_for_signals(void *context)
{
    struct client *client = context;
    sigset_t set = signals();
    for (;;) {
        int signal;
        CHECK(sigwait(&set, &signal) == 0);
        if (atomic_load(&ending))
            return NULL;
        if (signal == SIGUSR1)
            continue;
        bool again = atomic_exchange(&happened, true);
        if (client_cancel_calls(client) == 0 || again)
            _exit(EXIT_INTERRUPTED);
    }
}

void interrupt_block(void)
{
    sigset_t set = signals();
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

void interrupt_begin(struct client *client)
{
    atomic_store(&ending, false);
    CHECK(pthread_create(&thread, NULL, wait_for_signals, client) == 0);
}

void interrupt_end(void)
{
    atomic_store(&ending, true);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
}

bool interrupt_happened(void)
{
    return atomic_load(&happened);
}

void interrupt_forget(void)
{
    atomic_store(&happened, false);
}

/* base/env.h - the environment variables that the programs read: all of them, declared in one table
 * (base/env.c) and described in docs/environment.md. Those of ours are for diagnosis, and for a
 * client to find its server; what a user sets to run a server is in its configuration.
 * Thread: any, as long as nobody changes the environment. */
#ifndef GEMMAD_BASE_ENV_H
#define GEMMAD_BASE_ENV_H

#include <stddef.h>

enum env_variable {
    ENV_KERNELS, /* GEMMAD_KERNELS */
    ENV_ADDRESS, /* GEMMAD_ADDRESS */
    ENV_API_KEY, /* GEMMAD_API_KEY */
    ENV_CACHE_DIRECTORY,
    ENV_XDG_CACHE_HOME,
    ENV_HOME,
    N_ENV_VARIABLES,
};

struct env_description {
    const char *name;
    const char *help; /* one sentence */
};

/* Its value; NULL when it is not set or empty. */
const char *env_get(enum env_variable variable);
const struct env_description *env_describe(enum env_variable variable);

#endif

/* base/env.c - one table, so that no getenv hides anywhere else. */
#include "base/env.h"

#include <stdlib.h>

#include "base/status.h"

static const struct env_description table[N_ENV_VARIABLES] = {
    [ENV_KERNELS] = {"GEMMAD_KERNELS",
                     "The most that kernels may use of the CPU: twin, avx2, avx512, avx512_vnni or "
                     "avx512_bf16."},
    [ENV_ADDRESS] = {"GEMMAD_ADDRESS", "Where gemmactl finds the server, without --address."},
    [ENV_API_KEY] = {"GEMMAD_API_KEY", "The API key that gemmactl sends, without --api-key."},
    [ENV_CACHE_DIRECTORY] = {"CACHE_DIRECTORY", "systemd's folder for a service's cache."},
    [ENV_XDG_CACHE_HOME] = {"XDG_CACHE_HOME", "The user's folder for caches."},
    [ENV_HOME] = {"HOME", "The user's folder."},
};

const char *env_get(enum env_variable variable)
{
    const char *value = getenv(env_describe(variable)->name);
    return value && *value ? value : NULL;
}

const struct env_description *env_describe(enum env_variable variable)
{
    CHECK((unsigned)variable < N_ENV_VARIABLES);
    return &table[variable];
}

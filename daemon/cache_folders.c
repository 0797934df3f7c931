/* daemon/cache_folders.c - beside the checkpoint the files need no name of their model and move
 * with it; in a folder for many models each has one of its own, named after its path. */
#include "daemon/cache_folders.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "model/fingerprint.h"

// A path that is too long to send is left out.
static void add(struct worker_load *load, const char *folder, const char *name)
{
    char *out = load->cache_folders[load->n_cache_folders];
    size_t capacity = sizeof load->cache_folders[0];
    int n = snprintf(out, capacity, "%s/%s", folder, name);
    load->n_cache_folders += n > 0 && (size_t)n < capacity;
}

// The first folder that systemd has made for the service, else the user's.
static void add_user_folder(struct worker_load *load, const char *name)
{
    const char *service = env_get(ENV_CACHE_DIRECTORY), *user = env_get(ENV_XDG_CACHE_HOME);
    const char *home = env_get(ENV_HOME);
    char folder[sizeof load->cache_folders[0]];
    int n = -1;
    if (service)
        n = snprintf(folder, sizeof folder, "%.*s", (int)strcspn(service, ":"), service);
    else if (user && user[0] == '/')
        n = snprintf(folder, sizeof folder, "%s/gemmad", user);
    else if (home && home[0] == '/')
        n = snprintf(folder, sizeof folder, "%s/.cache/gemmad", home);
    if (n > 0 && (size_t)n < sizeof folder)
        add(load, folder, name);
}

void cache_folders_set(const char *choice, const char *model_dir, size_t weight_bytes,
                       struct worker_load *load)
{
    bool is_auto = strcmp(choice, "auto") == 0;
    load->n_cache_folders = 0;
    if (strcmp(choice, "off") == 0 || (is_auto && weight_bytes < CACHE_MIN_BYTES))
        return;
    char name[96];
    const char *slash = strrchr(model_dir, '/');
    snprintf(name, sizeof name, "%.64s-%016" PRIx64, slash ? slash + 1 : model_dir,
             fingerprint_bytes(FINGERPRINT_START, model_dir, strlen(model_dir)));
    if (!is_auto) {
        add(load, choice, name);
        return;
    }
    add(load, model_dir, ".gemmad");
    add_user_folder(load, name);
}

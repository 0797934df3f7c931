/* daemon/access.c - an address is taken as it is written: names are not looked up, and one that is
 * not known to stay on this machine counts as reachable. */
#include "daemon/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/whole_file.h"

bool access_is_local(const char *address)
{
    static const char *const beginnings[] = {"unix:", "127.", "localhost:", "[::1]:"};
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        if (strncmp(address, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

static void warn_of_open_addresses(const struct daemon_config *config)
{
    const struct address_list *list = &config->listen;
    for (uint32_t i = 0; i < list->n; i++)
        if (!access_is_local(list->addresses[i]))
            log_warn("open", "address=%s api_keys_file=none: everybody who reaches it may call",
                     list->addresses[i]);
    if (config_has_http(config) && !access_is_local(config->http_listen))
        log_warn("open", "address=http://%s api_keys_file=none: everybody who reaches it may call",
                 config->http_listen);
}

enum status access_read(const struct daemon_config *config, struct auth **out, struct error *err)
{
    if (!config->api_keys_file) {
        warn_of_open_addresses(config);
        *out = NULL;
        return STATUS_OK;
    }
    char *text;
    size_t n;
    enum status st = whole_file_read(config->api_keys_file, AUTH_MAX_FILE_BYTES, &text, &n, err);
    if (st == STATUS_OK)
        st = auth_parse(text, n, config->api_keys_file, out, err);
    free(text);
    return st;
}

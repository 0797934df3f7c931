/* tests/fuzz/fuzz_yaml.c - a configuration file of any bytes: read or refused, with a place. */
#include <stdint.h>
#include <string.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct daemon_config config;
    struct error err = {0};
    daemon_config_init(&config);
    enum status st = daemon_config_read_yaml(&config, (const char *)data, n, "f.yaml", &err);
    CHECK(st == STATUS_OK || strncmp(err.message, "f.yaml:", 7) == 0);
    if (st == STATUS_OK) {
        CHECK(config.tp >= 1 && config.tp <= 8 && !(config.tp & (config.tp - 1)));
        CHECK(config.listen.n <= CONFIG_MAX_LISTENERS);
        CHECK(config.memory_fraction > 0 && config.memory_fraction <= 1);
        (void)!daemon_config_check(&config, &err);
    }
    daemon_config_finish(&config);
    return 0;
}

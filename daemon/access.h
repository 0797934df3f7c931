/* daemon/access.h - who may call this server: the file of API keys. Thread: the main thread. */
#ifndef GEMMAD_DAEMON_ACCESS_H
#define GEMMAD_DAEMON_ACCESS_H

#include "daemon/config.h"
#include "gateway/auth.h"

/* Reads api_keys_file. *out is NULL when there is none; then it is logged which of the addresses
 * strangers may reach. NOT_FOUND: there is no such file. INVALID_ARGUMENT: it says something wrong.
 */
NODISCARD enum status access_read(const struct daemon_config *config, struct auth **out,
                                  struct error *err);

/* Whether an address to listen on is one that other machines cannot reach: a loopback address or a
 * socket in the file system. */
bool access_is_local(const char *address);

#endif

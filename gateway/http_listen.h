/* gateway/http_listen.h - a listening TCP socket of an address as people write it. Thread: any. */
#ifndef GEMMAD_GATEWAY_HTTP_LISTEN_H
#define GEMMAD_GATEWAY_HTTP_LISTEN_H

#include "base/status.h"

/* "HOST:PORT" or "[IPV6]:PORT". *out_address (free) is the same with the port that was bound.
 * UNAVAILABLE: it cannot be bound. INVALID_ARGUMENT: no such form. */
NODISCARD enum status http_listen(const char *address, int *out_socket, char **out_address,
                                  struct error *err);

#endif

/* client/request_options.h - the flags of a Generate request, for the commands that send one, and
 * the flags that several commands have. Thread: constants. */
#ifndef GEMMAD_CLIENT_REQUEST_OPTIONS_H
#define GEMMAD_CLIENT_REQUEST_OPTIONS_H

#include "client/options.h"

extern const struct option_group global_options;   /* of each command */
extern const struct option_group text_options;     /* --file, --chat-json */
extern const struct option_group json_option;      /* --json */
extern const struct option_group sampling_options; /* GenerateRequest.sampling, but n */
extern const struct option_group stopping_options; /* .stopping */
extern const struct option_group request_options;  /* who asks: id, priority, salt */

#endif

/* client/answer.h - sends a Generate request and prints what comes back: text as it comes, or with
 * --json each event. Thread: the main thread. */
#ifndef GEMMAD_CLIENT_ANSWER_H
#define GEMMAD_CLIENT_ANSWER_H

#include "client/command.h"

/* Runs the request in invocation's settings. out_text (may be NULL) gets what sequence 0 said, also
 * when the answer was cut short. CANCELLED: by the user. */
NODISCARD enum status answer_print(const struct invocation *invocation,
                                   struct text_buffer *out_text, struct error *err);

#endif

/* client/parse_line.h - one line of gemmactl parse: what a model generated, to what it says.
 * Thread: the main thread. */
#ifndef GEMMAD_CLIENT_PARSE_LINE_H
#define GEMMAD_CLIENT_PARSE_LINE_H

#include "base/json.h"

/* How a text is cut into the pieces that the parser is fed. */
struct parse_split {
    uint32_t piece_bytes; /* 0: all at once */
    bool random;          /* pieces of 1 to 20 bytes */
    uint64_t state;       /* of the random numbers, from the seed on */
};

/* Appends to out the members that say what line comes to, behind those of it that are carried
 * through, as one object without a newline. A line has "text", or "prompt_tokens" and "tokens".
 * INVALID_ARGUMENT names what is missing or of another type; out is then to be thrown away. */
NODISCARD enum status parse_line(const struct json_value *line, struct parse_split *split,
                                 struct text_buffer *out, struct error *err);
/* The part for tokens: appends `"start_state": .., .., "stopped": ..`. */
NODISCARD enum status parse_tokens(const struct json_value *line, struct text_buffer *out,
                                   struct error *err);

#endif

/* text/grammar/grammar_cache.h - the grammars compiled lately, shared between requests.
 *
 * Thread: any; get locks, and waits only for another thread that compiles the same request. */
#ifndef GEMMAD_TEXT_GRAMMAR_GRAMMAR_CACHE_H
#define GEMMAD_TEXT_GRAMMAR_GRAMMAR_CACHE_H

#include "text/grammar/compile.h"

struct grammar_cache;

/* Keeps grammars of at most max_bytes (0: 64 MiB), those used last. What following them adds counts
 * from the next compilation on.
 * tokenizer may be NULL, else outlives it. */
struct grammar_cache *grammar_cache_create(const struct tokenizer *tokenizer, size_t max_bytes);
/* NULL is fine. No thread is inside; grammars that were handed out stay. */
void grammar_cache_destroy(struct grammar_cache *cache);

/* grammar_compile, unless it was done lately or another thread is at it. The caller drops *out.
 * Failures are not kept, but those who wait for one share it. */
NODISCARD enum status grammar_cache_get(struct grammar_cache *cache,
                                        const struct grammar_request *request, struct grammar **out,
                                        struct error *err);
/* Memory of what is kept, as it was at the last compilation. */
size_t grammar_cache_n_bytes(struct grammar_cache *cache);

#endif

/* kvcache/params.c - sizes and page counts that coordinator and workers must agree on; everything
 * is multiplied as size_t or 64 bits. */
#include "kvcache/params.h"

size_t kv_layer_page_bytes(const struct kv_params *params, uint32_t group, uint32_t rank_kv_heads)
{
    const struct kv_group_params *g = &params->groups[group];
    return ((size_t)g->k_dim + g->head_dim) * rank_kv_heads * params->page_tokens *
           params->element_bytes;
}

size_t kv_page_bytes(const struct kv_params *params, uint32_t group, uint32_t rank_kv_heads)
{
    return params->groups[group].n_layers * kv_layer_page_bytes(params, group, rank_kv_heads);
}

uint32_t kv_sequence_pages(const struct kv_params *params, uint32_t group, uint32_t n_tokens,
                           uint32_t step_tokens)
{
    uint64_t page = params->page_tokens;
    uint64_t all = (n_tokens + page - 1) / page;
    uint32_t window = params->groups[group].window;
    if (window == 0)
        return (uint32_t)all;
    // The step's rows see so many neighbouring tokens, which begin anywhere in a page.
    uint64_t seen = (uint64_t)window - 1 + (step_tokens ? step_tokens : 1);
    uint64_t most = (seen - 1 + page - 1) / page + 1;
    return (uint32_t)(all < most ? all : most);
}

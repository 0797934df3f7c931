/* kernels/router_choice.h - how one row chooses its experts, in every form: a choice has no
 * tolerance. Included by kernels/router_ref.c and kernels/router_cpu.c alone. */
#ifndef GEMMAD_KERNELS_ROUTER_CHOICE_H
#define GEMMAD_KERNELS_ROUTER_CHOICE_H

#include <math.h>
#include <stdint.h>

/* The largest p, the lowest id of equals; those already chosen are negative. */
static inline uint32_t next_best(const float *p, uint32_t n_experts)
{
    uint32_t best = n_experts;
    for (uint32_t e = 0; e < n_experts; e++)
        if (!(p[e] < 0) && (best == n_experts || p[e] > p[best]))
            best = e;
    return best;
}

/* One row of router_top_k; p [n_experts] is scratch. */
static inline void choose_experts(uint32_t *ids, float *weights, const float *scores,
                                  const float *per_expert_scale, float *p, uint32_t n_experts,
                                  uint32_t top_k)
{
    float max = scores[0];
    for (uint32_t e = 1; e < n_experts; e++)
        max = fmaxf(max, scores[e]);
    float sum = 0;
    for (uint32_t e = 0; e < n_experts; e++)
        sum += p[e] = expf(scores[e] - max);
    for (uint32_t e = 0; e < n_experts; e++)
        p[e] /= sum;
    float chosen_sum = 0;
    for (uint32_t i = 0; i < top_k; i++) {
        ids[i] = next_best(p, n_experts);
        weights[i] = p[ids[i]];
        chosen_sum += weights[i];
        p[ids[i]] = -1;
    }
    for (uint32_t i = 0; i < top_k; i++)
        weights[i] = weights[i] / chosen_sum * per_expert_scale[ids[i]];
}

#endif

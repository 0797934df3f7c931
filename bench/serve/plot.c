/* bench/serve/plot.c - three panels side by side, written as SVG by hand: no library, and every
 * browser shows it. A distribution is drawn as the part of samples (y) that took at most so long
 * (x); its axis ends a little after p99, as one outlier would flatten the rest, and the title has
 * the largest one. */
#include "bench/serve/report.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"

#define PANEL_WIDTH 360
#define PANEL_HEIGHT 240
#define MARGIN_LEFT 56
#define MARGIN_TOP 64
#define MARGIN_BOTTOM 48
#define N_CURVE_POINTS 200

struct panel {
    struct text_buffer *out;
    double left;
    double max_x, max_y; // values at the right and upper edge
};

static double x_of(const struct panel *panel, double value)
{
    return panel->left + value / panel->max_x * PANEL_WIDTH;
}

static double y_of(const struct panel *panel, double value)
{
    return MARGIN_TOP + PANEL_HEIGHT - value / panel->max_y * PANEL_HEIGHT;
}

// 1, 2 or 5 times a power of ten, so that there are at most six steps to max.
static double tick_step(double max)
{
    double power = pow(10, floor(log10(max / 6)));
    double factor = max / 6 / power;
    return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

static void draw_axes(const struct panel *panel, const char *x_label, const char *y_label)
{
    const double low = MARGIN_TOP + PANEL_HEIGHT;
    double step = tick_step(panel->max_x);
    for (int i = 0; i * step <= panel->max_x * 1.0001; i++) {
        double at = i * step;
        text_buffer_append_format(panel->out,
                                  "<path class=\"grid\" d=\"M%.1f %dV%.1f\"/>"
                                  "<text x=\"%.1f\" y=\"%.1f\" class=\"middle\">%g</text>\n",
                                  x_of(panel, at), MARGIN_TOP, low, x_of(panel, at), low + 16, at);
    }
    step = tick_step(panel->max_y);
    for (int i = 0; i * step <= panel->max_y * 1.0001; i++) {
        double at = i * step;
        text_buffer_append_format(panel->out,
                                  "<path class=\"grid\" d=\"M%.1f %.1fh%d\"/>"
                                  "<text x=\"%.1f\" y=\"%.1f\" class=\"end\">%g</text>\n",
                                  panel->left, y_of(panel, at), PANEL_WIDTH, panel->left - 6,
                                  y_of(panel, at) + 4, at);
    }
    text_buffer_append_format(panel->out,
                              "<text x=\"%.1f\" y=\"%.1f\" class=\"middle\">%s</text>"
                              "<text x=\"%.1f\" y=\"%d\">%s</text>\n",
                              panel->left + PANEL_WIDTH / 2.0, low + 34, x_label, panel->left,
                              MARGIN_TOP - 8, y_label);
}

static void draw_title(const struct panel *panel, const char *title)
{
    text_buffer_append_format(panel->out, "<text x=\"%.1f\" y=\"%d\" class=\"title\">%s</text>\n",
                              panel->left, MARGIN_TOP - 40, title);
}

static double percentile_ms(struct samples *samples, double part)
{
    return (double)samples_percentile(samples, part) / (double)NS_PER_MS;
}

static void draw_distribution(struct text_buffer *out, double left, const char *name,
                              struct samples *samples)
{
    struct panel panel = {out, left, fmax(percentile_ms(samples, 0.99) * 1.15, 1e-3), 100};
    char text[160];
    draw_title(&panel, name);
    draw_axes(&panel, "milliseconds", "% of samples");
    snprintf(text, sizeof text, "p50 %.1f, p90 %.1f, p99 %.1f, max %.1f ms",
             percentile_ms(samples, 0.5), percentile_ms(samples, 0.9), percentile_ms(samples, 0.99),
             percentile_ms(samples, 1));
    text_buffer_append_format(out, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", left, MARGIN_TOP - 24,
                              text);
    text_buffer_append_format(out, "<path class=\"curve\" d=\"M%.1f %.1f", x_of(&panel, 0),
                              y_of(&panel, 0));
    for (int i = 0; samples->n > 0 && i <= N_CURVE_POINTS; i++) {
        double part = (double)i / N_CURVE_POINTS;
        double value = percentile_ms(samples, part);
        if (value > panel.max_x)
            break;
        text_buffer_append_format(out, "L%.1f %.1f", x_of(&panel, value), y_of(&panel, part * 100));
    }
    text_buffer_append_text(out, "\"/>\n");
}

static void draw_throughput(struct text_buffer *out, double left, const struct load_result *result)
{
    uint64_t most = 1;
    for (size_t i = 0; i < result->n_seconds; i++)
        most = result->tokens_of_second[i] > most ? result->tokens_of_second[i] : most;
    struct panel panel = {out, left, fmax((double)result->n_seconds, 1), (double)most * 1.1};
    draw_title(&panel, "Throughput");
    draw_axes(&panel, "seconds since the first measured request", "answer tokens/s");
    text_buffer_append_format(out, "<path class=\"curve\" d=\"M%.1f %.1f", x_of(&panel, 0),
                              y_of(&panel, 0));
    for (size_t i = 0; i < result->n_seconds; i++)
        text_buffer_append_format(out, "V%.1fH%.1f",
                                  y_of(&panel, (double)result->tokens_of_second[i]),
                                  x_of(&panel, (double)(i + 1)));
    text_buffer_append_text(out, "\"/>\n");
    double sent = (double)(result->last_sent.ns - result->begin.ns) / 1e9;
    text_buffer_append_format(out,
                              "<path class=\"mark\" d=\"M%.1f %dv%d\"/>"
                              "<text x=\"%.1f\" y=\"%d\" class=\"end\">last sent</text>\n",
                              x_of(&panel, sent), MARGIN_TOP, PANEL_HEIGHT, x_of(&panel, sent) - 4,
                              MARGIN_TOP + 12);
}

void report_plot(const struct serve_options *options, struct load_result *result,
                 struct text_buffer *out)
{
    const int stride = PANEL_WIDTH + MARGIN_LEFT + 24;
    char load[64];
    if (options->rate > 0)
        snprintf(load, sizeof load, "%g requests/s", (double)options->rate);
    else
        snprintf(load, sizeof load, "%u clients", options->concurrency);
    text_buffer_append_format(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n"
        "<title>bench_serve: %s, lengths %s</title>\n"
        "<style>.grid{stroke:#ddd}.curve{stroke:#1565c0;stroke-width:2;fill:none}"
        ".mark{stroke:#b71c1c;stroke-dasharray:4}.middle{text-anchor:middle}"
        ".end{text-anchor:end}.title{font-size:15px;font-weight:bold}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
        3 * stride + 24, MARGIN_TOP + PANEL_HEIGHT + MARGIN_BOTTOM, load, options->lengths);
    draw_distribution(out, MARGIN_LEFT, "Time to first token", &result->ttft);
    draw_distribution(out, MARGIN_LEFT + stride, "Inter-token time", &result->inter_token);
    draw_throughput(out, MARGIN_LEFT + 2.0 * stride, result);
    text_buffer_append_text(out, "</svg>\n");
}

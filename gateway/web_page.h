/* gateway/web_page.h - gateway/web/index.html, as the build made it a constant. */
#ifndef GEMMAD_GATEWAY_WEB_PAGE_H
#define GEMMAD_GATEWAY_WEB_PAGE_H

#include <stddef.h>

extern const char web_page[]; /* with a NUL behind it */
extern const size_t web_page_length;

#endif

/* daemon/build_id.h - which build this is: the version and a digest of every source that the
 * coordinator and the worker share (daemon/build_id.py). Two programs that meet on a control
 * socket have to have the same one. */
#ifndef GEMMAD_DAEMON_BUILD_ID_H
#define GEMMAD_DAEMON_BUILD_ID_H

extern const char build_id[];      /* "0.1.0-3f2a9c0b71d4e586" */
extern const char build_version[]; /* "0.1.0" */

#endif

/* Tells the service manager how the daemon is (sd_notify(3)), without its
 * library. Everything here does nothing outside of a service. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdint.h>

/* Sends one state, for instance "READY=1" or "STATUS=12 links". */
void notify_state(const char *state);

/* Sends "STATUS=" and the words. */
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* How often the manager wants "WATCHDOG=1", in milliseconds: half of what it
 * allows; 0 when it does not ask for it. */
uint64_t notify_watchdog_ms(void);

#endif

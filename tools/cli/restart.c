/* SPDX-License-Identifier: Apache-2.0 */

/*
 * When a service that failed is started again. Fixed: always the same delay. Exponential: half as
 * much again each time, up to a most, and a tenth more or less at random, so that services that
 * fail together (a store is away) do not come back together. Restarts are counted in a row: a run
 * that lasted long enough ends the row.
 *
 * No clock and no process is in here: times and a random number come in, so that a test can go
 * through years.
 */

#include "tools/cli/run.h"
#include <string.h>

#define DEFAULT_DELAY_MS 1000
#define DEFAULT_MAX_DELAY_MS 60000
#define DEFAULT_RESET_AFTER_MS 3600000
#define MAX_DURATION_MS UINT64_C(3600000000000) /* a million hours, as in settings */

/* Digits only, and nothing that wraps around. Returns what stands behind them; NULL: it is no
 * number. */
static const char *parse_digits(const char *text, uint64_t *ret)
{
    const char *p = text;
    *ret = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(*ret, 10, ret) ||
            __builtin_add_overflow(*ret, (uint64_t)(*p - '0'), ret))
            return NULL;
    }
    return p == text ? NULL : p;
}

int cli_duration_parse(const char *option, const char *text, uint64_t *ret_ms, cairn_error **reterr)
{
    static const struct {
        const char *name;
        uint64_t factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}};
    uint64_t n, ms;
    const char *unit = parse_digits(text, &n);
    if (unit && !*unit && n == 0) {
        *ret_ms = 0;
        return 0;
    }
    for (size_t i = 0; unit && i < CLI_COUNT(units); i++) {
        if (strcmp(unit, units[i].name) == 0 && !__builtin_mul_overflow(n, units[i].factor, &ms) &&
            ms <= MAX_DURATION_MS) {
            *ret_ms = ms;
            return 0;
        }
    }
    return cli_raise(reterr, CAIRN_EINVAL,
                     "--%s '%s' is not a duration such as 500ms, 10s, 5min or 1h", option, text);
}

static int parse_limit(const char *text, uint64_t *ret, cairn_error **reterr)
{
    if (!text || strcmp(text, "any") == 0) {
        *ret = CLI_RESTART_ANY;
        return 0;
    }
    if (strcmp(text, "none") == 0) {
        *ret = 0;
        return 0;
    }
    uint64_t n;
    const char *end = parse_digits(text, &n);
    if (!end || *end || n == CLI_RESTART_ANY)
        return cli_raise(reterr, CAIRN_EINVAL, "--restart '%s' is not a number, any or none", text);
    *ret = n;
    return 0;
}

static int parse_backoff(const char *text, bool *ret_exponential, cairn_error **reterr)
{
    *ret_exponential = !text || strcmp(text, "exponential") == 0;
    if (!*ret_exponential && strcmp(text, "fixed") != 0)
        return cli_raise(reterr, CAIRN_EINVAL, "--backoff '%s' is neither fixed nor exponential",
                         text);
    return 0;
}

int cli_restart_parse(const struct cli_args *args, struct cli_restart *ret, cairn_error **reterr)
{
    struct cli_restart restart = {.delay_ms = DEFAULT_DELAY_MS,
                                  .max_delay_ms = DEFAULT_MAX_DELAY_MS,
                                  .reset_after_ms = DEFAULT_RESET_AFTER_MS};
    int r = parse_limit(args->restart, &restart.limit, reterr);
    if (r == 0)
        r = parse_backoff(args->backoff, &restart.exponential, reterr);
    if (r == 0 && args->delay)
        r = cli_duration_parse("delay", args->delay, &restart.delay_ms, reterr);
    if (r == 0 && args->max_delay)
        r = cli_duration_parse("max-delay", args->max_delay, &restart.max_delay_ms, reterr);
    if (r == 0 && args->reset_after)
        r = cli_duration_parse("reset-after", args->reset_after, &restart.reset_after_ms, reterr);
    if (r < 0)
        return r;
    if (args->max_delay && !restart.exponential)
        return cli_raise(reterr, CAIRN_EINVAL, "--max-delay goes with --backoff exponential");
    if (restart.exponential && !args->max_delay && restart.max_delay_ms < restart.delay_ms)
        restart.max_delay_ms = restart.delay_ms;
    if (restart.exponential && restart.max_delay_ms < restart.delay_ms)
        return cli_raise(reterr, CAIRN_EINVAL, "--max-delay is less than --delay");
    if (restart.exponential && restart.delay_ms == 0)
        return cli_raise(reterr, CAIRN_EINVAL,
                         "--delay 0 cannot grow: give --backoff fixed, or a delay");
    if (restart.reset_after_ms == 0)
        return cli_raise(reterr, CAIRN_EINVAL,
                         "--reset-after 0 would never let the restarts add up");
    *ret = restart;
    return 0;
}

/* Without jitter. */
static uint64_t nominal_delay(const struct cli_restart *restart)
{
    uint64_t delay = restart->delay_ms;
    if (!restart->exponential)
        return delay;
    for (uint64_t i = 0; i < restart->count && delay < restart->max_delay_ms; i++)
        delay += delay / 2 + delay % 2;
    return delay < restart->max_delay_ms ? delay : restart->max_delay_ms;
}

bool cli_restart_next(struct cli_restart *restart, uint64_t run_ms, uint32_t random,
                      uint64_t *ret_delay_ms)
{
    if (run_ms >= restart->reset_after_ms)
        restart->count = 0;
    if (restart->count >= restart->limit)
        return false;
    uint64_t delay = nominal_delay(restart);
    if (restart->exponential) {
        uint64_t spread = delay / 5; /* from a tenth less to a tenth more */
        delay = delay - spread / 2 + random % (spread + 1);
    }
    restart->count++;
    *ret_delay_ms = delay;
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_S3_PROXY_H
#define CRN_TESTS_S3_PROXY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A proxy of our own, on loopback, between a client and an S3 server, that does to requests and
 * answers what networks, and boxes in them, do: a rule, or chance, says what becomes of each. What
 * it passes on it does not change. A failure inside of it ends the test.
 */

enum proxy_what {
    PROXY_PASS,
    PROXY_CUT_REQUEST, /* the server gets `at` bytes of the request, then both ends a reset */
    PROXY_CUT_REPLY,   /* it is carried out, the client gets `at` bytes of the answer and a reset */
    PROXY_TRUNCATE,    /* the same, but the answer ends in an orderly way, only too early */
    PROXY_DELAY,       /* `at` ms pass before the server gets it */
    PROXY_DUPLICATE,   /* the server gets it twice, and the client the second answer */
    PROXY_REPLAY,      /* passed on, and the server gets it once more `at` ms after its answer */
    PROXY_HOLD,        /* the client gets a reset, the server gets the request `at` ms later */
    PROXY_BLACK_HOLE,  /* nothing comes of it, until the client gives up */
    PROXY_GARBAGE,     /* from `at` on, 16 bytes of the answer are others */
    PROXY_ANSWER,      /* the server gets nothing of it, the client gets `answer` */
    PROXY_WHATS
};
#define PROXY_LATER UINT64_MAX /* as time of a replayed or held request: when it is released */

struct proxy_rule {
    const char *method; /* NULL: any */
    const char *in;     /* the target has this in it; NULL: any */
    unsigned skip;      /* so many that fit pass before */
    unsigned times;     /* then it holds for so many */
    enum proxy_what what;
    uint64_t at;
    const char *answer;
};

struct proxy_tls {
    const char *certificate_file, *key_file; /* PEM */
};

struct proxy;
/* tls: what it shows to clients; NULL: none. Behind it there is none. */
struct proxy *proxy_start(unsigned server_port, const struct proxy_tls *tls);
void proxy_stop(struct proxy *proxy);
unsigned proxy_port(const struct proxy *proxy);

/* Rules are asked in the order they were added, and before chance. Texts must stay. */
void proxy_add(struct proxy *proxy, const struct proxy_rule *rule);
/* So many of a thousand requests meet one of these faults (bits 1 << PROXY_...). What becomes of a
 * request depends on the seed, its method, its path, and how often these were seen; so a schedule
 * can be had again, whatever the order of threads. */
void proxy_set_chance(struct proxy *proxy, uint64_t seed, unsigned of_thousand, unsigned whats);
/* No rules and no chance any more. What is held stays. */
void proxy_clear(struct proxy *proxy);
/* What is held or to be replayed goes to the server now; returns when all of it is answered. */
void proxy_release(struct proxy *proxy);
/* Connections end now, as if a cable was pulled: each with a reset. */
void proxy_cut_all(struct proxy *proxy);

uint64_t proxy_count(struct proxy *proxy, enum proxy_what what);
uint64_t proxy_requests(struct proxy *proxy); /* that came whole */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_S3_FAILURE_H
#define CRN_STORAGE_S3_FAILURE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

/* What came of one attempt at one request. */
struct crn_s3_reply {
    CURLcode transport; /* CURLE_OK: there is a status */
    long status;
    const char *code;    /* of an error body, also in a 200; "" */
    const char *message; /* ditto */
    long certificate;    /* OpenSSL's verdict, X509_V_...; of transport failures */
    bool was_sent;       /* the server may have got all of the request */
    bool is_strange;     /* a good status, but nothing that S3 would send with it */
};

/* What it means. */
struct crn_s3_verdict {
    int code;           /* 0, or a CAIRN_E...: what to report if it is the last word */
    bool try_again;     /* repeating may help */
    bool is_ambiguous;  /* it may have happened although the reply does not say so */
    bool is_skewed;     /* the server's clock is another: correct and try again once */
    bool is_slow_down;  /* the server asks for fewer requests */
    const char *advice; /* what a person should check; NULL: the reply says all */
};
/* Pure. */
struct crn_s3_verdict crn_s3_judge(const struct crn_s3_reply *reply);

#endif
